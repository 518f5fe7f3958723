package jobs

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/retention"
)

// Keeper is implemented by jobs that remove old artifacts of theirs from
// stores, so that it can be asked for beside a run.
type Keeper interface {
	// Prune applies the job's retention to the artifacts of env.Workflow and
	// env.Job, as Run does after a success: every removal goes through
	// env.Effect, and in a dry run there is only the plan. A store that fails
	// does not keep it from the others, but makes the error that is returned
	// beside what was done.
	Prune(ctx context.Context, env *Env, p Pruning) ([]Retained, error)
}

// Pruning says where to apply retention, and what it cannot see in a store.
type Pruning struct {
	// Stores are the configured names of stores; empty for all of the job's.
	Stores []string
	// Failed is when the job failed since its last success; zero when it did
	// not. Nothing is removed that was made before.
	Failed time.Time
	// Known is what a store holds under a name of the workflow and job, read
	// just now, by the configured names of stores; artifacts of others in it do
	// not matter. A store that is missing here is read.
	Known map[string][]*object.Artifact
}

// Retained is what retention did in one store, or would do.
type Retained struct {
	// Store is the configured name of the store.
	Store string
	// Active tells that any rule says what to keep; without one all stay.
	Active bool
	// Plan is what was decided.
	Plan retention.Plan
	// Removed are the ids of what is gone; it lacks what the plan removes and
	// the store still holds, such as locked objects. Empty in a dry run.
	Removed []string
	// Findings are what a person should know.
	Findings []Finding
}
