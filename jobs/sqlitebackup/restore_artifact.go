package sqlitebackup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// artifacts is what the kind knows about its artifacts.
type artifacts struct{}

var (
	_ jobs.Artifacts = artifacts{}
	_ jobs.Restorer  = artifacts{}
	_ jobs.Demanding = artifacts{}
	_ jobs.Undoer    = artifacts{}
)

// Verify proves a backup.
func (artifacts) Verify(ctx context.Context, env *jobs.Env, a *object.Artifact, p jobs.Proving) (object.Proof, error) {
	return artifact.Prover(func(ctx context.Context, env *jobs.Env, a *object.Artifact, keys crypt.Keys) error {
		return Verify(ctx, a, env.WorkDir, keys...)
	}).Verify(ctx, env, a, p)
}

// Demands implements jobs.Demanding.
func (artifacts) Demands() []string { return []string{jobs.DemandReplace} }

// Restore writes the database to the new file t.To, or with t.Replace in the
// place of an old one, which is kept beside it.
func (artifacts) Restore(ctx context.Context, env *jobs.Env, a *object.Artifact, t jobs.Target) (jobs.Restored, error) {
	if len(t.Only) > 0 {
		return jobs.Restored{}, errors.New("an SQLite database is restored as a whole")
	}
	details, err := DetailsOf(a.Manifest)
	if err != nil {
		return jobs.Restored{}, err
	}
	r := replacement{env: env, target: t.To}
	if t.Replace && !missing(t.To) {
		if err := r.look(ctx); err != nil {
			return jobs.Restored{}, err
		}
	} else if err := vacant(t.To); err != nil {
		return jobs.Restored{}, err
	}
	if err := r.sweep(ctx); err != nil {
		return jobs.Restored{}, err
	}
	bytes := details.PageSize * details.Pages
	free, err := artifact.FreeBytes(filepath.Dir(r.target))
	if err != nil {
		return jobs.Restored{}, err
	}
	if free < bytes {
		return jobs.Restored{}, jobs.WithHint(fmt.Errorf("%s has %s free, but the database takes %s", filepath.Dir(t.To), artifact.Bytes(free), artifact.Bytes(bytes)),
			"free space there, or choose another place")
	}
	what := fmt.Sprintf("%s in %s, %s, as %s", artifact.Count(details.Rows(), "row"), artifact.Count(len(details.Tables), "table"), artifact.Bytes(bytes), t.To)
	if r.old == nil {
		err = env.Effect(ctx, "restore "+what, func(ctx context.Context) error { return Restore(ctx, a, t.To, t.Identities...) })
	} else {
		err = r.restore(ctx, a, details, what, t.Identities)
	}
	if err != nil {
		return jobs.Restored{}, err
	}
	if !env.DryRun() {
		what += ", sound and counted"
	}
	return jobs.Restored{Summary: what + r.epilogue()}, nil
}
