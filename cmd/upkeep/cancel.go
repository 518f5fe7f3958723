package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

func newCancel(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "End a run in good order",
		Long: `Ask for the end of a run, from any process. A run that waits ends at once; one that
is under way ends when its process sees the request, within a second or two: its
jobs are stopped and those with ` + "`when: always`" + ` still run. A run whose process died
is ended here, in the same order.

RUN is a run's ID, the beginning of one, a workflow's name for its newest run, or
` + "`last`" + `.`,
		Example:           "  upkeep cancel last",
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.cancel(cmd.Context(), given[0])
		},
	}
}

func (a *app) cancel(ctx context.Context, text string) error {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	id, err := a.lookUp(ctx, cfg, text)
	if err != nil {
		return err
	}
	var before runner.State
	orphaned := false
	if c != nil {
		before, err = c.Cancel(ctx, id)
	} else {
		before, orphaned, err = a.requestCancel(ctx, cfg, id)
	}
	switch {
	case err != nil:
		return err
	case before.Final():
		return skippedf("", "run %s has ended already: it is %s", id, before)
	case before == runner.Queued:
		fmt.Fprintf(a.std.Out, "run %s is canceled\n", id)
		return nil
	case orphaned:
		return a.endOrphan(ctx, cfg, id)
	}
	fmt.Fprintf(a.std.Out, "run %s is asked to end; follow it with: %s\n", id, a.again("logs -f "+string(id)))
	return nil
}

// requestCancel leaves the request in the ledger. It returns the run's state
// before, and whether nobody is there to see the request.
func (a *app) requestCancel(ctx context.Context, cfg *configs.Config, id runner.RunID) (before runner.State, orphaned bool, err error) {
	o := service.LedgerOptions(cfg, version, a.log())
	o.Command = "upkeep cancel"
	l, err := ledger.Open(ctx, o)
	if err != nil {
		return "", false, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if before, err = l.Cancel(ctx, id, whoAmI()); err != nil {
		return before, false, err
	}
	run, err := l.Run(ctx, string(id))
	if err != nil {
		return before, false, err
	}
	orphaned, err = history{nodes: l.Nodes}.orphaned(ctx, run)
	return before, orphaned, err
}

// endOrphan ends a run whose process died, in this process.
func (a *app) endOrphan(ctx context.Context, cfg *configs.Config, id runner.RunID) error {
	fmt.Fprintf(a.std.Err, "note: the process of run %s died; it is ended here\n", id)
	err := a.execute(ctx, cfg, nil, "upkeep cancel", false, func(ctx context.Context, c commander) ([]runner.Submission, error) {
		_, err := c.Cancel(ctx, id)
		return []runner.Submission{{Run: id}}, err
	})
	if ended, ok := errors.AsType[*runEnded](err); ok && ended.run.State == runner.Canceled {
		return nil
	}
	return err
}
