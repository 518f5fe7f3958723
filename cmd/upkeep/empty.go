package main

import (
	"context"
	"fmt"

	"github.com/ghosteam/upkeep/runner"
)

// emptyLedger is what a ledger that does not exist yet reads as.
type emptyLedger struct{}

// Runs returns none.
func (emptyLedger) Runs(context.Context, runner.Filter) ([]runner.Run, error) { return nil, nil }

// Run finds nothing.
func (emptyLedger) Run(_ context.Context, id string) (runner.Run, error) {
	return runner.Run{}, fmt.Errorf("run %s: %w: nothing has run yet", id, runner.ErrNotFound)
}

// Attempts returns none.
func (emptyLedger) Attempts(context.Context, ...runner.RunID) ([]runner.Attempt, error) {
	return nil, nil
}

// Output finds nothing.
func (emptyLedger) Output(context.Context, runner.AttemptKey) (runner.Output, error) {
	return runner.Output{}, runner.ErrNotFound
}

// Past returns none.
func (emptyLedger) Past(context.Context, string, string, runner.RunID, int) ([]runner.Attempt, error) {
	return nil, nil
}

// Latest returns none.
func (emptyLedger) Latest(context.Context, []string) (map[string]runner.Run, error) {
	return map[string]runner.Run{}, nil
}
