package executor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// alwaysBound is how long a `when: always` job without a timeout of its own
// may take once its run was canceled or timed out.
const alwaysBound = 10 * time.Minute

// urgency orders the reasons to end a run early; a stronger one overrides a
// weaker one.
type urgency int

const (
	// calm: the run goes its way.
	calm urgency = iota
	// ending: canceled, out of time or out of its window. Only `when: always` jobs still run.
	ending
	// stopping: the process shuts down. Nothing starts; what was interrupted
	// goes on after the next claim.
	stopping
	// superseded: somebody else owns the run. Nothing may be written.
	superseded
)

// urgencyOf tells what the end of a context with this cause asks for. An
// unknown cause means that whoever made the context goes away.
func urgencyOf(cause error) urgency {
	_, canceled := errors.AsType[*runner.CanceledError](cause)
	_, closed := errors.AsType[*runner.WindowError](cause)
	if canceled || closed || errors.Is(cause, runner.ErrTimeout) {
		return ending
	}
	for _, lost := range []error{runner.ErrSuperseded, runner.ErrStale, runner.ErrLeaseLost} {
		if errors.Is(cause, lost) {
			return superseded
		}
	}
	return stopping
}

// halt is the one place through which a run is ended early. It ends the
// contexts of attempts at once, also while the run's loop waits for the
// ledger, and tells the loop.
type halt struct {
	// bell has a value when something changed that the loop has not seen.
	bell chan struct{}
	// writes bounds the run's ledger writes: it ends when the run is
	// superseded.
	writes context.Context
	// shutdown ends when the process stops or the run is superseded.
	shutdown context.Context

	endWrites, endRunning context.CancelCauseFunc

	mu       sync.Mutex
	level    urgency
	cause    error
	attempts map[*attempt]struct{}
	// draining tells that attempts with a planned restart are not waited for.
	draining bool
}

// newHalt returns a halt whose contexts carry the values of ctx and not its
// end.
func newHalt(ctx context.Context) *halt {
	h := &halt{bell: make(chan struct{}, 1), attempts: map[*attempt]struct{}{}}
	h.writes, h.endWrites = context.WithCancelCause(context.WithoutCancel(ctx))
	h.shutdown, h.endRunning = context.WithCancelCause(h.writes)
	return h
}

// end asks for the run's end because of cause. What was asked for before and
// is at least as urgent stands.
func (h *halt) end(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	level := urgencyOf(cause)
	if level <= h.level {
		return
	}
	h.level, h.cause = level, cause
	for a := range h.attempts {
		a.halt(level, cause)
	}
	if level >= stopping {
		h.endRunning(cause)
	}
	if level == superseded {
		h.endWrites(cause)
	}
	h.ring()
}

func (h *halt) ring() {
	select {
	case h.bell <- struct{}{}:
	default:
	}
}

// drain asks to hand over the attempts that planned a restart.
func (h *halt) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
	h.ring()
}

// plan notes that a has planned a restart. An attempt that was ended meanwhile
// must not go on with it; the error says why.
func (h *halt) plan(a *attempt, what string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := context.Cause(a.ctx); err != nil {
		return err
	}
	a.planned = what
	h.ring()
	return nil
}

// handOver forgets and returns the attempts that planned a restart, once the
// process is about to end.
func (h *halt) handOver() (planned []*attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	stops := h.level == stopping && !errors.Is(h.cause, errUnrecordable)
	if !h.draining && !stops {
		return nil
	}
	for a := range h.attempts {
		if a.planned != "" {
			a.handedOver.Store(true)
			delete(h.attempts, a)
			planned = append(planned, a)
		}
	}
	return planned
}

// state returns how urgently the run must end and why.
func (h *halt) state() (urgency, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.level, h.cause
}

// add makes end reach a, also when the end was asked for already.
func (h *halt) add(a *attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts[a] = struct{}{}
	if h.level > calm {
		a.halt(h.level, h.cause)
	}
}

// remove forgets an attempt that ended.
func (h *halt) remove(a *attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.attempts, a)
	if a.last != nil {
		a.last.Stop()
	}
}

// close frees the contexts.
func (h *halt) close() {
	h.endRunning(nil)
	h.endWrites(nil)
}
