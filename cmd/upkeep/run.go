package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
Ctrl-C stops at once; the run can then be continued with ` + "`upkeep retry`" + `.`,
		Example: "  upkeep run daily\n" +
			"  upkeep run daily.backup --with-needs\n" +
			"  upkeep run daily --dry-run\n" +
			"  upkeep run daily --param tag=before-release",
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.run(cmd.Context(), given[0], f)
		},
	}
	a.outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.params, "param", "p", nil, "a parameter of the workflow as `NAME=VALUE` (several allowed)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what each job would change, and change nothing")
	flags.BoolVar(&f.withNeeds, "with-needs", false, "with WORKFLOW.JOB: also run the jobs that it needs")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show only the end")
	completeFlag(cmd, "param", a.completeParams)
	return cmd
}

// request turns the command line into a request for a run.
func (f runFlags) request(cfg *configs.Config, target string, now time.Time) (runner.Request, error) {
	name, job, one := strings.Cut(target, ".")
	workflow, err := cfg.Workflow(name)
	if err != nil {
		return runner.Request{}, hintIfNone(&notFoundError{err: err}, "`upkeep list` shows the workflows")
	}
	r := runner.Request{
		Spec: workflow.Spec, Slot: now.UTC(), Trigger: runner.ByManual, DryRun: f.dryRun, By: whoAmI(),
	}
	switch {
	case one:
		if _, err := cfg.Job(name, job); err != nil {
			return r, &notFoundError{err: fmt.Errorf("workflow %s: %w", name, err)}
		}
		r.Jobs = []string{job}
		if f.withNeeds {
			r.Jobs = needed(workflow, job)
		}
	case f.withNeeds:
		return r, jobs.WithHint(usagef("--with-needs goes with WORKFLOW.JOB"), "a whole workflow runs all its jobs anyway")
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
	last, ok := latest[workflow]
	if !ok || last.State.Final() || e.worksOn(ctx, last) {
		return
	}
	fmt.Fprintf(a.std.Err, "note: run %s of %s was interrupted; continue it with: %s\n", last.ID, workflow, a.again("retry "+string(last.ID)))
}
