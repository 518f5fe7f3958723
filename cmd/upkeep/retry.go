package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
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

RUN is a run's ID, the beginning of one, a workflow's name for its newest run, or
` + "`last`" + `.`,
		Example:           "  upkeep retry last\n  upkeep retry 019aa1b2 --from backup",
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.retry(cmd.Context(), given[0], from, quiet)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().StringVar(&from, "from", "", "repeat this `JOB` and every job that needs it")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "show only the end")
	completeFlag(cmd, "from", a.completeJobsOfRun)
	return cmd
}

func (a *app) retry(ctx context.Context, text, from string, quiet bool) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	// Found before the ledger is taken, so that a wrong name is told as such
	// even while another process holds it.
	id, err := a.lookUp(ctx, cfg, text)
	if err != nil {
		return err
	}
	return a.execute(ctx, cfg, "upkeep retry "+text, quiet, func(ctx context.Context, e *engine) (runner.RunID, error) {
		run, attempts, err := record(ctx, e.ledger, id)
		if err != nil {
			return "", err
		}
		again, err := e.reopened(ctx, run, from)
		if err != nil {
			return "", err
		}
		return id, e.reopen(ctx, run, attempts, again)
	})
}

// lookUp finds the ID of the run that text names.
func (a *app) lookUp(ctx context.Context, cfg *configs.Config, text string) (runner.RunID, error) {
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer reader.Close()
	run, err := findRun(ctx, reader, text)
	return run.ID, err
}

// reopen makes a run ready to be delivered; again are jobs to repeat though
// they are done.
func (e *engine) reopen(ctx context.Context, run runner.Run, attempts []runner.Attempt, again []string) error {
	if !run.State.Final() {
		if e.worksOn(ctx, run) {
			return skippedf("wait until it has ended, or cancel it", "run %s is under way on %s", run.ID, run.Node)
		}
		switch {
		case run.State == runner.Running && len(again) > 0:
			return skippedf("continue it without --from first", "run %s was interrupted and has not ended", run.ID)
		case run.CanceledBy == "" && len(again) == 0, run.State == runner.Running:
			return nil // being delivered is all that it needs
		}
		// What a person stopped, or wants repeated, has to end before it can go
		// on.
		if _, err := e.ledger.Cancel(ctx, run.ID, whoAmI()); err != nil {
			return err
		}
	} else if len(again) == 0 && !repeatable(run, attempts) {
		return skippedf("repeat a part of it with --from JOB, or run the workflow anew", "run %s is done: nothing is left to do", run.ID)
	}
	return e.ledger.Reopen(ctx, run.ID, again, whoAmI())
}

// repeatable tells whether a run that has ended left something undone.
func repeatable(run runner.Run, attempts []runner.Attempt) bool {
	return !run.State.Done() || slices.ContainsFunc(latestPerJob(attempts), func(at runner.Attempt) bool {
		return !at.State.Done() && at.State != runner.Skipped
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
	var names []string
	needs := map[string][]string{}
	for _, j := range plan.Jobs {
		if len(run.Jobs) == 0 || slices.Contains(run.Jobs, j.Name) {
			names = append(names, j.Name)
			needs[j.Name] = j.Needs
		}
	}
	if !slices.Contains(names, from) {
		return nil, notFoundf("its jobs are "+strings.Join(names, ", "), "run %s has no job %q", run.ID, from)
	}
	again := []string{from}
	for grown := true; grown; {
		grown = false
		for _, name := range names {
			if !slices.Contains(again, name) && slices.ContainsFunc(needs[name], func(need string) bool { return slices.Contains(again, need) }) {
				again, grown = append(again, name), true
			}
		}
	}
	return again, nil
}
