package queue

import (
	"context"

	"github.com/ghosteam/upkeep/runner"
)

// Active are the runs that handlers of one process work on. The zero value
// holds none. Its methods do not block; whoever owns it guards it against
// several goroutines, because each change of it goes with one of his own.
type Active struct{ runs map[runner.RunID]*handling }

// handling is a run in the hands of a handler.
type handling struct {
	end context.CancelCauseFunc
	// again tells that the run was delivered meanwhile: it may have been given
	// back or reopened since the handler began, so it is handed over once more.
	again bool
}

// Len returns how many there are.
func (a *Active) Len() int { return len(a.runs) }

// Begin adds a run that is not among them, and returns the context of its
// handler, a child of base.
func (a *Active) Begin(base context.Context, id runner.RunID) context.Context {
	ctx, end := context.WithCancelCause(base)
	if a.runs == nil {
		a.runs = map[runner.RunID]*handling{}
	}
	a.runs[id] = &handling{end: end}
	return ctx
}

// Again notes that a run was delivered while a handler works on it; false, and
// nothing is noted, when none does.
func (a *Active) Again(id runner.RunID) bool {
	h := a.runs[id]
	if h != nil {
		h.again = true
	}
	return h != nil
}

// Interrupt ends the context of the handler of a run with cause, and tells
// whether one works on it.
func (a *Active) Interrupt(id runner.RunID, cause error) bool {
	h := a.runs[id]
	if h != nil {
		h.end(cause)
	}
	return h != nil
}

// End takes a run back from its handler, and tells whether it was delivered
// meanwhile.
func (a *Active) End(id runner.RunID) (again bool) {
	h := a.runs[id]
	h.end(nil)
	delete(a.runs, id)
	return h.again
}
