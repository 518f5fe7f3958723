package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/runner/queue/local"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// engine is what executes runs in this process.
type engine struct {
	cfg    *configs.Config
	ledger *ledger.Ledger
	queue  *local.Queue
	stop   context.CancelCauseFunc
	handle func(ctx context.Context, id runner.RunID)

	beating sync.WaitGroup
}

// openEngine takes the ledger for this process alone and makes an engine. The
// caller closes it.
func (a *app) openEngine(ctx context.Context, cfg *configs.Config, command string, observer runner.Observer) (*engine, error) {
	o := a.ledgerOptions(cfg)
	o.Exclusive, o.Command = true, command
	l, err := ledger.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := l.Register(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	// Runs outlive the command's context: the first signal cancels them in
	// good order, only the second stops them.
	hard, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	x := executor.New(executor.Options{
		Ledger: l, Compiler: cfg, Observer: observer, Node: cfg.Node, Version: version,
		LiveDir: l.LiveDir(), WorkDir: filepath.Join(stateDir(cfg), "work"), Own: ownFiles(cfg), Stop: hard, Log: a.log(),
	})
	e := &engine{
		cfg: cfg, ledger: l, stop: stop, handle: x.Handle,
		queue: local.New(local.Options{Backlog: onlyWhatIsAsked{}, Slots: cfg.MaxRunning, Base: hard, Log: a.log()}),
	}
	e.beating.Go(func() { e.beat(hard, a.log()) })
	if err := e.endLeftovers(ctx, a.log()); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// leftoverPage is how many interrupted runs are looked at in one read.
const leftoverPage = 100

// endLeftovers ends what the dead owners of interrupted runs left running on
// this host, before anything new starts: their named locks are free to be
// taken, so their children must be gone. With the lock file of an SQLite
// ledger in hand every other owner is dead; on PostgreSQL whoever claims a run
// does it.
func (e *engine) endLeftovers(ctx context.Context, log *slog.Logger) error {
	if e.cfg.Ledger.Dialect != "sqlite" {
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
			if run.State != runner.Running || run.Node != e.cfg.Node {
				continue
			}
			switch ended, err := jobs.KillLeftovers(ctx, string(id), run.StartedAt, e.cfg.KillGrace); {
			case err != nil:
				log.WarnContext(ctx, "what an interrupted run left behind may still be running", "run", string(id), "cause", err)
			case ended > 0:
				log.WarnContext(ctx, "child processes of an interrupted run were still running and have been ended", "run", string(id), "count", ended)
			}
		}
		after = ids[len(ids)-1]
	}
}

// ownFiles are the files and folders that jobs must leave alone.
func ownFiles(cfg *configs.Config) []string {
	state := stateDir(cfg)
	own := []string{filepath.Join(state, "live"), filepath.Join(state, "work")}
	if path := cfg.Ledger.Path; path != "" {
		own = append(own, path, path+"-wal", path+"-shm", path+"-journal", path+".lock")
	}
	return own
}

// beat proves to the other nodes that this one is alive, until the engine
// stops. When it cannot, others may take over what runs here, so everything
// here ends.
func (e *engine) beat(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(ledger.HeartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch err := e.ledger.Heartbeat(ctx); {
		case errors.Is(err, runner.ErrLeaseLost):
			log.ErrorContext(ctx, "this process lost the ledger and gives up its runs", "error", err)
			e.stop(runner.ErrSuperseded)
		case err != nil && ctx.Err() == nil:
			log.WarnContext(ctx, "the lease could not be renewed yet", "error", err)
		}
	}
}

// onlyWhatIsAsked is the backlog of a command that executes one run: other
// runs that a crash left behind wait for the daemon or for a retry.
type onlyWhatIsAsked struct{}

// Pending returns none.
func (onlyWhatIsAsked) Pending(context.Context, runner.RunID, int) ([]runner.RunID, error) {
	return nil, nil
}

// worksOn tells whether a living process works on an open run.
func (e *engine) worksOn(ctx context.Context, run runner.Run) bool {
	orphaned, err := history{nodes: e.ledger.Nodes}.orphaned(ctx, run)
	return err == nil && !orphaned
}

// Close gives the ledger back.
func (e *engine) Close() error {
	e.stop(runner.ErrShutdown)
	e.beating.Wait()
	return e.ledger.Close()
}
