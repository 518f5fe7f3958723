// Package jobs is the contract between upkeep and the work it does: what a
// kind of job is, what one attempt may see (Env) and what it hands back
// (Result). It knows nothing about schedules, the ledger or any particular
// kind; each kind is a folder of its own below this one and passes the harness
// in jobstest.
package jobs

import (
	"context"
	"time"
)

// Job is one configured job, ready to run. A Job is built anew for every
// attempt, so it may keep state in its own fields during Run.
type Job interface {
	// Run does the work once. It may be called again after a crash cut an
	// earlier attempt short, on the same or another machine, so it must
	// converge: repeating it must be safe. It returns soon after ctx ends,
	// with an error that wraps context.Cause(ctx). Every change to the world
	// goes through env.Effect. The Result is recorded even when the error is
	// not nil; an error makes the attempt fail.
	Run(ctx context.Context, env *Env) (Result, error)
}

// Checker is implemented by jobs that can tell before they run whether they
// could: binaries present, paths readable, servers reachable. Validation calls
// it.
type Checker interface {
	// Check must have no effects and must return within a few seconds. Its
	// error says what is missing and, as a Hint, what to do.
	Check(ctx context.Context, env *Env) error
}

// Exclusive is implemented by jobs that must not run at the same time as
// others that touch the same thing.
type Exclusive interface {
	// LockKeys names what the attempt needs for itself alone, as
	// "family/name", for example "database/main". The executor takes all keys
	// or none before the attempt begins, and frees them after it ended.
	LockKeys() []string
}

// Effectful is implemented by jobs of probe kinds that change something with
// some of their options. Such a job cannot be a check.
type Effectful interface {
	// Effectful returns a *FieldError of the option by which the job changes
	// something, or nil when it does not.
	Effectful() error
}

// Survivor is implemented by jobs that may end upkeep itself: by restarting or
// upgrading it, or by a reboot. Such a job calls Env.PlanRestart before it does
// so; when upkeep ends after that, the attempt goes on under the next process.
type Survivor interface {
	// Judge decides, in a process started later, what became of an attempt that
	// began at since (UTC) and planned a restart. Its outcome is that of the
	// attempt, and all that Run's contract says holds for it: it may be called
	// again when its process dies too, and it returns soon after ctx ends. It
	// judges by what it finds, not by the fact that Run was cut short. What the
	// attempt left in env.WorkDir is there, unless a reboot emptied that, and
	// processes it started with child processes that survive may be at work
	// still (CountLeftovers); those that are when Judge returns are ended.
	Judge(ctx context.Context, env *Env, since time.Time) (Result, error)
}
