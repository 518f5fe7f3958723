package main

import (
	"context"
	"fmt"
	"time"

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

// Slots returns none.
func (emptyLedger) Slots(context.Context, string, time.Time, time.Time, int) ([]runner.Run, error) {
	return nil, nil
}

// Usual knows none.
func (emptyLedger) Usual(context.Context, []string) (map[string]runner.Usual, error) {
	return map[string]runner.Usual{}, nil
}

// Shares knows none.
func (emptyLedger) Shares(context.Context, []string) ([]runner.Share, error) { return nil, nil }

// Successes knows none.
func (emptyLedger) Successes(context.Context, []string) (map[string]time.Time, error) {
	return map[string]time.Time{}, nil
}

// Pauses returns none.
func (emptyLedger) Pauses(context.Context) ([]runner.Pause, error) { return nil, nil }

// Cursors returns none.
func (emptyLedger) Cursors(context.Context, string) ([]runner.Cursor, error) { return nil, nil }

// Incidents returns none.
func (emptyLedger) Incidents(context.Context, runner.IncidentFilter) ([]runner.Incident, error) {
	return nil, nil
}

// Incident finds nothing.
func (emptyLedger) Incident(_ context.Context, id string) (runner.Incident, error) {
	return runner.Incident{}, fmt.Errorf("incident %s: %w: nothing has run yet", id, runner.ErrNotFound)
}

// Notices returns none.
func (emptyLedger) Notices(context.Context, runner.NoticeFilter) ([]runner.Notice, error) {
	return nil, nil
}

// Series returns none.
func (emptyLedger) Series(context.Context, string) ([]runner.Series, error) { return nil, nil }

// Samples returns none.
func (emptyLedger) Samples(context.Context, runner.SampleFilter) ([]runner.Stretch, error) {
	return nil, nil
}

// Happenings returns none.
func (emptyLedger) Happenings(context.Context, runner.HappeningFilter) ([]runner.Happening, error) {
	return nil, nil
}

// Timeline finds nothing.
func (emptyLedger) Timeline(_ context.Context, id string) ([]runner.Entry, error) {
	return nil, fmt.Errorf("incident %s: %w: nothing has run yet", id, runner.ErrNotFound)
}

// Silences returns none.
func (emptyLedger) Silences(context.Context, time.Time, bool) ([]runner.Silence, error) {
	return nil, nil
}
