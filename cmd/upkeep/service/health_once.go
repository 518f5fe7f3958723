package service

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// CheckOnce asks checks once where no service watches them, all at the same
// time, or all that there are when names is empty. One answer decides: nobody
// knows what came before. A heartbeat is judged by what is on record.
func CheckOnce(ctx context.Context, cfg *configs.Config, past runner.SampleReader, version string, names ...string) (list []api.Check, err error) {
	var chosen []configs.Check
	for _, c := range cfg.Checks {
		if len(names) == 0 || slices.Contains(names, c.Name) {
			chosen = append(chosen, c)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(chosen, func(c configs.Check) bool { return c.Name == name }) {
			return nil, notThere(&health.UnknownError{What: "check", Name: name})
		}
	}
	dir, err := os.MkdirTemp("", "upkeep-checks-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for probes: %w", err)
	}
	defer func() {
		if removed := os.RemoveAll(dir); err == nil && removed != nil {
			err = fmt.Errorf("remove the folder of the probes: %w", removed)
		}
	}()
	o := health.Options{
		Prober: prober{func() *configs.Config { return cfg }},
		Env:    jobs.Env{Node: cfg.Node, Version: version, Zone: cfg.Timezone, Root: cfg.Root, WorkDir: dir, KillGrace: cfg.KillGrace},
	}
	list = make([]api.Check, len(chosen))
	failed := make([]error, len(chosen))
	var all sync.WaitGroup
	for i, c := range chosen {
		all.Go(func() {
			var outcome health.Outcome
			if c.Kind == health.KindHeartbeat {
				outcome, failed[i] = health.OnceTold(ctx, past, c.Watched(), time.Now())
			} else {
				outcome, failed[i] = health.Once(ctx, o, c.Watched())
			}
			list[i] = setUp(cfg, api.NewCheck(outcome.Report(c.Watched()), c.WorstDetection()))
		})
	}
	all.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}
