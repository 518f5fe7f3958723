package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/reports"
)

func newIncidentReport(a *app) *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report INCIDENT",
		Short: "Write the post-mortem of an incident",
		Long: `Write what is on record of an incident: what happened when, what was found, who was told,
what had changed before, and how the check answered around it. What people have to add
stands at the end as questions. INCIDENT is as for ` + "`upkeep incident show`" + `.`,
		Example:           "  upkeep incident report last\n  upkeep incident report database --out post-mortem.html",
		ValidArgsFunction: a.completeIncidents,
		RunE: func(cmd *cobra.Command, given []string) error {
			ctx := cmd.Context()
			reader, err := a.openReader(ctx)
			if err != nil {
				return err
			}
			defer reader.Close()
			incident, err := findIncident(ctx, reader, given[0])
			if err != nil {
				return err
			}
			return a.writeReport(cmd, f, func(html bool) ([]byte, error) {
				if reader.far != nil {
					return reader.far.PostMortem(ctx, incident.ID, html)
				}
				d, err := reports.PostMortem(ctx, reader.source(), reader.desk, incident.ID, time.Now())
				if err != nil {
					return nil, err
				}
				return written(d, html)
			})
		},
	}
	f.add(cmd)
	return cmd
}
