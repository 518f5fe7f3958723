package artifact

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
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
		one, err := p.retain(ctx, env, s, r)
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
func (p *Publisher) retain(ctx context.Context, env *jobs.Env, s store, r jobs.Pruning) (jobs.Retained, error) {
	var out Outcome
	policy := p.options.Keep.Policy()
	held, ok := p.known(env, r.Known, s.name)
	if !ok {
		var err error
		if held, err = p.inventory(ctx, env, s, &out); err != nil {
			return jobs.Retained{}, err
		}
	}
	items := held.items
	if !r.Failed.IsZero() {
		items = append(items, retention.Item{Time: r.Failed})
	}
	plan := retention.Apply(policy, items, time.Now(), env.Zone)
	kept := jobs.Retained{Store: s.name, Active: policy.Active(), Plan: plan}
	if err := p.remove(ctx, env, s, plan, held.artifacts, &out); err != nil {
		return kept, err
	}
	if !env.DryRun() {
		for _, d := range plan.Remove {
			// What the store says of a removal is not believed.
			_, err := s.Stat(ctx, held.artifacts[d.Item.ID].Info.Key)
			if errors.Is(err, object.ErrNotFound) {
				kept.Removed = append(kept.Removed, d.Item.ID)
			} else if err != nil {
				return kept, fmt.Errorf("look what is left: %w", err)
			}
		}
	}
	kept.Findings = out.Findings
	return kept, nil
}

// known is an inventory of what the caller has read.
func (p *Publisher) known(env *jobs.Env, known map[string][]*object.Artifact, store string) (*inventory, bool) {
	read, ok := known[store]
	if !ok {
		return nil, false
	}
	held := p.newInventory()
	for _, a := range read {
		if a.Manifest.Workflow == env.Workflow && a.Manifest.Job == env.Job {
			held.add(a)
		}
	}
	return held, true
}
