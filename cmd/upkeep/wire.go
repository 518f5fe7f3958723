package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/runner/queue/local"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/object"
	objectall "github.com/ghosteam/upkeep/storage/object/all"
)

// catalog is everything that a configuration may name.
func (a *app) catalog() configs.Catalog {
	return configs.Catalog{Kinds: jobsall.Kinds(), Stores: object.NewRegistry(objectall.Kinds()...), Getenv: a.getenv}
}

// load reads the configuration. Errors of it are returned as configs.Problems.
//
// A configuration whose only errors are references without a value is returned
// beside its error: it can tell where the ledger is.
func (a *app) load() (*configs.Config, error) {
	path, err := a.configFile()
	if err != nil {
		return nil, err
	}
	return configs.Load(path, a.catalog())
}

// config reads a configuration that must be free of errors.
func (a *app) config() (*configs.Config, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	return cfg, nil
}

// log is where the program itself speaks to its operator.
func (a *app) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.std.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// closingReader is the read side of a ledger together with its end.
type closingReader struct {
	runner.Reader

	close func() error
	log   *slog.Logger
}

// Close ends the reader. What was read has been shown by then, so a failure is
// only logged.
func (r closingReader) Close() {
	if err := r.close(); err != nil {
		r.log.Warn("close the ledger", "error", err)
	}
}

// openReader opens the ledger for reading. A ledger that does not exist yet
// reads as empty. Unset references elsewhere in the configuration do not keep
// anyone from reading what happened.
func (a *app) openReader(ctx context.Context) (closingReader, error) {
	cfg, err := a.load()
	if cfg == nil {
		return closingReader{}, err
	}
	reader, err := ledger.OpenReader(ctx, a.ledgerOptions(cfg))
	if errors.Is(err, ledger.ErrMissing) {
		return closingReader{Reader: emptyLedger{}, close: func() error { return nil }, log: a.log()}, nil
	}
	if err != nil {
		return closingReader{}, err
	}
	return closingReader{Reader: reader, close: reader.Close, log: a.log()}, nil
}

// ledgerOptions are the options that all ways of opening the ledger share.
func (a *app) ledgerOptions(cfg *configs.Config) ledger.Options {
	state := stateDir(cfg)
	dsn := cfg.Ledger.URL
	if cfg.Ledger.Dialect == "sqlite" {
		dsn = secret.New("sqlite:" + cfg.Ledger.Path)
	}
	return ledger.Options{
		DSN: dsn, Node: cfg.Node, Version: version, StateDir: state, Log: a.log(),
		Live: func(key runner.AttemptKey) (runner.Output, bool, error) {
			return executor.ReadLive(filepath.Join(state, "live"), key)
		},
	}
}

// stateDir is where this node keeps what belongs to it alone: beside the
// ledger when that is a file, else below the root.
func stateDir(cfg *configs.Config) string {
	if cfg.Ledger.Dialect == "sqlite" {
		return filepath.Dir(cfg.Ledger.Path)
	}
	return filepath.Join(cfg.Root, "var")
}

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
		LiveDir: l.LiveDir(), WorkDir: filepath.Join(stateDir(cfg), "work"), Stop: hard, Log: a.log(),
	})
	e := &engine{
		cfg: cfg, ledger: l, stop: stop, handle: x.Handle,
		queue: local.New(local.Options{Backlog: onlyWhatIsAsked{}, Slots: cfg.MaxRunning, Base: hard, Log: a.log()}),
	}
	e.beating.Go(func() { e.beat(hard, a.log()) })
	return e, nil
}

// beat proves to the other nodes that this one is alive, until the engine
// stops. When it cannot, others may take over what runs here, so everything
// here ends.
func (e *engine) beat(ctx context.Context, log *slog.Logger) {
	if e.cfg.Ledger.Dialect == "sqlite" {
		return
	}
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
			log.ErrorContext(ctx, "this node lost its lease and gives up its runs", "error", err)
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

// Close gives the ledger back.
func (e *engine) Close() error {
	e.stop(runner.ErrShutdown)
	e.beating.Wait()
	return e.ledger.Close()
}

// whoAmI names the person at the keyboard for the record.
func whoAmI() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s@%s (cli)", name, host)
}

// completeWorkflows offers the names of workflows for a flag.
func (a *app) completeWorkflows(cmd *cobra.Command, flag string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return a.workflowNames(false), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(fmt.Sprintf("completion of --%s: %v", flag, err))
	}
}

// workflowNames lists workflows, and with jobs also WORKFLOW.JOB, for
// completion; a configuration that does not load completes to nothing.
func (a *app) workflowNames(jobs bool) []string {
	cfg, err := a.load()
	if err != nil {
		return nil
	}
	var names []string
	for _, w := range cfg.Workflows {
		names = append(names, w.Name)
		for _, j := range w.Jobs {
			if jobs {
				names = append(names, w.Name+"."+j.Name)
			}
		}
	}
	return names
}

// completeRuns offers recent runs and workflows for the argument RUN, and the
// run's jobs for the argument after it.
func (a *app) completeRuns(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	reader, err := a.openReader(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer reader.Close()
	if len(given) > 0 {
		run, err := resolveRun(cmd.Context(), reader, given[0])
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		attempts, err := reader.Attempts(cmd.Context(), run.ID)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		latest, _ := latestPerJob(attempts)
		var names []string
		for _, at := range latest {
			names = append(names, at.Job+"\t"+string(at.State))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	runs, err := reader.Runs(cmd.Context(), runner.Filter{Limit: 20})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := []string{"last"}
	for _, r := range runs {
		names = append(names, fmt.Sprintf("%s\t%s %s %s", r.ID, r.Spec.Workflow, r.State, stamp(r.QueuedAt)))
	}
	return append(names, a.workflowNames(false)...), cobra.ShellCompDirectiveNoFileComp
}
