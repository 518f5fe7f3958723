package artifact

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object/retention"
)

// Prune is jobs.Keeper for the job of this publisher.
func (p *Publisher) Prune(ctx context.Context, env *jobs.Env, r jobs.Pruning) ([]jobs.Retained, error) {
	var all []jobs.Retained
	var errs []error
	for _, s := range p.stores {
		if len(r.Stores) > 0 && !slices.Contains(r.Stores, s.name) {
			continue
		}
		one, err := p.retain(ctx, env, s, r.Failed)
		if err != nil {
			errs = append(errs, fmt.Errorf("store %s: %w", s.name, err))
			if context.Cause(ctx) != nil {
				break
			}
			continue
		}
		all = append(all, one)
	}
	return all, errors.Join(errs...)
}

// retain applies retention in one store beside a run.
func (p *Publisher) retain(ctx context.Context, env *jobs.Env, s store, failed time.Time) (jobs.Retained, error) {
	var out Outcome
	policy := p.options.Keep.Policy()
	artifacts, items, err := p.inventory(ctx, env, s, &out)
	if err != nil {
		return jobs.Retained{}, err
	}
	if !failed.IsZero() {
		items = append(items, retention.Item{Time: failed})
	}
	plan := retention.Apply(policy, items, time.Now(), env.Zone)
	kept := jobs.Retained{Store: s.name, Active: policy.Active(), Plan: plan}
	if err := p.remove(ctx, env, s, plan, artifacts, &out); err != nil {
		return kept, err
	}
	if !env.DryRun() && len(plan.Remove) > 0 {
		left, _, err := p.inventory(ctx, env, s, &Outcome{})
		if err != nil {
			return kept, fmt.Errorf("look what is left: %w", err)
		}
		for _, d := range plan.Remove {
			if left[d.Item.ID] == nil {
				kept.Removed = append(kept.Removed, d.Item.ID)
			}
		}
	}
	kept.Findings = out.Findings
	return kept, nil
}
