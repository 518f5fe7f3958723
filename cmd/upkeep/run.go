package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

type runFlags struct {
	params    []string
	dryRun    bool
	withNeeds bool
	quiet     bool
}

func newRun(a *app) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run WORKFLOW[.JOB]",
		Short: "Run a workflow, or one job of it, now",
		Long: `Run a workflow now, in the foreground, and record it like any other run. With
WORKFLOW.JOB only that job runs; --with-needs adds the jobs that it needs.

Ctrl-C cancels the run in good order: jobs with ` + "`when: always`" + ` still run. A second
Ctrl-C stops at once; the run can then be continued with ` + "`upkeep retry`" + `.

` + exitHelp,
		Example: "  upkeep run daily\n" +
			"  upkeep run daily.backup --with-needs\n" +
			"  upkeep run daily --dry-run\n" +
			"  upkeep run daily --param tag=before-release",
		Args: args(cobra.ExactArgs(1)),
		ValidArgsFunction: func(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(given) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.workflowNames(true), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.run(cmd.Context(), given[0], f)
		},
	}
	a.outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.params, "param", "p", nil, "a parameter of the workflow as NAME=VALUE (several allowed)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what each job would change, and change nothing")
	flags.BoolVar(&f.withNeeds, "with-needs", false, "with WORKFLOW.JOB: also run the jobs that it needs")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show only the end")
	return cmd
}

// request turns the command line into a request for a run.
func (f runFlags) request(cfg *configs.Config, target string, now time.Time) (runner.Request, error) {
	name, job, one := strings.Cut(target, ".")
	workflow, err := cfg.Workflow(name)
	if err != nil {
		return runner.Request{}, jobs.WithHint(fmt.Errorf("%w: %w", runner.ErrNotFound, err), "`upkeep list` shows the workflows")
	}
	r := runner.Request{
		Spec: workflow.Spec, Slot: now.UTC(), Trigger: runner.ByManual, DryRun: f.dryRun, By: whoAmI(),
	}
	if one {
		if _, ok := workflow.Job(job); !ok {
			return r, jobs.WithHint(fmt.Errorf("%w: workflow %s has no job %q", runner.ErrNotFound, name, job), "its jobs are "+strings.Join(jobNames(workflow), ", "))
		}
		r.Jobs = []string{job}
		if f.withNeeds {
			r.Jobs = needed(workflow, job)
		}
	} else if f.withNeeds {
		return r, usagef("--with-needs goes with WORKFLOW.JOB; a whole workflow runs all its jobs anyway")
	}
	given := map[string]string{}
	for _, p := range f.params {
		key, value, ok := strings.Cut(p, "=")
		if !ok || key == "" {
			return r, usagef("--param %q is not NAME=VALUE", p)
		}
		if _, twice := given[key]; twice {
			return r, usagef("--param %s is given twice", key)
		}
		given[key] = value
	}
	if r.Params, err = workflow.Arguments(given); err != nil {
		return r, &usageError{err: err}
	}
	return r, nil
}

func jobNames(w *configs.Workflow) []string {
	names := make([]string, len(w.Jobs))
	for i, j := range w.Jobs {
		names[i] = j.Name
	}
	return names
}

// needed is a job with everything that it needs, directly and indirectly, in
// the order of the file.
func needed(w *configs.Workflow, job string) []string {
	wanted := map[string]bool{}
	var want func(name string)
	want = func(name string) {
		if wanted[name] {
			return
		}
		wanted[name] = true
		if j, ok := w.Job(name); ok {
			for _, need := range j.Needs {
				want(need)
			}
		}
	}
	want(job)
	return slices.DeleteFunc(jobNames(w), func(name string) bool { return !wanted[name] })
}

func (a *app) run(ctx context.Context, target string, f runFlags) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	request, err := f.request(cfg, target, time.Now())
	if err != nil {
		return err
	}
	return a.execute(ctx, cfg, "upkeep run "+target, f.quiet, func(ctx context.Context, e *engine) (runner.RunID, error) {
		a.tellInterrupted(ctx, e, request.Spec.Workflow)
		submitted, err := e.ledger.Submit(ctx, request)
		if err != nil {
			return "", err
		}
		return submitted[0].Run, nil
	})
}

