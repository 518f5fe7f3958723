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
	var strict, offline, online bool
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration and whether its jobs could run here",
		Long: `Check the configuration: every error at once, with its place. Then ask every job
whether it could run on this machine: programs present, paths readable, stores
reachable. Contradictions that are legal, and what a job lacks just now, are
warnings; --strict makes them errors.

--online also tries the stores for real: it writes, reads, lists and deletes small
objects of its own, uploads in parts, compares the clocks, and names the permission
that is missing.`,
		Example: "  upkeep validate\n  upkeep -c upkeep.yaml validate --strict --no-preflight\n  upkeep validate --online",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if online && offline {
				return usagef("--online and --no-preflight exclude each other")
			}
			return a.validate(cmd.Context(), strict, offline, online)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().BoolVar(&strict, "strict", false, "treat warnings as errors")
	cmd.Flags().BoolVar(&online, "online", false, "also try the stores for real")
	cmd.Flags().BoolVar(&offline, "no-preflight", false, "check the files only, not this machine")
	return cmd
}

// problemView is the JSON form of a problem.
type problemView struct {
	File     string           `json:"file"`
	Line     int              `json:"line"`
	Column   int              `json:"column"`
	Path     string           `json:"path"`
	Severity configs.Severity `json:"severity"`
	Rule     string           `json:"rule"`
	Message  string           `json:"message"`
	Hint     string           `json:"hint"`
	Source   string           `json:"source"`
}

func (a *app) validate(ctx context.Context, strict, offline, online bool) error {
	cfg, err := a.load()
	problems, known := errors.AsType[configs.Problems](err)
	switch {
	case err != nil && !known:
		return err
	case err == nil:
		problems = cfg.Warnings
		if !offline {
			problems = append(slices.Clone(problems), preflight(ctx, cfg)...)
		}
		if online {
			problems = append(slices.Clone(problems), a.tryStores(ctx, cfg)...)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	bad := len(problems.Errors())
	if strict {
		bad = len(problems)
	}
	if a.format != formatTable {
		err = a.list(listProblems(problems))
	} else {
		a.tellProblems(cfg, problems, bad)
		err = nil
	}
	if err == nil && bad > 0 {
		return &problemsFound{count: bad}
	}
	return err
}

func (a *app) tellProblems(cfg *configs.Config, problems configs.Problems, bad int) {
	for _, p := range problems {
		fmt.Fprintln(a.std.Err, paragraph(p.String()))
	}
	warnings := len(problems.Warnings())
	if bad > 0 {
		fmt.Fprintf(a.std.Err, "%s, %s\n", count(len(problems.Errors()), "error"), count(warnings, "warning"))
		return
	}
	jobs := 0
	for _, w := range cfg.Workflows {
		jobs += len(w.Jobs)
	}
	fmt.Fprintf(a.std.Out, "%s is valid: %s, %s, %s\n", cfg.Path, count(len(cfg.Workflows), "workflow"), count(jobs, "job"), count(warnings, "warning"))
	a.tellDetection(cfg)
}

func listProblems(problems configs.Problems) listing {
	views := []problemView{}
	l := listing{columns: []string{"file", "line", "column", "path", "severity", "rule", "message", "hint"}}
	for _, p := range problems {
		views = append(views, problemView{
			File: p.File, Line: p.Line, Column: p.Col, Path: p.Path, Severity: p.Severity, Rule: p.Rule,
			Message: p.Message, Hint: p.Hint, Source: p.Source,
		})
		l.rows = append(l.rows, []string{p.File, strconv.Itoa(p.Line), strconv.Itoa(p.Col), p.Path, string(p.Severity), p.Rule, p.Message, p.Hint})
	}
	l.data = views
	return l
}

// preflight asks every job whether it could run. What a job lacks now may be
// there tonight, so it is a warning; what a safety rail refuses stays refused,
// also where the job is for nodes with another label. What it lacks here is then
// of no account.
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
				if !w.Fits(cfg.Labels) && !is[*jobs.RefusedError](err) {
					continue
				}
			}
			if err != nil {
				severity := configs.Warning
				if is[*jobs.RefusedError](err) {
					severity = configs.Error
				}
				found = append(found, j.Problem(severity, "preflight", "it could not run now: "+err.Error(), jobs.HintOf(err)))
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
