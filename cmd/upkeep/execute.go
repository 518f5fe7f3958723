package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// asker asks a commander for a run, or one on each of several nodes, that the
// command then sees through.
type asker func(ctx context.Context, c commander) ([]runner.Submission, error)

// opener begins to show runs, and returns what ends that.
type opener func(runs []runner.Submission) (shut func())

// execute has runs executed, by the process that holds the ledger or by this
// one, shows them, and ends as the worst of them does.
func (a *app) execute(ctx context.Context, cfg *configs.Config, c *remote, command string, quiet bool, ask asker) error {
	restore := keepRunningWithoutReader()
	defer restore()
	screen := a.std.Out
	if a.format != formatTable {
		screen = a.std.Err
	}
	show := &relay{}
	open := func(runs []runner.Submission) func() {
		if !quiet {
			show.displays = a.displaysOf(screen, runs)
		}
		return func() {
			for _, d := range show.displays {
				d.Close()
			}
		}
	}
	runs, stopped, err := a.seeThrough(ctx, cfg, c, command, show, open, ask)
	if err != nil {
		return err
	}
	return a.conclude(context.WithoutCancel(ctx), cfg, screen, quiet, runs, stopped)
}

// displaysOf are the displays of runs: one that may be live, or a line for each
// event that begins with the node.
func (a *app) displaysOf(screen io.Writer, runs []runner.Submission) map[runner.RunID]display {
	displays := map[runner.RunID]display{}
	for _, s := range runs {
		if len(runs) == 1 {
			displays[s.Run] = a.newDisplay(screen)
		} else {
			displays[s.Run] = &plainDisplay{w: screen, prefix: s.Host + "  "}
		}
	}
	return displays
}

// seeThrough finds who executes the runs and waits for their end. stopped tells
// that a person stopped waiting for them.
func (a *app) seeThrough(ctx context.Context, cfg *configs.Config, c *remote, command string, show *relay, open opener, ask asker) (runs []runner.Submission, stopped bool, err error) {
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
			return nil, false, err
		}
		select {
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
		if c, err = a.holder(ctx, cfg); err != nil {
			return nil, false, err
		}
	}
}

// perform executes the runs in this process, as far as they are not for other
// nodes. The first signal cancels them, the second stops everything where it is.
func (a *app) perform(ctx context.Context, e *service.Engine, show *relay, open opener, ask asker) (runs []runner.Submission, stopped bool, err error) {
	defer func() { err = errors.Join(err, e.Close()) }()
	c := e.Commander(whoAmI())
	if runs, err = ask(ctx, c); err != nil {
		return nil, false, err
	}
	shut := open(runs)
	defer shut()
	worked := make(chan error, 1)
	looking, enough := context.WithCancel(context.WithoutCancel(ctx))
	var looks sync.WaitGroup
	looks.Go(func() { e.Elsewhere(looking, show, submittedIDs(runs)...) })
	defer looks.Wait()
	defer enough()
	go func() { worked <- e.WorkThrough(context.WithoutCancel(ctx)) }()
	for asked := 1; ; asked++ {
		select {
		case err := <-worked:
			return runs, stopped, err
		case <-a.signals.received:
		}
		switch asked {
		case 1:
			fmt.Fprintln(a.std.Err, "canceling the run; press Ctrl-C again to stop at once")
			a.cancelAll(context.WithoutCancel(ctx), c, runs)
		case 2:
			stopped = true
			fmt.Fprintf(a.std.Err, "stopping at once; continue the run with: %s\n", a.again("retry "+string(runs[0].Run)))
			e.Stop()
		}
	}
}

// submittedIDs are the IDs of runs.
func submittedIDs(runs []runner.Submission) []runner.RunID {
	ids := make([]runner.RunID, len(runs))
	for i, s := range runs {
		ids[i] = s.Run
	}
	return ids
}

