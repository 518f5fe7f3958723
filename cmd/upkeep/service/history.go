package service

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
)

// PruneHistory forgets what the configuration does not want kept; a dry run
// only counts it.
func PruneHistory(ctx context.Context, cfg *configs.Config, pruner runner.Pruner, now time.Time, dryRun bool) (runner.Pruned, error) {
	r := runner.Retention{
		Now: now, Workflows: map[string]runner.History{}, Others: runner.History(cfg.History), Rest: cfg.History.Keep, DryRun: dryRun,
		// Single samples for two days, enough to look at an incident; then what a
		// chart of a month, and of a year, can show.
		Grains: []runner.Grain{{After: 48 * time.Hour, Length: 5 * time.Minute}, {After: 30 * 24 * time.Hour, Length: time.Hour}},
	}
	for _, w := range cfg.Workflows {
		r.Workflows[w.Name] = runner.History(w.History)
	}
	return pruner.PruneRuns(ctx, r)
}
