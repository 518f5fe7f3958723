package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
)

// execute runs one run in this process to its end and shows it. submit puts it
// on record or finds it.
func (a *app) execute(ctx context.Context, cfg *configs.Config, command string, quiet bool, submit func(context.Context, *engine) (runner.RunID, error)) (err error) {
	restore := keepRunningWithoutReader()
	defer restore()
	screen := a.std.Out
	if a.format != formatTable {
		screen = a.std.Err
	}
	observer := &relay{}
	e, err := a.openEngine(ctx, cfg, command, observer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	id, err := submit(ctx, e)
	if err != nil {
		return err
	}
	if !quiet {
		observer.display = a.newDisplay(screen)
		defer observer.display.Close()
	}
	stopped, err := a.finishRun(ctx, e, id)
	if !quiet {
		observer.display.Close()
	}
	if err != nil {
		return err
	}
	run, attempts, err := record(context.WithoutCancel(ctx), e.ledger, id)
	if err != nil {
		return err
	}
	if !quiet {
		fmt.Fprintln(screen)
	}
	if run.DryRun {
		if err := tellEffects(context.WithoutCancel(ctx), screen, e.ledger, attempts); err != nil {
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

// relay passes events on to a display, if there is one. The display is set
// before the run is handed over.
type relay struct{ display display }

// Observe passes the event on.
func (r *relay) Observe(ctx context.Context, e runner.Event) {
	if r.display != nil {
		r.display.Observe(ctx, e)
	}
}

// finishRun works on one run until it has ended. The first signal cancels the
// run, the second stops it where it is; stopped tells that this happened.
func (a *app) finishRun(ctx context.Context, e *engine, id runner.RunID) (stopped bool, err error) {
	work, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	worked := make(chan error, 1)
	go func() {
		worked <- e.queue.Work(work, func(ctx context.Context, id runner.RunID) {
			e.handle(ctx, id)
			done()
		})
	}()
	if err := e.queue.Deliver(work, id); err != nil {
		return false, err
	}
	for asked := 1; ; asked++ {
		select {
		case err := <-worked:
			return stopped, err
		case <-a.signals.received:
		}
		switch asked {
		case 1:
			a.cancelOwn(work, e, id)
		case 2:
			stopped = true
			fmt.Fprintf(a.std.Err, "stopping at once; continue the run with: %s\n", a.again("retry "+string(id)))
			e.stop(runner.ErrShutdown)
		}
	}
}

// cancelOwn cancels the run that this process executes. It ends also when the
// ledger cannot take the request just now.
func (a *app) cancelOwn(ctx context.Context, e *engine, id runner.RunID) {
	fmt.Fprintln(a.std.Err, "canceling the run; press Ctrl-C again to stop at once")
	by := whoAmI()
	if _, err := e.ledger.Cancel(ctx, id, by); err != nil {
		a.log().Warn("record who canceled the run", "error", err)
	}
	e.queue.Interrupt(id, &runner.CanceledError{By: by})
}
