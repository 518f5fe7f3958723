package custody

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

// Artifacts reads the manifests in the scope, newest first. Manifests that
// cannot be read are told at once; stores that fail make the error that is
// returned beside what the others hold.
func (c *Custodian) Artifacts(ctx context.Context, s Scope) ([]Artifact, error) {
	names, err := s.stores(c.o.Config)
	if err != nil {
		return nil, err
	}
	var all []Artifact
	var errs []error
	for _, name := range names {
		found, err := In(ctx, c.o.Config, name, s, func(damaged error) {
			c.say("warning: store %s: %s", name, jobs.OneLine(damaged.Error()))
		})
		all = append(all, found...)
		if err := canceled(ctx); err != nil {
			return nil, err
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("store %s: %w", name, err))
		}
	}
	newestFirst(all)
	return all, errors.Join(errs...)
}

// newestFirst puts artifacts in order, and sets their ratios.
func newestFirst(all []Artifact) {
	slices.SortFunc(all, func(x, y Artifact) int {
		return cmp.Or(y.Manifest.Created.Compare(x.Manifest.Created), cmp.Compare(y.Manifest.ID, x.Manifest.ID), cmp.Compare(x.Store, y.Store))
	})
	compareSizes(all)
}

// In reads the manifests in one store, newest first. damaged is told those that
// cannot be read; the error is about the store itself, and comes beside what
// was read before it. Neither has a secret.
func In(ctx context.Context, cfg *configs.Config, name string, s Scope, damaged func(error)) ([]Artifact, error) {
	store, scrub, m, err := openMetered(cfg, name)
	if err != nil {
		return nil, err
	}
	from := object.Store(store)
	if s.Bare {
		from = store.Store // it can do more than be read
	}
	var found []Artifact
	defer func() { newestFirst(found) }()
	for artifact, err := range object.Artifacts(ctx, from, s.prefix()) {
		switch {
		case artifact == nil:
			return found, scrub(err)
		case errors.Is(err, object.ErrDamaged), errors.Is(err, object.ErrNewer):
			damaged(scrub(err))
		case err != nil:
			return found, scrub(err)
		default:
			if s.Bare {
				artifact.Manifest.Details = nil
			}
			found = append(found, Artifact{Artifact: artifact, Store: name, from: store, meter: m, scrub: scrub})
		}
	}
	return found, nil
}

// openMetered opens a store of which the readers count.
func openMetered(cfg *configs.Config, name string) (*meteredStore, func(error) error, *meter, error) {
	store, secrets, err := cfg.OpenStore(name)
	scrub := Scrubber(secrets)
	if err != nil {
		return nil, scrub, nil, scrub(err)
	}
	m := &meter{}
	return &meteredStore{Store: store, meter: m}, scrub, m, nil
}

// isID tells whether a text is the ID of an artifact.
func isID(text string) bool {
	_, err := object.IDTime(text)
	return err == nil
}

// find returns the artifact of that id; store is empty for any.
func (c *Custodian) find(ctx context.Context, id, store string) (Artifact, error) {
	const hint = "`upkeep backup list` shows the ids"
	if !isID(id) {
		return Artifact{}, notFound(hint, "%q is not the id of an artifact", id)
	}
	names, err := Scope{Store: store}.stores(c.o.Config)
	if err != nil {
		return Artifact{}, err
	}
	var errs []error
	for _, name := range names {
		opened, scrub, m, err := openMetered(c.o.Config, name)
		if err == nil {
			var found *object.Artifact
			if found, err = object.Find(ctx, opened, id); err == nil {
				return Artifact{Artifact: found, Store: name, from: opened, meter: m, scrub: scrub}, nil
			}
		}
		if err := canceled(ctx); err != nil {
			return Artifact{}, err
		}
		if !errors.Is(err, object.ErrNotFound) {
			errs = append(errs, fmt.Errorf("store %s: %w", name, scrub(err)))
		}
	}
	if len(errs) > 0 {
		return Artifact{}, errors.Join(errs...)
	}
	return Artifact{}, notFound(hint, "no store holds an artifact %s", id)
}

// nothing is the error of a scope without artifacts.
func (c *Custodian) nothing(s Scope) error {
	return notFound("`upkeep backup list` shows what there is", "%s", s.Nothing(c.o.Config))
}

// worked is what came of work on some artifacts.
func worked(list []api.Backup) api.Worked {
	return api.Worked{Artifacts: append([]api.Backup{}, list...), Drills: []api.Drill{}}
}
