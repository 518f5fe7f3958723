package web

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// Service is the daemon itself. Its methods may be called from several
// goroutines.
type Service interface {
	// Status tells how the daemon is. It is quick, and does not fail because a
	// part of the daemon does: what could not be found out stands in Problems.
	Status(ctx context.Context) api.Status
	// Checks looks at everything the daemon needs to do its work, each within
	// a second or so.
	Checks(ctx context.Context) []api.StatusCheck
	// Drain keeps new runs from starting until Undrain or the end of the
	// process. Draining again changes nothing.
	Drain(ctx context.Context, by string) error
	// Undrain ends a drain and tells whether there was one.
	Undrain(ctx context.Context, by string) (bool, error)
	// Idle blocks until no run is under way on this node, or ctx ends; it
	// returns context.Cause(ctx) then.
	Idle(ctx context.Context) error
	// Reload loads the configuration anew, whole or not at all. A file that
	// does not load is no error: Reload.Config is degraded then and
	// Reload.Problems says why.
	Reload(ctx context.Context, by string) (api.Reload, error)
}

// Workflow is what the configuration says about a workflow.
type Workflow struct {
	Name, Description string
	// Schedule says in words when it is due.
	Schedule string
	// Zone is the name of its time zone.
	Zone string
	// Next is when it is due next, zero when it runs on request only.
	Next time.Time
	// Jobs are the names of its jobs in the order of the file.
	Jobs []string
	// FreshWithin is how old its last success may be; 0 when it is not said.
	FreshWithin time.Duration
	// RunsOn is api.Workflow's.
	RunsOn string
}

// Catalog is the configuration in force and what follows from it. Its methods
// may be called from several goroutines.
type Catalog interface {
	// Workflows returns the workflows in the order of the configuration. It
	// touches no disk and no network.
	Workflows() []Workflow
	// Plan returns the coming slots in [from, until) of one workflow, or of
	// all when the name is empty, at most limit. CodeNotFound for an unknown
	// workflow.
	Plan(ctx context.Context, workflow string, from, until time.Time, limit int) (api.Plan, error)
	// Why explains what became of the slots of a day. date is what a person
	// wrote: a date, an instant, or empty for the last slot; CodeInvalid when
	// it is none of these, CodeNotFound for a workflow that is neither
	// configured nor on record, and for a node that does not belong to the
	// system. An empty node asks about all of them.
	Why(ctx context.Context, workflow, date, node string) (api.Why, error)
	// Nodes returns the instances on record, ordered by name and registration.
	Nodes(ctx context.Context) ([]api.Node, error)
	// Locks returns the named locks that are configured, held or waited for, by
	// name.
	Locks(ctx context.Context) ([]api.Lock, error)
}
