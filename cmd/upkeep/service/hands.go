package service

import (
	"context"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
)

// hands are the runs that handlers of this process work on. It is safe for use
// by several goroutines.
type hands struct {
	mu   sync.Mutex
	busy map[*hand]struct{}
	// empty is closed when the last one is done; nil while nobody waits for that.
	empty chan struct{}
}

// hand is one handler at work.
type hand struct{ end context.CancelCauseFunc }

func newHands() *hands { return &hands{busy: map[*hand]struct{}{}} }

// take begins a piece of work, which the context that it returns ends too; the
// caller calls done.
func (h *hands) take(ctx context.Context) (work context.Context, done func()) {
	work, end := context.WithCancelCause(ctx)
	one := &hand{end: end}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy[one] = struct{}{}
	return work, func() {
		end(nil)
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.busy, one)
		h.check()
	}
}

// check tells who waits that nothing is left. The caller holds mu.
func (h *hands) check() {
	if h.empty != nil && len(h.busy) == 0 {
		close(h.empty)
		h.empty = nil
	}
}

// drop ends all work that is under way, and returns what is closed when it has
// ended.
func (h *hands) drop(cause error) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	for one := range h.busy {
		one.end(cause)
	}
	if h.empty == nil {
		h.empty = make(chan struct{})
	}
	over := h.empty
	h.check()
	return over
}

// handle is the queue's handler.
func (e *Engine) handle(ctx context.Context, id runner.RunID) {
	work, done := e.hands.take(ctx)
	e.exec.Handle(work, id)
	done()
	if e.shared() && e.hard.Err() != nil {
		e.handOver(context.WithoutCancel(ctx), id)
	}
}

// handOverBound bounds the handing over of one run.
const handOverBound = 5 * time.Second

// handOver gives what this process released to the other nodes at once. What
// planned a restart is judged where it was planned: it waits for this node.
func (e *Engine) handOver(ctx context.Context, id runner.RunID) {
	ctx, cancel := context.WithTimeoutCause(ctx, handOverBound, runner.ErrShutdown)
	defer cancel()
	run, err := e.ledger.Run(ctx, string(id))
	if err == nil && run.State != runner.Queued {
		return
	}
	var attempts []runner.Attempt
	if err == nil {
		attempts, err = e.ledger.Attempts(ctx, id)
	}
	if err == nil && len(executor.Planned(attempts)) == 0 {
		err = e.queue.Deliver(ctx, id)
	}
	if err != nil {
		e.o.Log.WarnContext(ctx, "a run that was given back goes on elsewhere with the next sweep", "run", string(id), "error", jobs.OneLine(err.Error()))
	}
}
