package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

func newList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the workflows with their schedules and last runs",
		Long: `List the workflows: when each is due next, which nodes run it, how its newest run went,
and whether it is paused or has not succeeded for too long. The next instant is in the time zone of the
workflow. When a service runs, the list is what that service goes by; when it could
not load the configuration on disk, the list says so.`,
		Example: "  upkeep list\n  upkeep list -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listWorkflows(cmd.Context()) },
	}
	a.outputFlag(cmd)
	return cmd
}

func (a *app) listWorkflows(ctx context.Context) error {
	cfg, c, err := a.readingOrHolder(ctx)
	if err != nil {
		return err
	}
	var views []api.Workflow
	if c != nil {
		if views, err = c.Workflows(ctx); err != nil {
			return err
		}
		if err := a.tellDegraded(ctx, c); err != nil {
			return err
		}
	} else if views, err = a.localWorkflows(ctx, cfg); err != nil {
		return err
	}
	p := a.painter(a.std.Out)
	l := listing{
		columns: []string{"WORKFLOW", "SCHEDULE", "RUNS ON", "NEXT", "LAST", "STATE", "JOBS"},
		empty:   "no workflows are configured",
		data:    views,
	}
	now := time.Now()
	for _, v := range views {
		lastAt, state := "-", "-"
		if v.Last != nil {
			lastAt, state = stamp(v.Last.QueuedAt), p.state(v.Last.State)
			if v.Last.Interrupted {
				state += ", " + interrupted
			}
		}
		if v.Fresh != nil && !*v.Fresh {
			state += p.red(", stale")
		}
		l.rows = append(l.rows, []string{v.Name, v.Schedule, api.PlaceWords(v.RunsOn), a.nextOf(v, now), lastAt, state, strconv.Itoa(len(v.Jobs))})
	}
	return a.list(l)
}

// nextOf says when a workflow is due next, in its zone, or why it is not.
func (a *app) nextOf(v api.Workflow, now time.Time) string {
	if v.Paused != nil && (v.Paused.Until == nil || v.Paused.Until.After(now)) {
		return a.painter(a.std.Out).yellow("paused by " + oneLine(v.Paused.By, 0))
	}
	if v.Next == nil {
		return "-"
	}
	zone, err := time.LoadLocation(v.Zone)
	if err != nil {
		zone = time.UTC
	}
	return v.Next.In(zone).Format("2006-01-02 15:04:05 MST")
}

// tellDegraded says what is wrong with the service, such as that it goes by
// another configuration than the one on disk.
func (a *app) tellDegraded(ctx context.Context, c *remote) error {
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if status.Config.State == api.ConfigDegraded {
		fmt.Fprintf(a.std.Err, "warning: the service is degraded: it goes by the configuration of %s, because the newer one was refused: %s\n",
			stamp(status.Config.LoadedAt), oneLine(status.Config.Reason, 0))
	}
	for _, p := range status.Problems {
		if p.Name != "config" {
			fmt.Fprintf(a.std.Err, "warning: the service: %s\n", oneLine(p.Text, 0))
		}
	}
	return nil
}

// localWorkflows lists what the configuration on disk and the ledger say.
func (a *app) localWorkflows(ctx context.Context, cfg *configs.Config) ([]api.Workflow, error) {
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return service.Workflows(ctx, cfg, reader, reader.slots, func(ctx context.Context, run runner.Run) (bool, error) {
		return reader.orphaned(ctx, run)
	})
}
