package jobs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Env is the world of one attempt: who it is, where it may write, and the one
// gate through which it may change anything. It is safe for use by several
// goroutines of the job.
type Env struct {
	// RunID, Workflow, Job and Attempt identify the attempt; Attempt counts
	// from 1 within the run.
	RunID, Workflow, Job string
	Attempt              int
	// Trigger says why the run exists; Slot is the instant at which it was
	// due, UTC.
	Trigger string
	Slot    time.Time
	// Node is the name of the node that runs the attempt.
	Node string
	// Version is the version of upkeep, for what outlives the run.
	Version string
	// Zone is the time zone of the workflow's schedule; nil means UTC.
	Zone *time.Location
	// Root is the absolute folder against which the configuration resolves
	// relative paths; it is the default working directory of child processes.
	Root string
	// WorkDir is an empty private directory (0700) for this attempt; it is
	// removed when the attempt ends, and stays as it is over a planned restart.
	WorkDir string
	// KillGrace is the time between asking a child process to end and killing
	// it.
	KillGrace time.Duration
	// Fences are the fencing numbers of the attempt's named locks that are kept
	// outside of upkeep, by name: each holder of such a lock has a larger number
	// than those before it, so that what it writes to can refuse a late one.
	Fences map[string]int64
	// Log carries the attempt's identity in every record.
	Log *slog.Logger
	// Out takes what the job says. It is captured with a bound, scrubbed of
	// secrets and readable while the attempt runs. Writes never fail and are
	// safe from several goroutines.
	Out io.Writer

	hooks Hooks
	own   func() map[inode]bool
	// agreed tells that the job's plan is the one that was demanded.
	agreed *atomic.Bool
}

// Hooks are the parts of an Env that only its maker sets.
type Hooks struct {
	// DryRun makes Effect describe instead of do.
	DryRun bool
	// Plan is the plan that the attempt may carry out, as an earlier dry run
	// named it; empty when any may be.
	Plan string
	// Progress receives how far the attempt is; nil for nobody.
	Progress func(done, total int64, unit string)
	// Allowed is asked before each effect; an error keeps it from happening. nil
	// allows all.
	Allowed func() error
	// Effect receives the description of each effect before it happens; nil
	// for nobody.
	Effect func(what string)
	// Effected receives the same description after the effect, and its error;
	// nil for nobody.
	Effected func(what string, err error)
	// PlanRestart puts on record that the attempt is about to end upkeep; nil
	// when nothing is recorded.
	PlanRestart func(ctx context.Context, what string) error
	// Scrub takes the secrets that the attempt was given out of a text; nil
	// when there are none.
	Scrub func(text string) string
	// Own are the absolute paths of upkeep's own files and folders: the
	// ledger and what lies beside it. IsOwn knows them.
	Own []string
	// OwnDatabase identifies the ledger's database on a PostgreSQL server; empty
	// for none.
	OwnDatabase string
}

// NewEnv completes e with hooks. The executor and the test harness call it.
func NewEnv(e Env, h Hooks) *Env {
	e.hooks = h
	e.agreed = &atomic.Bool{}
	e.own = sync.OnceValue(func() map[inode]bool { return inodesOf(h.Own) })
	if e.Out == nil {
		e.Out = io.Discard
	}
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	return &e
}

// Effect is the one gate through which a job changes the world. In a dry run
// it writes "would <what>" to Out and returns nil without calling do.
// Otherwise it refuses to start when ctx has ended or a plan is demanded that
// the job has not agreed to, or the node is no longer sure to own the run, tells its observers what is
// about to happen and that it has, and returns what do returns. what is an imperative phrase
// without secrets, such as "delete logs/app.log (12 kB, 9d old)". Several
// effects of one job may be under way at once.
func (e *Env) Effect(ctx context.Context, what string, do func(context.Context) error) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("not started: %s: %w", what, err)
	}
	if err := e.Planned(); err != nil {
		return err
	}
	if e.hooks.DryRun {
		if _, err := fmt.Fprintf(e.Out, "would %s\n", what); err != nil {
			return fmt.Errorf("describe effect: %w", err)
		}
		return nil
	}
	if e.hooks.Allowed != nil {
		if err := e.hooks.Allowed(); err != nil {
			return fmt.Errorf("not started: %s: %w", what, err)
		}
	}
	if e.hooks.Effect != nil {
		e.hooks.Effect(what)
	}
	err := do(ctx)
	if e.hooks.Effected != nil {
		e.hooks.Effected(what, err)
	}
	return err
}

// PlanRestart puts on record, durably, that the attempt is about to do what may
// end upkeep itself; what says it as a short phrase without secrets, such as
// "reboot". Only a Survivor has a use for it. When upkeep ends after it has
// returned nil, the attempt is not lost but judged by the next process, and
// while upkeep drains it is not waited for. On an error nothing is planned, and
// the job must not go on. In a dry run it does nothing.
func (e *Env) PlanRestart(ctx context.Context, what string) error {
	if e.hooks.DryRun || e.hooks.PlanRestart == nil {
		return nil
	}
	return e.hooks.PlanRestart(ctx, what)
}

// DryRun tells whether Effect only describes. It serves the wording of
// summaries; what must not happen in a dry run belongs into Effect.
func (e *Env) DryRun() bool { return e.hooks.DryRun }

// Progress reports that done of total units are finished; total is 0 when it
// is unknown. unit is a plural noun or "bytes". It may be called often and
// never blocks for long.
func (e *Env) Progress(done, total int64, unit string) {
	if e.hooks.Progress != nil {
		e.hooks.Progress(done, total, unit)
	}
}

// Scrub returns text without the secrets that the attempt was given. What a
// job returns is scrubbed once more by its caller, but only whole secrets are
// recognized, so a job calls this before it cuts or changes foreign text.
func (e *Env) Scrub(text string) string {
	if e.hooks.Scrub == nil {
		return text
	}
	return e.hooks.Scrub(text)
}

// OneLine is the function OneLine for text that may hold secrets.
func (e *Env) OneLine(text string) string { return OneLine(e.Scrub(text)) }

// Printf writes one formatted line to Out.
func (e *Env) Printf(format string, args ...any) {
	// Out never fails by its contract, so there is no error to handle.
	_, _ = fmt.Fprintf(e.Out, format+"\n", args...)
}
