package runner

import (
	"context"
	"time"
)

// History is how much of the past of a workflow stays on record. The limits
// hold together: the oldest runs go until none is exceeded, except that runs
// younger than AtLeast stay whatever the limits say. Open runs, the newest run
// and the newest whole success of a workflow always stay.
type History struct {
	// Keep is the age from which a run goes; 0 means any age stays.
	Keep time.Duration
	// Runs is the most runs, Bytes the most bytes of output that they take as
	// stored; 0 means any number.
	Runs  int
	Bytes int64
	// AtLeast is the age below which a run stays.
	AtLeast time.Duration
}

// Retention says what of the ledger may go.
type Retention struct {
	// Now is the instant from which ages count; the zero time means the
	// present.
	Now time.Time
	// Workflows are the limits of the workflows by name, Others those of all
	// others that are on record, such as workflows that were removed from the
	// configuration.
	Workflows map[string]History
	Others    History
	// Rest is the age from which resolved incidents with their notices and
	// timelines, ended notices without an incident, events, the audit, tokens
	// that count no more, ended pauses and silences, and the cursors of workflows
	// that are not named in Workflows go;
	// 0 means any age stays.
	Rest time.Duration
	// Grains say how coarse older samples are kept; those older than Rest go.
	Grains []Grain
	// DryRun only counts what would go.
	DryRun bool
}

// Pruned counts what went.
type Pruned struct {
	// Runs are the runs by workflow, without those of which none went.
	Runs map[string]int
	// Bytes is what the outputs of these runs and the frozen texts that no run
	// uses any longer took as stored.
	Bytes int64
	// Specs are frozen texts that no run uses any longer. A dry run counts
	// only those that no run uses yet.
	Specs, Incidents, Notices, Events, Pauses, Silences, Cursors, Actions, Tokens int
	// Samples are samples and stretches, Folded those that became part of a
	// longer stretch.
	Samples, Folded int
}

// Total returns how many runs went.
func (p Pruned) Total() int {
	total := 0
	for _, n := range p.Runs {
		total += n
	}
	return total
}

// Pruner shortens the past. Its methods follow the obligations of Ledger,
// except that they are many short transactions: what went before an error is
// gone, and told.
type Pruner interface {
	// PruneRuns deletes what r lets go, oldest first.
	PruneRuns(ctx context.Context, r Retention) (Pruned, error)
}
