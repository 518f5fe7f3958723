package web

import (
	"context"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Commands is what people ask of runs and workflows. Its methods may be called
// from several goroutines, return when what they changed is durable, and give
// an error that api.ProblemOf can place, with a hint where a person can do
// something. by names who asks, such as "anna@db-1 (cli)"; it is proven, and
// goes into the record as it is. Run IDs are whole and exist.
type Commands interface {
	// Run records a run, or one for each node that is asked for, in the order of
	// their names, and has them delivered; it does not wait for them.
	// CodeNotFound for an unknown workflow, job, node or label, CodeInvalid for
	// impossible parameters, CodeUnavailable while nothing may start, or none of
	// the nodes is there.
	Run(ctx context.Context, by string, r api.RunRequest) ([]runner.Submission, error)
	// Cancel asks for the end of a run and returns its state before. A final
	// run changes nothing.
	Cancel(ctx context.Context, by string, id runner.RunID) (runner.State, error)
	// Retry continues a run; from is a job to repeat with all that need it, or
	// empty. ErrNotClaimable or CodeSkipped when there is nothing to continue.
	Retry(ctx context.Context, by string, id runner.RunID, from string) error
	// Approve lets a run go that waits for approval, as runner.Control.
	Approve(ctx context.Context, by string, id runner.RunID) error
	// Pause pauses a workflow, as runner.Control. CodeNotFound for an unknown
	// workflow.
	Pause(ctx context.Context, p runner.Pause) error
	// Unpause ends a pause and tells whether there was one. It also ends the
	// pause of a workflow that is no longer configured.
	Unpause(ctx context.Context, by, workflow string) (bool, error)
}

// Notices is what people ask of notices and channels. Its obligations are
// those of Commands.
type Notices interface {
	// Retry makes a dead or waiting notice due now. ErrNotFound without it,
	// CodeSkipped when it was sent.
	Retry(ctx context.Context, by, id string) error
	// Drop gives a notice up. ErrNotFound without it.
	Drop(ctx context.Context, by, id, reason string) error
	// Test sends a test message to a channel at once, past the outbox, and
	// returns what the channel answered. CodeNotFound for an unknown channel,
	// CodeUnavailable when it did not take the message, with why.
	Test(ctx context.Context, by, channel string) (receipt string, err error)
}
