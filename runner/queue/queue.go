// Package queue is the contract of delivery: how runs that are on record as
// queued reach an executor. The ledger is the truth; a queue carries nothing
// but run IDs, may deliver one twice, and may lose all of them at a crash,
// because what is pending is found again in the ledger.
package queue

import (
	"context"

	"github.com/ghosteam/upkeep/runner"
)

// Handler executes one delivered run and returns when the run has ended, was
// released, or turned out not to be claimable. ctx ends by Interrupt, with its
// cause, or when the queue is forced to stop.
type Handler func(ctx context.Context, id runner.RunID)

// Queue delivers runs. Each implementation is a folder below this one and
// passes the suite in queuetest.
type Queue interface {
	// Deliver hands over runs that are on record. It does not wait for their
	// execution, may be called with the same run again, and may be called
	// before, during and after Work; what is delivered after Work ended waits
	// for the next Work.
	Deliver(ctx context.Context, ids ...runner.RunID) error
	// Work hands runs to h, at most the configured number at once, each run to
	// at most one h of this process at a time. It first picks up what is
	// pending in the ledger. When ctx ends it takes nothing new, waits for the
	// running handlers, whose contexts stay alive, and returns nil. It is
	// called once.
	Work(ctx context.Context, h Handler) error
	// Interrupt ends the context of the handler of a run with cause, if this
	// process is executing the run, and tells whether it is. It does not wait.
	Interrupt(id runner.RunID, cause error) bool
}
