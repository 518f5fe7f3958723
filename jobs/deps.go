package jobs

import (
	"context"
	"fmt"
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
	// Kind is Postgres or Redis.
	Kind string
	// URL is the connection URL; it may hold a password.
	URL secret.String
}

// The kinds of database.
const (
	Postgres = "postgres"
	Redis    = "redis"
)

// DatabaseOf returns the configured database of that name, which must be of the
// kind. A kind of job calls it instead of Deps.Database when it speaks with one
// kind of server only; its errors are those of that method.
func DatabaseOf(deps Deps, kind, name string) (Database, error) {
	db, err := deps.Database(name)
	if err == nil && db.Kind != kind {
		err = WithHint(fmt.Errorf("database %q is of the kind %s", name, db.Kind), "this job works on a database of the kind "+kind)
	}
	return db, err
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
