package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/reports"
)

// errNoIncident has the hint for an incident that does not exist.
func errNoIncident(err error) error {
	if is[*notFoundError](err) || errors.Is(err, context.Canceled) {
		return err
	}
	return hintIfNone(err, "`upkeep incident list` lists the incidents")
}

func newIncidentReport(a *app) *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report INCIDENT",
		Short: "Write the post-mortem of an incident",
		Long: `Write what is on record of an incident: what happened when, what was found, who was told,
what had changed before, and how the check answered around it. What people have to add
stands at the end as questions.`,
		Example: "  upkeep incident report 019aa1b2\n  upkeep incident report 019aa1b2 --out post-mortem.html",
		RunE: func(cmd *cobra.Command, given []string) error {
			reader, err := a.openReader(cmd.Context())
			if err != nil {
				return err
			}
			defer reader.Close()
			timelines, _ := reader.alerts.(reports.Timelines) //nolint:errcheck // an empty ledger has none
			d, err := reports.PostMortem(cmd.Context(), reader.source(), timelines, given[0], time.Now())
			if err != nil {
				return errNoIncident(err)
			}
			return a.writeReport(cmd, d, f)
		},
	}
	f.add(cmd)
	return cmd
}
