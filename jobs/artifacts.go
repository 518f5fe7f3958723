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
