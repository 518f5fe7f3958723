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
	}
	for _, w := range cfg.Workflows {
		r.Workflows[w.Name] = runner.History(w.History)
	}
	return pruner.PruneRuns(ctx, r)
}
