package service

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/runner/metrics"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web"
)

// Options configure an Engine. Config is required.
type Options struct {
	Config *configs.Config
	// Version is that of upkeep; Command is what was called, for the others
	// who find the ledger taken.
	Version, Command string
	// Observer is told what happens to runs, beside those who listen on the
	// socket; nil for nobody.
	Observer runner.Observer
	// Pending makes the engine pick up what is queued, or was running when its
	// process died. Without it only what is asked of this process runs.
	Pending bool
	// Log is told how it goes; nil for nobody.
	Log *slog.Logger
	// Metrics are fed by what happens; nil for none, and then a Daemon makes
	// some.
	Metrics *metrics.Set
}

// Engine executes runs in this process, which holds the ledger alone. It is
// safe for use by several goroutines.
type Engine struct {
	o        Options
	config   atomic.Pointer[configs.Config]
	ledger   *ledger.Ledger
	queue    delivery
	exec     *executor.Executor
	hub      *web.Hub
	began    time.Time
	accepted *accepted
	// refusal says why nothing new may start; nil when it may.
	refusal func() error
	// owed rings when notices were put on record.
	owed chan struct{}
	// unsettled rings with owed, for those who look at open incidents.
	unsettled chan struct{}
	// mirror shows other nodes what attempts write; nil where there are none.
	mirror *mirror
	// full rings when a write found no space.
	full chan struct{}
	// nodes rings when nodes came or left.
	nodes chan struct{}
	// beaten rings after each renewal of the lease.
	beaten chan struct{}
	// echo tells the other nodes what changed here; hands are the runs under way.
	echo  *echo
	hands *hands
	// gate is that of a service, once it has one.
	gate atomic.Pointer[gate]
	// hard is the parent of everything that runs; stop ends it.
	hard    context.Context
	stop    context.CancelCauseFunc
	beating sync.WaitGroup
	// lie ends the proving that this process is alive.
	lie context.CancelFunc
}