// tellInterrupted points to a run of the same workflow that a crash cut short:
// it could be continued instead.
func (a *app) tellInterrupted(ctx context.Context, e *engine, workflow string) {
	latest, err := e.ledger.Latest(ctx, []string{workflow})
	if err != nil {
		a.log().Warn("look for an interrupted run", "error", err)
		return
	}
	if last, ok := latest[workflow]; ok && !last.State.Final() {
		fmt.Fprintf(a.std.Err, "note: run %s of %s was interrupted; continue it with: %s\n", last.ID, workflow, a.again("retry "+string(last.ID)))
	}
}

// execute runs one run in this process to its end and shows it. submit puts it
// on record or finds it.
func (a *app) execute(ctx context.Context, cfg *configs.Config, command string, quiet bool, submit func(context.Context, *engine) (runner.RunID, error)) (err error) {
	screen := a.std.Out
	if a.format == formatJSON {
		screen = a.std.Err
	}
	observer := &relay{ended: make(chan runner.Run, 1)}
	e, err := a.openEngine(ctx, cfg, command, observer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	id, err := submit(ctx, e)
	if err != nil {
		return err
	}
	observer.run = id
	if !quiet {
		observer.next = a.newDisplay(screen)
	}
	err = e.finish(ctx, a, id, observer)
	if observer.next != nil {
		observer.next.Close()
	}
	if err != nil {
		return err
	}
	run, attempts, err := record(context.WithoutCancel(ctx), e.ledger, id)
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		err = writeJSON(a.std.Out, viewRun(run, attempts))
	} else {
		a.summarize(screen, run, attempts)
	}
	if err != nil || run.State == runner.Succeeded {
		return err
	}
	return &runEnded{run: run}
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

// relay passes the events of one run to a display and tells when the run has
// ended.
type relay struct {
	run   runner.RunID
	next  display
	ended chan runner.Run
}

// Observe passes the event on.
func (r *relay) Observe(ctx context.Context, e runner.Event) {
	if r.next != nil {
		r.next.Observe(ctx, e)
	}
	if end, ok := e.(runner.RunEnded); ok && end.Run.ID == r.run {
		r.ended <- end.Run
	}
}

// finish works on one run until it has ended. The first signal cancels the
// run, the second stops it where it is.
func (e *engine) finish(ctx context.Context, a *app, id runner.RunID, observer *relay) error {
	work, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	signals := listenForSignals()
	defer signals.stop()
	handled := make(chan struct{})
	var once sync.Once
	worked := make(chan error, 1)
	go func() {
		worked <- e.queue.Work(work, func(ctx context.Context, id runner.RunID) {
			e.handle(ctx, id)
			once.Do(func() { close(handled) })
		})
	}()
	if err := e.queue.Deliver(ctx, id); err != nil {
		return err
	}
	for asked := 0; ; {
		select {
		case <-handled:
			done()
			return <-worked
		case <-signals.received:
			asked++
			if err := e.interrupt(ctx, a, id, asked); err != nil {
				return err
			}
		}
	}
}

func (e *engine) interrupt(ctx context.Context, a *app, id runner.RunID, asked int) error {
	if asked > 1 {
		fmt.Fprintf(a.std.Err, "\nstopping at once; continue later with: %s\n", a.again("retry "+string(id)))
		e.stop(runner.ErrShutdown)
		return nil
	}
	fmt.Fprintln(a.std.Err, "\ncanceling the run; press Ctrl-C again to stop at once")
	by := whoAmI()
	if _, err := e.ledger.Cancel(context.WithoutCancel(ctx), id, by); err != nil {
		return fmt.Errorf("cancel run %s: %w", id, err)
	}
	e.queue.Interrupt(id, &runner.CanceledError{By: by})
	return nil
}
