package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
)

// checkTime bounds the preflight of one job.
const checkTime = 15 * time.Second

func newValidate(a *app) *cobra.Command {
	var strict, offline bool
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration and whether its jobs could run here",
		Long: `Check the configuration: every error at once, with its place. Then ask every job
whether it could run on this machine: programs present, paths readable, stores
reachable. Contradictions that are legal are warnings; --strict makes them errors.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.validate(cmd.Context(), strict, offline)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().BoolVar(&strict, "strict", false, "treat warnings as errors")
	cmd.Flags().BoolVar(&offline, "no-preflight", false, "check the file only, not this machine")
	return cmd
}

func (a *app) validate(ctx context.Context, strict, offline bool) error {
	cfg, err := a.load()
	problems, known := errors.AsType[configs.Problems](err)
	switch {
	case err != nil && !known:
		return err
	case err == nil && offline:
		problems = cfg.Warnings
	case err == nil:
		problems = append(slices.Clone(cfg.Warnings), preflight(ctx, cfg)...)
	}
	bad := len(problems.Errors())
	if strict {
		bad = len(problems)
	}
	if a.format == formatTable {
		if len(problems) > 0 {
			fmt.Fprintln(a.std.Err, problems.Error())
		}
		if bad == 0 {
			jobs := 0
			for _, w := range cfg.Workflows {
				jobs += len(w.Jobs)
			}
			fmt.Fprintf(a.std.Out, "%s is valid: %d workflows, %d jobs, %d warnings\n", cfg.Path, len(cfg.Workflows), jobs, len(problems))
		}
	} else if err := a.listProblems(problems); err != nil {
		return err
	}
	if bad > 0 {
		return &problemsFound{count: bad}
	}
	return nil
}

func (a *app) listProblems(problems configs.Problems) error {
	l := listing{columns: []string{"file", "line", "column", "path", "severity", "rule", "message", "hint"}, data: problems}
	if problems == nil {
		l.data = []configs.Problem{}
	}
	for _, p := range problems {
		l.rows = append(l.rows, []string{p.File, strconv.Itoa(p.Line), strconv.Itoa(p.Col), p.Path, string(p.Severity), p.Rule, p.Message, p.Hint})
	}
	return a.list(l)
}

// preflight asks every job whether it could run. What a job lacks now may be
// there tonight, so it is a warning.
func preflight(ctx context.Context, cfg *configs.Config) configs.Problems {
	var found configs.Problems
	for _, w := range cfg.Workflows {
		for _, j := range w.Jobs {
			job, _, err := j.Build(nil)
			if err == nil {
				checker, ok := job.(jobs.Checker)
				if !ok {
					continue
				}
				err = check(ctx, cfg, w.Name, j.Name, checker)
			}
			if err != nil {
				found = append(found, j.Problem(configs.Warning, "preflight", "it could not run now: "+err.Error(), jobs.HintOf(err)))
			}
		}
	}
	return found
}

func check(ctx context.Context, cfg *configs.Config, workflow, job string, checker jobs.Checker) error {
	ctx, cancel := context.WithTimeoutCause(ctx, checkTime, fmt.Errorf("no answer within %s", checkTime))
	defer cancel()
	return checker.Check(ctx, jobs.NewEnv(jobs.Env{Workflow: workflow, Job: job, Root: cfg.Root, Node: cfg.Node}, jobs.Hooks{DryRun: true}))
}
