package executor

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/retry"
)

// Ledger is what the executor needs of the ledger. The obligations are those
// of runner.Ledger, runner.Watcher and runner.Reader.
type Ledger interface {
	Claim(ctx context.Context, id runner.RunID) (runner.Claim, runner.Run, error)
	Advance(ctx context.Context, c runner.Claim, s runner.Step) ([]runner.Blocked, error)
	Release(ctx context.Context, c runner.Claim) error
	Watch(ctx context.Context, claims ...runner.Claim) (causes []error, err error)
	Attempts(ctx context.Context, runs ...runner.RunID) ([]runner.Attempt, error)
	Past(ctx context.Context, workflow, job string, except runner.RunID, limit int) ([]runner.Attempt, error)
}

// Options configure an Executor. Ledger and Compiler are required.
type Options struct {
	Ledger   Ledger
	Compiler runner.Compiler
	// Observer is told what happens; nil for nobody.
	Observer runner.Observer
	// Node is the name of this node, Version that of upkeep.
	Node, Version string
	// LiveDir is the private folder in which the output of running attempts
	// can be read by other processes; see ReadLive. Empty for none.
	LiveDir string
	// WorkDir is the folder in which attempts get their private folders; empty
	// means the system's folder for temporary files. It is made when needed.
	WorkDir string
	// Own are the absolute paths of upkeep's own files, which jobs leave alone
	// (jobs.Env.IsOwn).
	Own []string
	// OwnDatabase identifies the ledger's database on a PostgreSQL server, which
	// jobs neither shut out nor replace (jobs.Env.OwnDatabase); empty for none.
	OwnDatabase string
	// HeadBytes and TailBytes are how much of an attempt's output is kept from
	// its beginning and from its end; 0 means 256 KiB and 768 KiB.
	HeadBytes, TailBytes int
	// Stop ends all runs of the executor, also those whose own context has
	// ended by a cancel, when the process must go: a shutdown, whatever its
	// cause says. nil means never.
	Stop context.Context
	// Next is called when the end of a run is on record and before Handle
	// returns, so that a run which waited for it is delivered at once; it may
	// block for a short read and a delivery. A run that ends without being
	// executed, by the cancel of a queued one, is not told. nil for nobody.
	Next func(ctx context.Context, workflow string)
	// OnNoSpace is called when the ledger, or a folder of the executor, has no
	// room left on its disk, as often as that is found. It must not block; nil
	// for nobody.
	OnNoSpace func()
	// OnOutput is called with what an attempt wrote, scrubbed, in order, and
	// with the place of its first byte in all that the attempt wrote. What was
	// told can be read by ReadLive by then, if there is a LiveDir and room. It
	// must not block, and not keep the bytes; nil for nobody.
	OnOutput func(key runner.AttemptKey, from int64, written []byte)
	// Limit says how many may hold a named lock at once; nil means one. It is
	// asked each time that a job wants the lock.
	Limit func(lock string) int
	// Locker keeps locks outside of the ledger; nil for none.
	Locker runner.Locker
	// Holds tells, from what is known in this process and at once, why a claim may
	// no longer be worked on: nothing changes the world any more then, and the run
	// ends as when somebody took it over. nil means that all hold.
	Holds func(runner.Claim) error
	// Drop hears of a claim on which nobody here works any longer although its run
	// has neither ended nor been given back. It must not block. Nil: nobody.
	Drop func(runner.Claim)
	// Log is where the executor and, with their identity, attempts log; nil
	// for nowhere.
	Log *slog.Logger
}

// Executor executes runs. It is safe for use by several goroutines and keeps
// nothing between runs but a few empty folders.
type Executor struct {
	options Options
	spares  spares
	watch   watch
	// draining ends when the process is about to end in good order.
	draining context.Context
	drain    context.CancelFunc
}

// Default sizes of captured output.
const (
	defaultHead = 256 << 10
	defaultTail = 768 << 10
)