// cancelAll asks for the end of runs.
func (a *app) cancelAll(ctx context.Context, c commander, runs []runner.Submission) {
	for _, s := range runs {
		if _, err := c.Cancel(ctx, s.Run); err != nil {
			a.log().Warn("cancel the run", "run", string(s.Run), "error", err)
		}
	}
}

// follow watches runs that other processes execute. The first signal cancels
// them, the second stops the watching.
func (a *app) follow(ctx context.Context, c *remote, show *relay, open opener, ask asker) (runs []runner.Submission, stopped bool, err error) {
	if runs, err = ask(ctx, c); err != nil {
		return nil, false, err
	}
	shut := open(runs)
	defer shut()
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	defer unwatch()
	watched := make(chan error, 1)
	go func() { watched <- followAll(watching, c, show, runs) }()
	for asked := 1; ; asked++ {
		select {
		case err := <-watched:
			return runs, stopped, err
		case <-a.signals.received:
		}
		switch asked {
		case 1:
			fmt.Fprintln(a.std.Err, "canceling the run; press Ctrl-C again to leave it")
			a.cancelAll(watching, c, runs)
		case 2:
			unwatch()
			if err := <-watched; err != nil {
				a.log().Debug("stop watching the run", "error", err)
			}
			return runs, true, nil
		}
	}
}

// followAll follows runs until all have ended.
func followAll(ctx context.Context, c *remote, show *relay, runs []runner.Submission) error {
	var all sync.WaitGroup
	failed := make([]error, len(runs))
	for i, s := range runs {
		all.Go(func() {
			failed[i] = c.Follow(ctx, s.Run, func(event runner.Event) { show.Observe(ctx, event) })
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// conclude shows what became of the runs and returns how the command ends: as
// the worst of them.
func (a *app) conclude(ctx context.Context, cfg *configs.Config, screen io.Writer, quiet bool, submitted []runner.Submission, stopped bool) error {
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer reader.Close()
	if !quiet {
		fmt.Fprintln(screen)
	}
	var worst *runEnded
	var ended []listing
	for _, s := range submitted {
		run, attempts, err := record(ctx, reader, s.Run)
		if err != nil {
			return err
		}
		if run.DryRun {
			if err := tellEffects(ctx, screen, reader, attempts); err != nil {
				return err
			}
		}
		a.summarize(screen, run, attempts)
		ended = append(ended, listRun(run, attempts, false))
		if e := (&runEnded{run: run, stopped: stopped}); worst == nil || worse(e.code(), worst.code()) {
			worst = e
		}
	}
	if a.format != formatTable {
		if err := a.list(listRuns(submitted, ended)); err != nil {
			return err
		}
	}
	if worst == nil || worst.code() == exitOK {
		return nil
	}
	return worst
}

// worse tells whether a run that ends with code a went worse than one with b.
func worse(a, b int) bool {
	order := []int{exitOK, exitWarned, exitSkipped, exitCanceled, exitTemporary, exitRefused, exitTimeout, exitFailed}
	return slices.Index(order, a) > slices.Index(order, b)
}

// listRuns is the list of one run, or of those of several nodes.
func listRuns(runs []runner.Submission, each []listing) listing {
	if len(each) == 1 {
		return each[0]
	}
	var l listing
	data := make([]any, len(each))
	for i, one := range each {
		l.columns, data[i] = append([]string{"node"}, one.columns...), one.data
		for _, row := range one.rows {
			l.rows = append(l.rows, append([]string{runs[i].Host}, row...))
		}
	}
	l.data = data
	return l
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

// relay passes events of runs on to their displays, as far as there are any.
// These are set before the runs are handed over.
type relay struct{ displays map[runner.RunID]display }

// Observe passes the event on. Runs that others hand over while this one is
// under way are theirs to show.
func (r *relay) Observe(ctx context.Context, e runner.Event) {
	if d := r.displays[runOf(e)]; d != nil {
		d.Observe(ctx, e)
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
