package runner

import (
	"context"
	"time"
)

// Outcome is what a run that a check started did about what the check reported.
type Outcome string

// The outcomes. All but the first are final.
const (
	OutcomeOpen     Outcome = ""          // nobody knows yet
	OutcomeFixed    Outcome = "fixed"     // the check is well again
	OutcomeNotFixed Outcome = "not_fixed" // it is not
	OutcomeWorse    Outcome = "worse"     // it is worse, or another check fails since
	OutcomeObserved Outcome = "observed"  // it only looked: a dry run, or one for evidence
	OutcomeDropped  Outcome = "dropped"   // nothing was done: it was turned down, or no longer needed
)

// Budget is how often a check may start runs of a workflow, whichever nodes they
// are for. While any run of the workflow is open, there is no room for another.
type Budget struct {
	// Cooldown is the shortest time between the end of one and the record of the
	// next. Max is how many may begin within Per; 0 means any number.
	Cooldown time.Duration
	Max      int
	Per      time.Duration
}

// Remedy is what is on record of a run of a runbook: a workflow that a check
// starts.
type Remedy struct {
	// Run is the run; it identifies the remedy.
	Run             RunID
	Workflow, Check string
	// Health is that of the check when it started the run, Report says in one
	// line, without secrets, what it reported. Failing are the checks that were
	// critical then.
	Health  Health
	Report  string
	Failing []string
	// Since is when the fault began, as far as is known; BegunAt is when the run
	// was asked for.
	Since, BegunAt time.Time
	// Outcome is what came of it, Why says it in one line; DecidedAt is when
	// that was known, zero before.
	Outcome   Outcome
	Why       string
	DecidedAt time.Time
	// RelapsedAt is when the same fault was there again within a day after it
	// was fixed; zero for never.
	RelapsedAt time.Time
	// Disabled tells that the runbook was paused because of this outcome.
	Disabled bool
}

// RemedyFilter selects remedies. Zero fields select everything.
type RemedyFilter struct {
	Workflow string
	// Since bounds BegunAt: Since <= BegunAt.
	Since time.Time
	// Limit is the most to return; 0 means 50.
	Limit int
}

// Remedies keeps what is on record of runs of runbooks. PutRemedy follows the
// obligations of Ledger, Remedies those of Reader.
type Remedies interface {
	// PutRemedy records a remedy, in the place of what is on record of its run.
	// ErrNotFound when there is no such run. It goes with its run.
	PutRemedy(ctx context.Context, r Remedy) error
	// Remedies returns the remedies that f selects, the newest run first.
	Remedies(ctx context.Context, f RemedyFilter) ([]Remedy, error)
}
