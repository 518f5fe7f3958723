package jobs

import (
	"context"

	"github.com/ghosteam/upkeep/storage/object"
)

// Artifacts is what a kind knows about the artifacts that its jobs put into
// stores. It needs no configured job: an artifact and its manifest are enough.
type Artifacts interface {
	// Verify proves a up to p.Level, at most L2, reading it anew through its
	// store, and returns the proof for Artifact.Record. When the artifact is
	// not what its manifest says, the error wraps object.ErrDamaged and the
	// proof says so too. Any other error says nothing about the artifact, and
	// there is no proof to record: the store did not answer, a program is
	// missing, or nothing decrypts it, which is no error up to L1, where the
	// stored bytes are proven without it.
	//
	// What has to be laid down on the way goes into env.WorkDir. Nothing else
	// is changed.
	Verify(ctx context.Context, env *Env, a *object.Artifact, p Proving) (object.Proof, error)
}

// Proving says how to prove an artifact.
type Proving struct {
	// Level is how far: L0, L1 or L2.
	Level object.Level
	// Identities are the paths of files with age identities, one of which
	// decrypts the artifact; empty when none is at hand or it is not encrypted.
	Identities []string
}

// Restorer is implemented by the Artifacts of kinds that put back what they
// saved.
type Restorer interface {
	// Restore puts the content of a to t.To, reading it anew through its store
	// and proving it on the way. It never replaces or mixes: a target that
	// exists or holds anything is refused with a *RefusedError before anything
	// is read. Every change goes through env.Effect, so that a dry run makes
	// the checks and no more. After an error the target does not hold what
	// could be taken for a whole restore, unless the error says so.
	Restore(ctx context.Context, env *Env, a *object.Artifact, t Target) (Restored, error)
}

// Target says where to put what an artifact holds.
type Target struct {
	// To is the path of a new file or directory, or the configured name of a
	// database, as the kind wants it.
	To string
	// Database resolves the name of a database.
	Database func(name string) (Database, error)
	// Only restricts the restore to some of the content, by names that the
	// kind documents; empty means everything.
	Only []string
	// Identities are the paths of files with age identities that decrypt.
	Identities []string
}

// Restored is what a restore did, or would do.
type Restored struct {
	// Summary is one line for people.
	Summary string
	// Findings are what a person should know.
	Findings []Finding
}
