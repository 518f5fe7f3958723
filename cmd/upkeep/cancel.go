package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

func newCancel(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "End a run in good order",
		Long: `Ask for the end of a run, from any process. A run that waits ends at once; one that
is under way ends when its process sees the request, within a second or two: its
jobs are stopped and those with ` + "`when: always`" + ` still run.`,
		Example:           "  upkeep cancel last",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.cancel(cmd.Context(), given[0])
		},
	}
}

func (a *app) cancel(ctx context.Context, text string) (err error) {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	o := a.ledgerOptions(cfg)
	o.Command = "upkeep cancel"
	l, err := ledger.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	run, err := resolveRun(ctx, l, text)
	if err != nil {
		return err
	}
	before, err := l.Cancel(ctx, run.ID, whoAmI())
	if err != nil {
		return err
	}
	switch {
	case before.Final():
		return fmt.Errorf("%w: run %s has ended already, it is %s", runner.ErrNotClaimable, run.ID, before)
	case before == runner.Queued:
		fmt.Fprintf(a.std.Out, "run %s is canceled\n", run.ID)
	default:
		fmt.Fprintf(a.std.Out, "run %s is asked to end; follow it with: %s\n", run.ID, a.again("logs -f "+string(run.ID)))
	}
	return nil
}
