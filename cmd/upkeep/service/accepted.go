package service

import (
	"context"
	"sync"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// accepted counts the runs that this process promised to see through. A
// command in the foreground ends when none is left; whoever asks after that
// finds the ledger free. It is safe for use by several goroutines.
type accepted struct {
	mu sync.Mutex
	// entering counts requests that are about to add a run.
	entering int
	runs     map[runner.RunID]bool
	// ending tells that nothing more is accepted.
	ending bool
	// empty is closed when ending was asked for and nothing is left.
	empty chan struct{}
	// closing tells that ending was asked for.
	closing bool
}

func newAccepted() *accepted {
	return &accepted{runs: map[runner.RunID]bool{}, empty: make(chan struct{})}
}

// enter begins a request; the caller calls leave when its run is added or not
// to be. The error says that this process ends.
func (a *accepted) enter() (leave func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ending {
		return nil, api.NewProblem(api.CodeUnavailable, "try again", "the process that holds the ledger is about to end")
	}
	a.entering++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.entering--
		a.check()
	}, nil
}

// add notes a run that was accepted.
func (a *accepted) add(id runner.RunID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.runs[id] = true
}

// has tells whether a run was accepted and has not ended.
func (a *accepted) has(id runner.RunID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.runs[id]
}

// Observe implements runner.Observer: a run that ended is done with.
func (a *accepted) Observe(_ context.Context, event runner.Event) {
	if ended, ok := event.(runner.RunEnded); ok {
		a.remove(ended.Run.ID)
	}
}

// remove notes that a run has ended.
func (a *accepted) remove(id runner.RunID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.runs, id)
	a.check()
}

// whenEmpty returns what is closed once nothing is left; from then on nothing
// more is accepted.
func (a *accepted) whenEmpty() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closing = true
	a.check()
	return a.empty
}

// check ends the accepting when nothing is left. The caller holds mu.
func (a *accepted) check() {
	if a.closing && !a.ending && a.entering == 0 && len(a.runs) == 0 {
		a.ending = true
		close(a.empty)
	}
}
