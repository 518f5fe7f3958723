package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/web/api"
)

func newPause(a *app) *cobra.Command {
	var until, reason string
	cmd := &cobra.Command{
		Use:   "pause WORKFLOW",
		Short: "Keep a workflow from running by its schedule",
		Long: `Keep a workflow from running by its schedule, until a moment or until somebody ends
the pause. Its slots are recorded as skipped, with who paused it and why. What
people ask for still runs. Whoever gets the alerts is reminded of a pause every 7
days, and ` + "`fresh_within`" + ` goes on counting.

--until takes a duration (36h, 3d), a date, or a date and a time in the zone of the
workflow.`,
		Example: "  upkeep pause daily --until 36h --reason \"storage is being moved\"\n" +
			"  upkeep pause daily --until \"2026-12-01 08:00\" --reason \"freeze\"",
		ValidArgsFunction: a.completeScheduled,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.pause(cmd.Context(), given[0], until, reason)
		},
	}
	cmd.Flags().StringVar(&until, "until", "", "when the pause ends by itself: a duration, a date or an instant (`WHEN`)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who wonder (`TEXT`, required)")
	return cmd
}

func (a *app) pause(ctx context.Context, workflow, until, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return jobs.WithHint(usagef("a pause needs a reason"), `add --reason "what is going on"`)
	}
	return a.act(ctx, "upkeep pause "+workflow, func(ctx context.Context, cfg *configs.Config, c commander) error {
		zone := time.Local
		if w, err := cfg.Workflow(workflow); err == nil {
			zone = w.Zone
		}
		end, err := parseUntil(until, zone, time.Now())
		if err != nil {
			return err
		}
		if err := c.Pause(ctx, workflow, api.PauseRequest{Reason: reason, Until: api.Instant(end)}); err != nil {
			return err
		}
		if end.IsZero() {
			fmt.Fprintf(a.std.Out, "%s is paused until somebody ends that: %s\n", workflow, a.again("unpause "+workflow))
			return nil
		}
		fmt.Fprintf(a.std.Out, "%s is paused until %s\n", workflow, end.In(zone).Format("2006-01-02 15:04:05 MST"))
		return nil
	})
}

// parseUntil reads the end of a pause; zero for none.
func parseUntil(text string, zone *time.Location, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var d unit.Duration
	if err := d.UnmarshalText([]byte(text)); err == nil && d > 0 {
		return now.Add(d.Std()).UTC().Truncate(time.Second), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usagef("--until %q is neither a duration (36h, 3d), nor a date (2026-12-01), nor an instant (2026-12-01T08:00:00Z)", text)
}

func newUnpause(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "unpause WORKFLOW",
		Short:             "End a pause",
		Long:              "Let a paused workflow run by its schedule again. Slots that passed meanwhile stay skipped.",
		Example:           "  upkeep unpause daily",
		ValidArgsFunction: a.completeScheduled,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.unpause(cmd.Context(), given[0])
		},
	}
}

func (a *app) unpause(ctx context.Context, workflow string) error {
	return a.act(ctx, "upkeep unpause "+workflow, func(ctx context.Context, cfg *configs.Config, c commander) error {
		was, err := c.Unpause(ctx, workflow)
		if err != nil {
			return err
		}
		if !was {
			if _, err := cfg.Workflow(workflow); err != nil && len(cfg.Workflows) > 0 {
				return hintIfNone(&notFoundError{err: err}, "`upkeep list` shows the workflows")
			}
			return skippedf("", "%s is not paused", workflow)
		}
		by := "by its schedule"
		if w, err := cfg.Workflow(workflow); err == nil && w.Trigger != nil {
			by = "when its check fails"
		}
		fmt.Fprintf(a.std.Out, "%s runs %s again\n", workflow, by)
		return nil
	})
}
