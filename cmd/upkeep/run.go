package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

type runFlags struct {
	params    []string
	dryRun    bool
	detach    bool
	alert     bool
	withNeeds bool
	apply     string
	on        string
	quiet     bool
}

func newRun(a *app) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run WORKFLOW[.JOB]",
		Short: "Run a workflow, or one job of it, now",
		Long: `Run a workflow now, in the foreground, and record it like any other run. With
WORKFLOW.JOB only that job runs; --with-needs adds the jobs that it needs.

A dry run of a job that deletes ends in a plan with a name, and --apply with that name
carries out what was shown, or is refused (6) when the facts have changed since.

When a service runs, it executes the run and this command shows it; --detach leaves
it alone and prints the run's ID. A run that somebody watches sends no alerts unless
--alert asks for them; one that is left alone does.

Where it runs is what runs_on of the workflow says, or --on: NODE, label:LABEL, any,
every, or every:LABEL. With every, each node that is there and may run it gets a run of
its own; the command shows all of them and ends as the worst of them does.

Ctrl-C cancels the run in good order: jobs with ` + "`when: always`" + ` still run. A second
Ctrl-C stops at once; the run can then be continued with ` + "`upkeep retry`" + `.`,
		Example: "  upkeep run daily\n" +
			"  upkeep run daily.backup --with-needs\n" +
			"  upkeep run daily --dry-run\n" +
			"  upkeep run daily.prune --apply 20261123T081500Z-0123456789abcdef01234567\n" +
			"  upkeep run daily --detach\n" +
			"  upkeep run daily --param tag=before-release\n" +
			"  upkeep run cleanup --on every:web",
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.run(cmd.Context(), given[0], f)
		},
	}
	a.outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.params, "param", "p", nil, "a parameter of the workflow as `NAME=VALUE` (several allowed)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what each job would change, and change nothing")
	flags.StringVar(&f.apply, "apply", "", "with WORKFLOW.JOB: carry out exactly the `PLAN` that a dry run showed")
	flags.StringVar(&f.on, "on", "", "run it on `NODES`: a node's name, label:LABEL, any, every or every:LABEL")
	flags.BoolVar(&f.withNeeds, "with-needs", false, "with WORKFLOW.JOB: also run the jobs that it needs")
	flags.BoolVar(&f.detach, "detach", false, "leave the run to the service and print its ID")
	flags.BoolVar(&f.alert, "alert", false, "tell the channels when it fails, as of a scheduled run")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show only the end")
	completeFlag(cmd, "param", a.completeParams)
	return cmd
}

// request turns the command line into what to ask for.
func (f runFlags) request(target string) (api.RunRequest, error) {
	name, job, one := strings.Cut(target, ".")
	r := api.RunRequest{Workflow: name, On: f.on, DryRun: f.dryRun, WithNeeds: f.withNeeds, Alert: f.alert || f.detach, Trigger: runner.ByManual, Params: map[string]string{}}
	switch {
	case one:
		r.Jobs = []string{job}
	case f.withNeeds:
		return r, jobs.WithHint(usagef("--with-needs goes with WORKFLOW.JOB"), "a whole workflow runs all its jobs anyway")
	}
	if f.apply != "" {
		if !one || f.dryRun || f.withNeeds {
			return r, jobs.WithHint(usagef("--apply goes with WORKFLOW.JOB, without --dry-run and --with-needs"), "a plan is that of one job")
		}
		r.Plan = f.apply
	}
	for _, p := range f.params {
		key, value, ok := strings.Cut(p, "=")
		if !ok || key == "" {
			return r, usagef("--param %q is not NAME=VALUE", p)
		}
		if _, twice := r.Params[key]; twice {
			return r, usagef("--param %s is given twice", key)
		}
		r.Params[key] = value
	}
	return r, nil
}

func (a *app) run(ctx context.Context, target string, f runFlags) error {
	request, err := f.request(target)
	if err != nil {
		return err
	}
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	if c == nil || len(cfg.Workflows) > 0 {
		// A mistake is told before anything is taken or asked for.
		if _, err := service.Request(cfg, "", request, time.Now()); err != nil {
			return err
		}
	}
	if f.detach {
		return a.detach(ctx, c, request)
	}
	if c == nil {
		a.tellInterrupted(ctx, cfg, request.Workflow)
	}
	return a.execute(ctx, cfg, c, "upkeep run "+target, f.quiet, func(ctx context.Context, c commander) ([]runner.Submission, error) {
		return c.Run(ctx, request)
	})
}

// detach leaves a run to the service.
func (a *app) detach(ctx context.Context, c *remote, request api.RunRequest) error {
	if c == nil {
		return errNoService
	}
	accepted, err := c.Start(ctx, request)
	if err != nil {
		return err
	}
	return a.tellAccepted(ctx, c, accepted)
}

// tellAccepted says which runs the service has taken; it ends well when it has
// taken any.
func (a *app) tellAccepted(ctx context.Context, c *remote, accepted api.RunAccepted) error {
	l := listing{columns: []string{"run"}, data: accepted}
	if len(accepted.Runs) > 0 {
		l.columns = []string{"run", "node"}
	}
	var refused error
	for _, s := range accepted.Submitted() {
		run, err := c.Client.Run(ctx, string(s.Run))
		switch {
		case err != nil:
			return err
		case run.State == runner.Skipped:
			refused = skippedf("", "run %s%s is skipped (%s): %s", run.ID, on(s.Host), run.Reason, run.Message)
			if len(accepted.Runs) > 1 {
				fmt.Fprintln(a.std.Err, refused)
			}
			continue
		}
		l.rows = append(l.rows, []string{string(run.ID), s.Host}[:len(l.columns)])
	}
	switch {
	case len(l.rows) == 0:
		return refused
	case a.format != formatTable:
		return a.list(l)
	}
	for _, row := range l.rows {
		fmt.Fprintln(a.std.Out, strings.Join(row, "  "))
	}
	return nil
}

// on says on which node something is; empty for none.
func on(host string) string {
	if host == "" {
		return ""
	}
	return " on " + host
}

// tellInterrupted points to a run of the same workflow that a crash cut short:
// it could be continued instead.
func (a *app) tellInterrupted(ctx context.Context, cfg *configs.Config, workflow string) {
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		a.log().Warn("look for an interrupted run", "error", err)
		return
	}
	defer reader.Close()
	latest, err := reader.Latest(ctx, []string{workflow})
	if err != nil {
		a.log().Warn("look for an interrupted run", "error", err)
		return
	}
	last, ok := latest[workflow]
	if !ok {
		return
	}
	if orphaned, err := reader.orphaned(ctx, last); err != nil || !orphaned {
		return
	}
	fmt.Fprintf(a.std.Err, "note: run %s of %s was interrupted; continue it with: %s\n", last.ID, workflow, a.again("retry "+string(last.ID)))
}
