package custody

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

// Verify proves artifacts anew, read through their stores, and records the
// outcome beside their manifests. What went wrong with one keeps it from no
// other, and is the error that is returned beside what came of all.
func (c *Custodian) Verify(ctx context.Context, r api.VerifyRequest) (api.Worked, error) {
	chosen, failed := c.chooseProofs(ctx, r)
	if len(chosen) == 0 {
		return worked(nil), failed
	}
	errs := []error{failed}
	for i := range chosen {
		err := c.verify(ctx, &chosen[i], r.Level)
		if canceled(ctx) != nil {
			return worked(nil), canceled(ctx)
		}
		if err != nil {
			errs = append(errs, chosen[i].scrub(err))
		}
	}
	return worked(Views(chosen, time.Now())), errors.Join(errs...)
}

// chooseProofs finds the artifacts that are meant.
func (c *Custodian) chooseProofs(ctx context.Context, r api.VerifyRequest) ([]Artifact, error) {
	switch {
	case r.Newest && r.All:
		return nil, invalid("newest and all exclude each other")
	case !r.Newest && !r.All && r.Artifact == "":
		return nil, invalid("say which artifact: an id, newest or all")
	case !r.Newest && !r.All:
		one, err := c.find(ctx, r.Artifact, r.Store)
		if err != nil {
			return nil, err
		}
		return []Artifact{one}, nil
	}
	s := ScopeOf(r.Artifact, r.Store)
	found, err := c.Artifacts(ctx, s)
	if r.Newest {
		found = newestOf(found)
	}
	if len(found) == 0 && err == nil {
		err = c.nothing(s)
	}
	return found, err
}

// verify proves one artifact and records the outcome.
func (c *Custodian) verify(ctx context.Context, a *Artifact, wanted object.Level) error {
	what := fmt.Sprintf("verify %s of %s in store %s", a.Manifest.ID, a.Name(), a.Store)
	level, err := c.levelFor(*a, wanted)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	kind, ok := jobsall.Kinds().Lookup(a.Manifest.Kind)
	if !ok || kind.Artifacts == nil {
		return fmt.Errorf("%s: this version of upkeep knows no artifacts of the kind %q", what, a.Manifest.Kind)
	}
	if wanted == "" && level == object.L1 {
		c.say("%s: encrypted, and --identity is not given: proven up to L1 only", a.Manifest.ID)
	}
	stop := c.watch(*a, "verify")
	var proof object.Proof
	err = inScratch(func(dir string) (err error) {
		proof, err = kind.Artifacts.Verify(ctx, c.env(*a, dir, jobs.Hooks{}), a.Artifact, jobs.Proving{Level: level, Identities: c.o.Identities})
		return err
	})
	stop()
	if canceled(ctx) != nil || err != nil && !errors.Is(err, object.ErrDamaged) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if gone := a.gone(ctx); gone != nil {
		return fmt.Errorf("%s: %w", what, gone)
	}
	if err != nil {
		err = a.advise(fmt.Errorf("%s: %w", what, err))
	}
	if !deeper(a.Proof, proof) {
		return err
	}
	return errors.Join(err, a.Record(ctx, proof))
}

// levelFor returns how far an artifact is to be proven.
func (c *Custodian) levelFor(a Artifact, wanted object.Level) (object.Level, error) {
	encrypted := false
	for _, s := range a.Manifest.Streams {
		encrypted = encrypted || len(s.Recipients) > 0
	}
	sealed := encrypted && len(c.o.Identities) == 0
	switch {
	case sealed && wanted == object.L2:
		return "", jobs.WithHint(errors.New("it is encrypted, so that L2 needs an identity"), "name the file with --identity, or use --level L1")
	case wanted != "":
		return wanted, nil
	case sealed:
		return object.L1, nil
	}
	return object.L2, nil
}