// Open takes the ledger for this process alone and makes an engine. The error
// is a *ledger.LockedError when another process holds it. The caller closes
// the engine.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := newEngine(o)
	if err := makeStateDir(o.Config); err != nil {
		return nil, err
	}
	lo := LedgerOptions(o.Config, o.Version, named(o.Log, "ledger"))
	lo.Exclusive, lo.Command, lo.Member = true, o.Command, o.Pending
	lo.Alarm, lo.Owed = o.Config.Alarm(), e.told
	e.leased(&lo)
	var err error
	if e.ledger, err = ledger.Open(ctx, lo); err != nil {
		return nil, err
	}
	if err := e.ledger.Register(ctx); err != nil {
		return nil, errors.Join(err, e.ledger.Close())
	}
	if o.Config.Ledger.Dialect == "postgres" {
		e.mirror = newMirror(e.ledger.Mirror, named(o.Log, "mirror"))
	}
	identity, err := e.ledger.Identity(ctx)
	switch {
	case errors.Is(err, runner.ErrUnavailable):
		// Nobody may rewrite the ledger because it was away at the wrong moment.
		return nil, errors.Join(err, e.ledger.Close())
	case err != nil:
		o.Log.WarnContext(ctx, "jobs cannot tell the database of the ledger from others", "error", err)
	}
	// Runs outlive the context of whoever asks for them: only stop ends them.
	e.hard, e.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	e.exec = executor.New(executor.Options{
		Ledger: e.ledger, Compiler: compiler{e}, Observer: observers{e.accepted, e.hub, e.echo, failures{e}, e.mirrored(), o.Observer}, Node: o.Config.Node, Version: o.Version,
		LiveDir: e.ledger.LiveDir(), WorkDir: filepath.Join(StateDir(o.Config), "work"), Own: ownFiles(o.Config),
		Stop: e.hard, Log: named(o.Log, "executor"), Next: e.passOnOf, Holds: e.ledger.Holds, Drop: e.ledger.Drop, OnNoSpace: func() { ring(e.full) }, OnOutput: e.wrote,
		Limit: e.limit, Locker: locker{e}, OwnDatabase: identity,
	})
	proving, lie := context.WithCancel(context.WithoutCancel(ctx))
	e.lie = lie
	if e.queue, err = e.deliverer(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.beating.Go(func() { e.beat(proving) })
	e.beating.Go(func() { e.attend(proving) })
	if e.mirror != nil {
		e.beating.Go(func() { e.mirror.run(proving) })
	}
	if err := e.endLeftovers(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// newEngine returns an engine without its parts.
func newEngine(o Options) *Engine {
	e := &Engine{
		o: o, began: time.Now().UTC(), hub: web.NewHub(), accepted: newAccepted(), echo: newEcho(), hands: newHands(),
		refusal: func() error { return nil },
		owed:    make(chan struct{}, 1), unsettled: make(chan struct{}, 1), full: make(chan struct{}, 1), nodes: make(chan struct{}, 1), beaten: make(chan struct{}, 1),
	}
	e.config.Store(o.Config)
	return e
}

// ring makes a bell ring that rings already at most once more.
func ring(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// Config returns the configuration in force.
func (e *Engine) Config() *configs.Config { return e.config.Load() }

// Ledger returns the ledger that the engine holds.
func (e *Engine) Ledger() *ledger.Ledger { return e.ledger }

// Work executes runs until ctx ends; it then takes nothing new and returns
// when what is under way has ended. It is called once.
func (e *Engine) Work(ctx context.Context) error {
	return e.queue.Work(ctx, e.handle)
}

// passOn delivers the run that waited for the end of this one.
func (e *Engine) passOn(ctx context.Context, ended runner.RunID) {
	run, err := e.ledger.Run(ctx, string(ended))
	if err != nil {
		e.o.Log.WarnContext(ctx, "runs that wait for this one go on with the next sweep", "run", string(ended), "error", err)
		return
	}
	e.passOnOf(ctx, run.Spec.Workflow)
}

// passOnOf delivers the run of a workflow that waited for the end of another.
func (e *Engine) passOnOf(ctx context.Context, workflow string) {
	next, err := e.ledger.Next(ctx, workflow)
	if errors.Is(err, runner.ErrNotFound) {
		return
	}
	if err == nil {
		err = e.queue.Deliver(ctx, next)
	}
	if err != nil {
		e.o.Log.WarnContext(ctx, "the next run of the workflow goes on with the next sweep", "workflow", workflow, "error", err)
	}
}

// Stop ends everything that is under way where it is: what runs is given back
// and goes on at the next start.
func (e *Engine) Stop() { e.stop(runner.ErrShutdown) }

// Close gives the ledger back.
func (e *Engine) Close() error {
	e.stop(runner.ErrShutdown)
	e.lie()
	e.beating.Wait()
	return e.ledger.Close()
}

// compiler compiles by the configuration in force.
type compiler struct{ e *Engine }

// Compile implements runner.Compiler.
func (c compiler) Compile(ctx context.Context, spec runner.Spec, params map[string]string) (runner.Plan, error) {
	return c.e.Config().Compile(ctx, spec, params)
}

// observers passes every event on to several observers; nil ones are left out.
type observers []runner.Observer

// Observe implements runner.Observer.
func (all observers) Observe(ctx context.Context, event runner.Event) {
	for _, o := range all {
		if o != nil {
			o.Observe(ctx, event)
		}
	}
}

// onlyWhatIsAsked is the backlog of a command that executes what it is asked
// for: other runs that a crash left behind wait for the daemon or for a retry.
type onlyWhatIsAsked struct{}

// Pending returns none.
func (onlyWhatIsAsked) Pending(context.Context, runner.RunID, int) ([]runner.RunID, error) {
	return nil, nil
}

// WorksOn tells whether a living process works on an open run.
func WorksOn(ctx context.Context, nodes func(context.Context) ([]ledger.Node, error), run runner.Run) (bool, error) {
	list, err := nodes(ctx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list, func(n ledger.Node) bool { return n.Alive && n.Instance == run.Owner }), nil
}

// leftoverPage is how many interrupted runs are looked at in one read.
const leftoverPage = 100

// endLeftovers ends what the dead owners of interrupted runs left running on
// this host, before anything new starts: their named locks are free to be
// taken, so their children must be gone. With the lock file of an SQLite
// ledger in hand every other owner is dead; on PostgreSQL whoever claims a run
// on the same host does it, and a service for what others claimed. The children
// of planned attempts are left to be judged.
func (e *Engine) endLeftovers(ctx context.Context) error {
	cfg := e.Config()
	switch {
	case e.shared() && e.o.Pending:
		return e.endStrays(ctx)
	case e.shared():
		return nil
	}
	for after := runner.RunID(""); ; {
		ids, err := e.ledger.Pending(ctx, after, leftoverPage)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			run, err := e.ledger.Run(ctx, string(id))
			if err != nil {
				return err
			}
			if run.State != runner.Running || run.Node != cfg.Node {
				continue
			}
			attempts, err := e.ledger.Attempts(ctx, id)
			if err != nil {
				return err
			}
			switch ended, err := jobs.KillLeftovers(ctx, string(id), run.StartedAt, cfg.KillGrace, executor.Planned(attempts)...); {
			case err != nil:
				e.o.Log.WarnContext(ctx, "what an interrupted run left behind may still be running", "run", string(id), "cause", err)
			case ended > 0:
				e.o.Log.WarnContext(ctx, "child processes of an interrupted run were still running and have been ended", "run", string(id), "count", ended)
			}
		}
		after = ids[len(ids)-1]
	}
}
