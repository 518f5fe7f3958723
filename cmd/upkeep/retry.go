package main

import (
	"context"

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
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	// Found before the ledger is taken, so that a wrong name is told as such
	// even while another process holds it.
	id, err := a.lookUp(ctx, cfg, text)
	if err != nil {
		return err
	}
	return a.execute(ctx, cfg, c, "upkeep retry "+text, quiet, func(ctx context.Context, c commander) ([]runner.Submission, error) {
		return []runner.Submission{{Run: id}}, c.Retry(ctx, id, from)
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
