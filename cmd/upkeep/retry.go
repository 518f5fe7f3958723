package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

func newRetry(a *app) *cobra.Command {
	var from string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "retry RUN",
		Short: "Continue a run that failed or was interrupted",
		Long: `Continue a run: jobs that are done stay done, the others run again, under the same
run ID and the workflow as it was when the run was recorded. --from JOB repeats that
job and every job that needs it, even if they are done.

` + exitHelp,
		Example:           "  upkeep retry last\n  upkeep retry 019aa1b2 --from backup",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.retry(cmd.Context(), given[0], from, quiet)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().StringVar(&from, "from", "", "repeat this job and every job that needs it")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "show only the end")
	return cmd
}

func (a *app) retry(ctx context.Context, text, from string, quiet bool) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	return a.execute(ctx, cfg, "upkeep retry "+text, quiet, func(ctx context.Context, e *engine) (runner.RunID, error) {
		run, err := resolveRun(ctx, e.ledger, text)
		if err != nil {
			return "", err
		}
		reopen, err := e.reopened(ctx, run, from)
		if err != nil {
			return "", err
		}
		switch {
		case !run.State.Final() && len(reopen) > 0:
			return "", jobs.WithHint(fmt.Errorf("run %s has not ended: %w", run.ID, runner.ErrNotClaimable), "continue it without --from first")
		case !run.State.Final():
			// Its process died; being delivered is all that it needs.
			return run.ID, nil
		case run.State == runner.Succeeded && len(reopen) == 0:
			return "", jobs.WithHint(fmt.Errorf("run %s succeeded, so there is nothing to retry: %w", run.ID, runner.ErrNotClaimable), "repeat a part of it with --from JOB, or run the workflow anew")
		}
		return run.ID, e.ledger.Reopen(ctx, run.ID, reopen, whoAmI())
	})
}

// reopened are the jobs that --from names: the job and everything downstream
// of it in the run's own, frozen workflow.
func (e *engine) reopened(ctx context.Context, run runner.Run, from string) ([]string, error) {
	if from == "" {
		return nil, nil
	}
	plan, err := e.cfg.Compile(ctx, run.Spec, run.Params)
	if err != nil {
		return nil, fmt.Errorf("read the workflow of run %s: %w", run.ID, err)
	}
	if !slices.ContainsFunc(plan.Jobs, func(j runner.PlannedJob) bool { return j.Name == from }) {
		return nil, fmt.Errorf("%w: the workflow of run %s has no job %q", runner.ErrNotFound, run.ID, from)
	}
	reopen := []string{from}
	for grown := true; grown; {
		grown = false
		for _, j := range plan.Jobs {
			if !slices.Contains(reopen, j.Name) && slices.ContainsFunc(j.Needs, func(need string) bool { return slices.Contains(reopen, need) }) {
				reopen, grown = append(reopen, j.Name), true
			}
		}
	}
	return reopen, nil
}
