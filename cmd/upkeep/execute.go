package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// asker asks a commander for a run that the command then sees through, and
// returns its ID.
type asker func(ctx context.Context, c commander) (runner.RunID, error)

// execute has one run executed, by the process that holds the ledger or by this
// one, shows it, and ends as the run does.
func (a *app) execute(ctx context.Context, cfg *configs.Config, c *remote, command string, quiet bool, ask asker) error {
	restore := keepRunningWithoutReader()
	defer restore()
	screen := a.std.Out
	if a.format != formatTable {
		screen = a.std.Err
	}
	show := &relay{}
	open := func(id runner.RunID) func() {
		show.run = id
		if !quiet {
			show.display = a.newDisplay(screen)
		}
		return func() {
			if show.display != nil {
				show.display.Close()
			}
		}
	}
	id, stopped, err := a.seeThrough(ctx, cfg, c, command, show, open, ask)
	if err != nil {
		return err
	}
	return a.conclude(context.WithoutCancel(ctx), cfg, screen, quiet, id, stopped)
}

// seeThrough finds who executes the run and waits for its end. stopped tells
// that a person stopped waiting for it.
func (a *app) seeThrough(ctx context.Context, cfg *configs.Config, c *remote, command string, show *relay, open func(runner.RunID) func(), ask asker) (id runner.RunID, stopped bool, err error) {
	for began := time.Now(); ; {
		if c != nil {
			return a.follow(ctx, c, show, open, ask)
		}
		e, err := service.Open(ctx, service.Options{Config: cfg, Version: version, Command: command, Observer: show, Log: a.log()})
		if err == nil {
			return a.perform(ctx, e, show, open, ask)
		}
		// Whoever took the ledger meanwhile may answer in a moment.
		if !is[*ledger.LockedError](err) || time.Since(began) > holderPatience {
			return "", false, err
		}
		select {
		case <-ctx.Done():
			return "", false, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
		if c, err = a.holder(ctx, cfg); err != nil {
			return "", false, err
		}
	}
}

// perform executes the run in this process. The first signal cancels it, the
// second stops everything where it is.
func (a *app) perform(ctx context.Context, e *service.Engine, show *relay, open func(runner.RunID) func(), ask asker) (id runner.RunID, stopped bool, err error) {
	defer func() { err = errors.Join(err, e.Close()) }()
	c := e.Commander(whoAmI())
	if id, err = ask(ctx, c); err != nil {
		return "", false, err
	}
	shut := open(id)
	defer shut()
	worked := make(chan error, 1)
	go func() { worked <- e.WorkThrough(context.WithoutCancel(ctx)) }()
	for asked := 1; ; asked++ {
		select {
		case err := <-worked:
			return id, stopped, err
		case <-a.signals.received:
		}
		switch asked {
		case 1:
			fmt.Fprintln(a.std.Err, "canceling the run; press Ctrl-C again to stop at once")
			if _, err := c.Cancel(context.WithoutCancel(ctx), id); err != nil {
				a.log().Warn("cancel the run", "error", err)
			}
		case 2:
			stopped = true
			fmt.Fprintf(a.std.Err, "stopping at once; continue the run with: %s\n", a.again("retry "+string(id)))
			e.Stop()
		}
	}
}

// follow watches a run that another process executes. The first signal cancels
// it, the second stops the watching.
func (a *app) follow(ctx context.Context, c *remote, show *relay, open func(runner.RunID) func(), ask asker) (id runner.RunID, stopped bool, err error) {
	if id, err = ask(ctx, c); err != nil {
		return "", false, err
	}
	shut := open(id)
	defer shut()
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	defer unwatch()
	watched := make(chan error, 1)
	go func() {
		watched <- c.Follow(watching, id, func(event runner.Event) { show.Observe(watching, event) })
	}()
	for asked := 1; ; asked++ {
		select {
		case err := <-watched:
			return id, stopped, err
		case <-a.signals.received:
		}
		switch asked {
		case 1:
			fmt.Fprintln(a.std.Err, "canceling the run; press Ctrl-C again to leave it")
			if _, err := c.Cancel(watching, id); err != nil {
				a.log().Warn("cancel the run", "error", err)
			}
		case 2:
			unwatch()
			if err := <-watched; err != nil {
				a.log().Debug("stop watching the run", "error", err)
			}
			return id, true, nil
		}
	}
}

// conclude shows what became of the run and returns how the command ends.
func (a *app) conclude(ctx context.Context, cfg *configs.Config, screen io.Writer, quiet bool, id runner.RunID, stopped bool) error {
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer reader.Close()
	run, attempts, err := record(ctx, reader, id)
	if err != nil {
		return err
	}
	if !quiet {
		fmt.Fprintln(screen)
	}
	if run.DryRun {
		if err := tellEffects(ctx, screen, reader, attempts); err != nil {
			return err
		}
	}
	a.summarize(screen, run, attempts)
	if a.format != formatTable {
		if err := a.list(listRun(run, attempts, false)); err != nil {
			return err
		}
	}
	if run.State == runner.Succeeded {
		return nil
	}
	return &runEnded{run: run, stopped: stopped}
}

// record reads a run with its attempts.
func record(ctx context.Context, reader runner.Reader, id runner.RunID) (runner.Run, []runner.Attempt, error) {
	run, err := reader.Run(ctx, string(id))
	if err != nil {
		return run, nil, err
	}
	attempts, err := reader.Attempts(ctx, id)
	return run, attempts, err
}

// relay passes events of one run on to a display, if there is one. The display
// is set before the run is handed over.
type relay struct {
	run     runner.RunID
	display display
}

// Observe passes the event on. Runs that others hand over while this one is
// under way are theirs to show.
func (r *relay) Observe(ctx context.Context, e runner.Event) {
	if r.display != nil && runOf(e) == r.run {
		r.display.Observe(ctx, e)
	}
}

// runOf is the run that an event is about.
func runOf(e runner.Event) runner.RunID {
	switch e := e.(type) {
	case runner.RunStarted:
		return e.Run.ID
	case runner.AttemptStarted:
		return e.Attempt.Run
	case runner.AttemptProgress:
		return e.Key.Run
	case runner.AttemptWaiting:
		return e.Key.Run
	case runner.AttemptEnded:
		return e.Attempt.Run
	case runner.RunNoted:
		return e.Run
	case runner.RunEnded:
		return e.Run.ID
	}
	return ""
}
