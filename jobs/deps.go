package jobs

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/storage/object"
)

// Deps resolves the names that a job's options refer to. It is consulted while
// the configuration loads, so a wrong name is an error with a line: every
// method returns an error that lists the names that exist.
type Deps interface {
	// Store returns the configured store of that name.
	Store(name string) (object.Store, error)
	// Database returns the configured database of that name.
	Database(name string) (Database, error)
	// Check returns the configured check of that name.
	Check(name string) (Check, error)
	// Checks returns the names of all configured checks in file order.
	Checks() []string
	// History returns what a job of a workflow did before. Two empty names
	// mean the very job that is being built.
	History(workflow, job string) (History, error)
}

// Database is a configured database server and database.
type Database struct {
	// Name is the key under `databases:`.
	Name string
	// Kind is "postgres".
	Kind string
	// URL is the connection URL; it may hold a password.
	URL secret.String
}

// Check is a configured probe.
type Check struct {
	// Name is the key under `checks:`.
	Name string
	// Kind is the probe's kind.
	Kind string
	// Impact is "outage", "degraded" or "none".
	Impact string
	// Timeout bounds one probe.
	Timeout time.Duration
	// Probe is the job that does it, built anew by each call of Deps.Check.
	Probe Job
}

// History reads a job's earlier outcomes from the ledger. It is only usable
// while a run is under way.
type History interface {
	// Past returns at most limit ended attempts of the job that were not dry
	// runs, newest first, excluding the current run's. Only succeeded and
	// warned attempts are returned. It blocks for one short read.
	Past(ctx context.Context, limit int) ([]Past, error)
}

// Past is one earlier outcome of a job.
type Past struct {
	// RunID identifies the run.
	RunID string
	// Finished is when the attempt ended, UTC.
	Finished time.Time
	// Duration is how long it took.
	Duration time.Duration
	// Result is what it handed back.
	Result Result
}
