package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
)

func newApprove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "approve RUN",
		Short: "Let a run go that waits for approval",
		Long: `Let a run go that waits for somebody's approval, because its workflow says
` + "`mode: approve`" + `. ` + "`upkeep cancel`" + ` turns it down.

RUN is a run's ID, the beginning of one, a workflow's name for its newest run, or
` + "`last`" + `.`,
		Example:           "  upkeep history --state queued\n  upkeep approve 019aa1b2",
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.approve(cmd.Context(), given[0])
		},
	}
}

func (a *app) approve(ctx context.Context, text string) error {
	return a.act(ctx, "upkeep approve "+text, func(ctx context.Context, cfg *configs.Config, c commander) error {
		id, err := a.lookUp(ctx, cfg, text)
		if err != nil {
			return err
		}
		if err := c.Approve(ctx, id); err != nil {
			return err
		}
		if _, idle := c.(onLedger); idle {
			fmt.Fprintf(a.std.Out, "run %s is approved; it begins with the next `upkeep serve`\n", id)
			return nil
		}
		fmt.Fprintf(a.std.Out, "run %s is approved; follow it with: %s\n", id, a.again("logs -f "+string(id)))
		return nil
	})
}
