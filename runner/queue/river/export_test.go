package river

import (
	"log/slog"

	"github.com/ghosteam/upkeep/runner"
)

// QueueOf is queueOf.
func QueueOf(t runner.Target) string { return queueOf(t) }

// Closing tells whether the queue takes nothing any more.
func (q *Queue) Closing() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closing
}

// Names are the River queues of the node.
func (q *Queue) Names() []string { return q.names }

// Fetching tells whether slots are kept for a fetch under way.
func (q *Queue) Fetching() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.reserved > 0
}

// Quiet is newQuiet, and what hushes it.
func Quiet(to slog.Handler) (h slog.Handler, hush func()) {
	q := newQuiet(to)
	return q, q.hush
}
