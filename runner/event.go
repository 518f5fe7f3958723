package runner

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Observer is told what happens to runs: the live display, metrics and the
// event stream are observers.
type Observer interface {
	// Observe takes one event. It must not block and must not keep pointers
	// into the event. It is called from many goroutines. What it misses is
	// still in the ledger.
	Observe(ctx context.Context, e Event)
}

// Event is one of RunStarted, AttemptStarted, AttemptProgress, AttemptWaiting,
// AttemptEnded, RunNoted and RunEnded.
type Event interface{ event() }

// RunStarted says that this instance claimed a run and compiled its plan.
type RunStarted struct {
	Run Run
	// Jobs are the names of the plan's jobs that the run includes, in order,
	// with their kinds.
	Jobs []JobName
	// Done are the latest attempts of jobs that an earlier claim finished.
	Done []Attempt
}

// JobName is a job's name and kind.
type JobName struct{ Name, Kind string }

// AttemptStarted says that an attempt is on record and about to run.
type AttemptStarted struct{ Attempt Attempt }

// AttemptProgress says how far an attempt is; at most one per second and
// attempt, and none is stored.
type AttemptProgress struct {
	Key         AttemptKey
	Done, Total int64
	Unit        string
	At          time.Time
}

// AttemptWaiting says that a job waits: for a lock (Holder is set) or for its
// next retry (Until is set).
type AttemptWaiting struct {
	Key    AttemptKey
	Holder *LockHolder
	Until  time.Time
	// Error is the failure that the retry follows; empty for locks.
	Error string
}

// AttemptEnded says that an attempt's end is on record.
type AttemptEnded struct {
	Attempt Attempt
	// Findings repeats Attempt.Result.Findings for observers that keep only
	// this.
	Findings []jobs.Finding
}

// RunNoted says that something about a run under way should be known; the text
// stands in the run's message in the end.
type RunNoted struct {
	Run  RunID
	Text string
	At   time.Time
}

// RunEnded says that the run's end is on record.
type RunEnded struct{ Run Run }

func (RunStarted) event()      {}
func (AttemptStarted) event()  {}
func (AttemptProgress) event() {}
func (AttemptWaiting) event()  {}
func (AttemptEnded) event()    {}
func (RunNoted) event()        {}
func (RunEnded) event()        {}
