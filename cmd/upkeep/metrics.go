package main

import (
	"github.com/spf13/cobra"
)

func newMetrics(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "metrics",
		Short: "Show what the service tells Prometheus about itself",
		Long: `Show the metrics of the service: runs, checks, incidents, notices, backups, requests
and this machine, in the text format of Prometheus. The same stands at /metrics of the
API, and in the file that ` + "`metrics.textfile`" + ` names. It shows what upkeep says about
itself; ` + "`upkeep metric`" + ` keeps values that were measured elsewhere.`,
		Example: "  upkeep metrics\n  upkeep metrics | grep upkeep_runs_total\n  upkeep metrics | promtool check metrics",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, c, err := a.configOrHolder(cmd.Context())
			switch {
			case err != nil:
				return err
			case c == nil:
				return errNoService
			}
			return c.Metrics(cmd.Context(), a.std.Out)
		},
	}
}
