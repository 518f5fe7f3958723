package jobs

import (
	"context"
	"fmt"

	"github.com/ghosteam/upkeep/storage/object"
)

// Driller is implemented by the Artifacts of kinds that can prove more than
// what an artifact holds: that it can be restored.
type Driller interface {
	// Deepest returns the highest level that Drill can prove: L3 or L4.
	Deepest() object.Level
	// Drill restores the whole content of a, read anew through its store, into
	// a place that it makes for that and removes again, whatever happens:
	// for L3 on a server that is there, or in env.WorkDir, for L4 on a
	// throwaway server of its own. It compares what arrived with the manifest,
	// lets the caller's assertions judge it, and measures how long the restore
	// took. First it clears away what drills of dead processes left, as far as
	// that is provably theirs, and refuses what cannot work.
	//
	// The error wraps object.ErrDamaged when the artifact is not what its
	// manifest says, and then the proof says so too; it is an *AssertionError
	// when the content was restored, but is not what the caller demands. Any
	// other error says nothing about the artifact. In the last two cases there
	// is no proof to record.
	//
	// Every change goes through env.Effect; a dry run makes the checks, says
	// what would be cleared away, and returns no proof.
	Drill(ctx context.Context, env *Env, a *object.Artifact, d Drill) (Drilled, error)
}

// Drill says how to prove that an artifact can be restored.
type Drill struct {
	// Level is L3 or L4.
	Level object.Level
	// Identities are the paths of files with age identities, one of which
	// decrypts the artifact.
	Identities []string
	// Database is the configured name of a database whose server takes the
	// scratch databases of L3; empty for the one that was saved.
	Database string
	// Open resolves the name of a database.
	Open func(name string) (Database, error)
	// Assert are questions in the language of the restored content, such as
	// SQL, which it must answer with true, or with rows without any that says
	// false.
	Assert []string
	// Keep leaves the restored content where it is, for a look, after a drill
	// that came to its end.
	Keep bool
}

// Drilled is what a drill did, or would do.
type Drilled struct {
	// Proof is for Artifact.Record.
	Proof object.Proof
	// Summary is one line for people.
	Summary string
	// Kept says where the restored content stays; empty when it is gone.
	Kept string
	// Findings are what a person should know.
	Findings []Finding
}

// Drilling is implemented by jobs whose options say how their artifacts are to
// be drilled, so that a person who asks for a drill gets the same one.
type Drilling interface {
	// Drill returns what the job's options say; the rest is zero.
	Drill() Drill
}

// AssertionError says that restored content is not what somebody demands of it.
type AssertionError struct {
	// Assertion is the question, and Answer what came back.
	Assertion, Answer string
}

// Error returns both.
func (e *AssertionError) Error() string {
	return fmt.Sprintf("the restored content does not hold up: %s: %s", OneLine(e.Assertion), OneLine(e.Answer))
}
