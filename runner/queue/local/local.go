// Package local delivers runs inside one process: the queue of the embedded
// ledger, where exactly one process executes. It knows run IDs and slots and
// nothing else: no database, no clock, no polling. What it holds is forgotten
// at a crash, and found again in the ledger's backlog when Work begins.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/queue"
)

// errUsed reports a second call of Work.
var errUsed = errors.New("the queue works already, or has worked")

// page is how many pending runs are read from the ledger at once.
const page = 500

// Options configure a Queue. Backlog is required.
type Options struct {
	// Backlog finds what is pending when Work begins.
	Backlog runner.Backlog
	// Slots is the most runs that are handled at once, at least 1.
	Slots int
	// Base is the parent of every handler's context. Ending it, with a cause,
	// forces all handlers to stop; nil means that nobody can.
	Base context.Context
	// Log is told how the work goes; nil for nobody.
	Log *slog.Logger
}

// Queue hands runs to a handler, in the order in which they were delivered. It
// is safe for use by several goroutines.
type Queue struct {
	options Options
	// bell has a value when something was delivered or a slot became free
	// since Work last looked.
	bell chan struct{}

	mu      sync.Mutex
	used    bool
	held    bool
	waiting []runner.RunID
	queued  map[runner.RunID]bool
	// active are the runs that handlers work on.
	active queue.Active
}

var _ queue.Queue = (*Queue)(nil)

// New returns a queue that holds nothing.
func New(o Options) *Queue {
	o.Slots = max(o.Slots, 1)
	if o.Base == nil {
		o.Base = context.Background()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Queue{
		options: o, bell: make(chan struct{}, 1),
		queued: map[runner.RunID]bool{},
	}
}

// Deliver implements queue.Queue. It never fails.
func (q *Queue) Deliver(_ context.Context, ids ...runner.RunID) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		if !q.active.Again(id) {
			q.enqueue(id)
		}
	}
	q.ring()
	return nil
}

// enqueue appends a run that does not wait already. The caller holds mu.
func (q *Queue) enqueue(id runner.RunID) {
	if !q.queued[id] {
		q.queued[id] = true
		q.waiting = append(q.waiting, id)
	}
}

func (q *Queue) ring() {
	select {
	case q.bell <- struct{}{}:
	default:
	}
}

// Hold keeps the queue from handing out runs until Resume; what is delivered
// meanwhile waits, and what runs goes on. It may be called when the queue is
// held already.
func (q *Queue) Hold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = true
}

// Resume lets the queue hand out runs again.
func (q *Queue) Resume() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = false
	q.ring()
}

// Running returns how many runs handlers work on.
func (q *Queue) Running() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.active.Len()
}

// Waiting returns how many delivered runs wait to be handed out.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// Interrupt implements queue.Queue.
func (q *Queue) Interrupt(id runner.RunID, cause error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.active.Interrupt(id, cause)
}

// Work implements queue.Queue. Its error says that it was called twice or that
// the backlog could not be read; nothing was handled then.
func (q *Queue) Work(ctx context.Context, h queue.Handler) error {
	if !q.use() {
		return errUsed
	}
	switch err := q.pickUp(ctx); {
	case err != nil && ctx.Err() != nil:
		return nil // the end came before the beginning
	case err != nil:
		return err
	}
	var handlers sync.WaitGroup
	defer handlers.Wait()
	for {
		for _, d := range q.take(ctx) {
			handlers.Go(func() {
				h(d.ctx, d.id)
				q.done(d.id)
			})
		}
		select {
		case <-q.bell:
		case <-ctx.Done():
			return nil
		}
	}
}

func (q *Queue) use() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := !q.used
	q.used = true
	return first
}

// pickUp puts what is pending in the ledger before what was delivered
// meanwhile: it was there first.
func (q *Queue) pickUp(ctx context.Context) error {
	var pending []runner.RunID
	for after := runner.RunID(""); ; after = pending[len(pending)-1] {
		ids, err := q.options.Backlog.Pending(ctx, after, page)
		if err != nil {
			return fmt.Errorf("read the backlog: %w", err)
		}
		pending = append(pending, ids...)
		if len(ids) < page {
			break
		}
	}
	if len(pending) > 0 {
		q.options.Log.InfoContext(ctx, "picked up pending runs", "count", len(pending))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delivered := q.waiting
	q.waiting, q.queued = nil, map[runner.RunID]bool{}
	for _, id := range append(pending, delivered...) {
		q.enqueue(id)
	}
	return nil
}

// delivery is a run on its way to a handler.
type delivery struct {
	id  runner.RunID
	ctx context.Context
}

// take returns what the free slots can hold, oldest first; nothing while the
// queue is held, and nothing once ctx has ended.
func (q *Queue) take(ctx context.Context) (taken []delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ctx.Err() == nil && !q.held && len(q.waiting) > 0 && q.active.Len() < q.options.Slots {
		id := q.waiting[0]
		q.waiting = q.waiting[1:]
		delete(q.queued, id)
		taken = append(taken, delivery{id: id, ctx: q.active.Begin(q.options.Base, id)})
	}
	return taken
}

// done takes a run back from its handler.
func (q *Queue) done(id runner.RunID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.active.End(id) {
		q.enqueue(id)
	}
	q.ring()
}