// New returns an Executor.
func New(o Options) *Executor {
	o.HeadBytes = cmp.Or(max(o.HeadBytes, 0), defaultHead)
	o.TailBytes = cmp.Or(max(o.TailBytes, 0), defaultTail)
	e := &Executor{}
	e.spares.dir = o.WorkDir // none are left about in the system's folder
	o.WorkDir = cmp.Or(o.WorkDir, os.TempDir())
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Stop == nil {
		o.Stop = context.Background()
	}
	if o.Limit == nil {
		o.Limit = func(string) int { return 1 }
	}
	if o.Drop == nil {
		o.Drop = func(runner.Claim) {}
	}
	if o.Holds == nil {
		o.Holds = func(runner.Claim) error { return nil }
	}
	if o.OnNoSpace == nil {
		o.OnNoSpace = func() {}
	}
	e.options = o
	e.watch.ledger, e.watch.holds, e.watch.log = o.Ledger, o.Holds, o.Log
	e.draining, e.drain = context.WithCancel(context.Background())
	return e
}

// Drain tells that the process waits for its runs and then ends. Attempts that
// planned a restart are the reason for it, or will see it as theirs, so they
// are not waited for: their runs are given back, with the attempts as planned,
// for the next process to judge. Their jobs are left to themselves until this
// process ends. Everything else goes on.
func (e *Executor) Drain() { e.drain() }

// nobody observes nothing.
type nobody struct{}

// Observe forgets the event.
func (nobody) Observe(context.Context, runner.Event) {}

// Handle claims the run and works on it until it has ended, was given back
// because of a shutdown, or belongs to somebody else. It is a queue.Handler.
// The cause of ctx's end decides what happens: *runner.CanceledError cancels
// the run, runner.ErrSuperseded abandons it without a word, anything else is a
// shutdown. Failures are logged; a run that could not be claimed or recorded
// stays pending in the ledger.
func (e *Executor) Handle(ctx context.Context, id runner.RunID) {
	log := e.options.Log.With("run", string(id))
	if ctx.Err() != nil || e.options.Stop.Err() != nil {
		return
	}
	claim, record, err := e.claim(ctx, id)
	switch {
	case errors.Is(err, runner.ErrNotClaimable), errors.Is(err, runner.ErrNotFound):
		log.DebugContext(ctx, "the run is not ours to execute", "cause", err)
		return
	case errors.Is(err, runner.ErrLeaseLost):
		log.InfoContext(ctx, "the run stays pending, because this node has lost its lease", "cause", err)
		return
	case err != nil:
		log.ErrorContext(ctx, "the run could not be claimed and stays pending", "error", err)
		return
	}
	r := &run{
		Options: &e.options, spares: &e.spares, watch: &e.watch, claim: claim, record: record, halt: newHalt(ctx),
		log: log.With("workflow", record.Spec.Workflow),
	}
	defer r.halt.close()
	detach := context.AfterFunc(ctx, func() { r.halt.end(context.Cause(ctx)) })
	defer detach()
	//nolint:contextcheck // the process may have to stop although ctx has ended already, by a cancel
	release := context.AfterFunc(e.options.Stop, func() { r.halt.end(runner.ErrShutdown) })
	defer release()
	//nolint:contextcheck // see above
	leave := context.AfterFunc(e.draining, r.halt.drain)
	defer leave()
	r.execute() //nolint:contextcheck // the run outlives ctx; halt holds its contexts
	if r.record.State.Final() && e.options.Next != nil {
		e.options.Next(context.WithoutCancel(ctx), record.Spec.Workflow)
	}
}

// claimPolicy bounds how long a delivery waits for a ledger that is away.
// Deliveries are repeated, so giving up loses nothing.
func claimPolicy() retry.Policy {
	return retry.Policy{Max: 8, Backoff: retry.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}}
}

func (e *Executor) claim(ctx context.Context, id runner.RunID) (claim runner.Claim, record runner.Run, err error) {
	err = retry.Do(ctx, claimPolicy(), func(ctx context.Context) error {
		var err error
		// A claim that is cut short could be on record without anyone who
		// knows its epoch, so it is seen through.
		claim, record, err = e.options.Ledger.Claim(context.WithoutCancel(ctx), id)
		if errors.Is(err, runner.ErrNoSpace) {
			e.options.OnNoSpace()
		}
		if err != nil && !errors.Is(err, runner.ErrUnavailable) {
			return retry.Permanent(err)
		}
		return err
	})
	return claim, record, err
}
