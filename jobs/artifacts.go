package jobs

import (
	"context"
	"errors"

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
	// and proving it on the way. Unless t.Replace says otherwise it never
	// replaces or mixes: a target that exists or holds anything is refused with
	// a *RefusedError before anything is read. Every change goes through
	// env.Effect, so that a dry run makes the checks and no more. After an error
	// the target does not hold what could be taken for a whole restore, unless
	// the error says so. What an earlier call left behind because its process
	// died is removed first, as far as it is provably ours.
	//
	// A demand that the kind does not know of is refused: the caller looks at
	// Demanding before.
	Restore(ctx context.Context, env *Env, a *object.Artifact, t Target) (Restored, error)
}

// Demanding is implemented by Restorers that meet more demands than a plain
// restore into a new place; without it a Restorer meets none.
type Demanding interface {
	// Demands are the demands that are met, by their names in Target.Demands.
	Demands() []string
}

// Undoer is implemented by Restorers that know Replace.
type Undoer interface {
	// Undo puts back what the last Restore with Replace put aside at t.To, by
	// exchanging the two, so that it can be undone itself. It removes nothing.
	// The error wraps ErrNothingReplaced when there is nothing to put back, or
	// when t.To is not a target of this kind.
	Undo(ctx context.Context, env *Env, t Target) (Restored, error)
}

// ErrNothingReplaced says that there is nothing that Undo could put back.
var ErrNothingReplaced = errors.New("nothing was replaced here")

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

	// Replace puts the content in the place of what is there, at once and only
	// when it is complete and proven; what was there is kept beside it, and
	// Restored says where.
	Replace bool
	// Create makes a database that does not exist.
	Create bool
	// Disconnect ends the sessions of others that keep Replace or Undo from
	// exchanging.
	Disconnect bool
	// Jobs is how much is loaded at once; 0 and 1 mean in one transaction.
	Jobs int
	// Globals also restores what belongs to the server and not to one of its
	// databases, such as roles, where it does not exist.
	Globals bool
	// NoOwner and NoPrivileges leave out who owns what and who may do what.
	NoOwner, NoPrivileges bool
}

// The demands that a Target can make.
const (
	DemandReplace      = "replace"
	DemandCreate       = "create"
	DemandDisconnect   = "disconnect"
	DemandJobs         = "jobs"
	DemandGlobals      = "globals"
	DemandNoOwner      = "no-owner"
	DemandNoPrivileges = "no-privileges"
)

// Demands returns what t demands beyond a plain restore into a new place.
func (t Target) Demands() []string {
	var out []string
	for _, d := range []struct {
		made bool
		name string
	}{
		{t.Replace, DemandReplace},
		{t.Create, DemandCreate},
		{t.Disconnect, DemandDisconnect},
		{t.Jobs > 1, DemandJobs},
		{t.Globals, DemandGlobals},
		{t.NoOwner, DemandNoOwner},
		{t.NoPrivileges, DemandNoPrivileges},
	} {
		if d.made {
			out = append(out, d.name)
		}
	}
	return out
}

// Restored is what a restore did, or would do.
type Restored struct {
	// Summary is one line for people.
	Summary string
	// Findings are what a person should know.
	Findings []Finding
}
