package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// Prover is how a kind reads the content of its artifacts: jobs.Artifacts for
// a kind that has a function for L2. The function reads every stream in full
// through Read.
type Prover func(ctx context.Context, env *jobs.Env, a *object.Artifact, keys crypt.Keys) error

var _ jobs.Artifacts = Prover(nil)

// Verify implements jobs.Artifacts.
func (prove Prover) Verify(ctx context.Context, env *jobs.Env, a *object.Artifact, p jobs.Proving) (object.Proof, error) {
	if p.Level.Rank() < 0 || p.Level.Rank() > object.L2.Rank() {
		return object.Proof{}, fmt.Errorf("verify artifact %s: %q is not a level that can be proven here: use L0, L1 or L2", a.Manifest.ID, p.Level)
	}
	keys, err := crypt.Load(p.Identities...)
	if err != nil {
		return object.Proof{}, err
	}
	return prove.with(ctx, env, a, p.Level, keys)
}

// with proves an artifact up to level.
func (prove Prover) with(ctx context.Context, env *jobs.Env, a *object.Artifact, level object.Level, keys crypt.Keys) (object.Proof, error) {
	began := time.Now()
	var err error
	switch {
	case level.Rank() > object.L1.Rank():
		err = prove(ctx, env, a, keys)
	case level.Rank() == object.L1.Rank():
		err = decipher(ctx, a, keys)
	}
	if err == nil {
		err = a.Verify(ctx, level)
	}
	return Judge(env, a, level, began, err)
}

// Judge makes the proof of what began then and ended with err; without an
// error, or with damage, it is one to record.
func Judge(env *jobs.Env, a *object.Artifact, level object.Level, began time.Time, err error) (object.Proof, error) {
	proof := object.Proof{ID: a.Manifest.ID, Level: level, Time: time.Now().UTC(), Seconds: time.Since(began).Seconds(), Node: env.Node}
	switch {
	case errors.Is(err, object.ErrDamaged):
		proof.Damage = jobs.OneLine(err.Error())
	case err != nil:
		return object.Proof{}, err
	}
	return proof, err
}

// decipher reads every stream down to its plain bytes; those that are
// encrypted only when there are keys.
func decipher(ctx context.Context, a *object.Artifact, keys crypt.Keys) error {
	for _, s := range a.Manifest.Streams {
		if len(s.Recipients) > 0 && len(keys) == 0 {
			continue
		}
		if err := Read(ctx, a, keys, s.Name, func(io.Reader) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}
