package api

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// The kinds of events.
const (
	EventSnapshot        = "snapshot"
	EventRunStarted      = "run_started"
	EventAttemptStarted  = "attempt_started"
	EventAttemptProgress = "attempt_progress"
	EventAttemptWaiting  = "attempt_waiting"
	EventAttemptEnded    = "attempt_ended"
	EventRunNoted        = "run_noted"
	EventRunEnded        = "run_ended"
	EventShutdown        = "shutdown"
)

// Event is one event of a run. A snapshot is all that is known of the run and
// takes the place of everything before it; it comes first, and again when the
// reader was too slow for the events in between. What follows a snapshot may
// repeat what it holds; runs and attempts always come whole, so applying one
// twice changes nothing.
type Event struct {
	Kind string `json:"kind" enum:"snapshot,run_started,attempt_started,attempt_progress,attempt_waiting,attempt_ended,run_noted,run_ended,shutdown"`
	// Run is there in snapshot, run_started and run_ended.
	Run *RunRecord `json:"run,omitempty" doc:"in snapshot, run_started and run_ended"`
	// Jobs are the jobs of the plan in order, when they are known.
	Jobs []JobName `json:"jobs,omitempty" doc:"in snapshot and run_started: the jobs of the plan in order, as far as they are known"`
	// Attempts are all attempts in a snapshot, and in run_started those that
	// an earlier claim finished.
	Attempts []AttemptRecord `json:"attempts,omitempty" doc:"all in snapshot; in run_started those that an earlier claim finished"`
	Attempt  *AttemptRecord  `json:"attempt,omitempty" doc:"in attempt_started and attempt_ended"`
	Progress *Progress       `json:"progress,omitempty" doc:"in attempt_progress"`
	Waiting  *Waiting        `json:"waiting,omitempty" doc:"in attempt_waiting"`
	Note     *Note           `json:"note,omitempty" doc:"in run_noted"`
}

// Note is something about a run under way that should be known.
type Note struct {
	Run  runner.RunID `json:"run"`
	Text string       `json:"text"`
	At   time.Time    `json:"at"`
}

// JobName is a job's name and kind.
type JobName struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// AttemptName identifies an attempt.
type AttemptName struct {
	Run    runner.RunID `json:"run"`
	Job    string       `json:"job"`
	Number int          `json:"number"`
}

// Progress is how far an attempt is.
type Progress struct {
	AttemptName

	Done  int64     `json:"done"`
	Total int64     `json:"total" doc:"0 when it is not known"`
	Unit  string    `json:"unit"`
	At    time.Time `json:"at"`
}

// Waiting is what a job waits for.
type Waiting struct {
	AttemptName

	Holder *LockHolder `json:"holder" doc:"who has the lock; null when it waits for its next try"`
	Until  *time.Time  `json:"until" doc:"when it tries next; null when it waits for a lock"`
	Error  string      `json:"error" doc:"the failure that the next try follows"`
}

// LockHolder is who holds a named lock and since when.
type LockHolder struct {
	Lock       string       `json:"lock"`
	Run        runner.RunID `json:"run"`
	Workflow   string       `json:"workflow"`
	Job        string       `json:"job"`
	Owner      string       `json:"owner"`
	Node       string       `json:"node"`
	AcquiredAt time.Time    `json:"acquired_at"`
}

// NewEvent makes the JSON form of an event. It returns false for an event that
// it does not know.
func NewEvent(e runner.Event) (Event, bool) {
	switch e := e.(type) {
	case runner.RunStarted:
		run := NewRunRecord(e.Run, e.Done, false)
		return Event{Kind: EventRunStarted, Run: &run, Jobs: NewJobNames(e.Jobs), Attempts: converted(e.Done, NewAttemptRecord)}, true
	case runner.AttemptStarted:
		attempt := NewAttemptRecord(e.Attempt)
		return Event{Kind: EventAttemptStarted, Attempt: &attempt}, true
	case runner.AttemptProgress:
		return Event{Kind: EventAttemptProgress, Progress: &Progress{
			AttemptName: AttemptName(e.Key), Done: e.Done, Total: e.Total, Unit: e.Unit, At: e.At.UTC(),
		}}, true
	case runner.AttemptWaiting:
		w := &Waiting{AttemptName: AttemptName(e.Key), Until: Instant(e.Until), Error: e.Error}
		if e.Holder != nil {
			holder := LockHolder(*e.Holder)
			holder.AcquiredAt = holder.AcquiredAt.UTC()
			w.Holder = &holder
		}
		return Event{Kind: EventAttemptWaiting, Waiting: w}, true
	case runner.AttemptEnded:
		attempt := NewAttemptRecord(e.Attempt)
		return Event{Kind: EventAttemptEnded, Attempt: &attempt}, true
	case runner.RunNoted:
		return Event{Kind: EventRunNoted, Note: &Note{Run: e.Run, Text: e.Text, At: e.At.UTC()}}, true
	case runner.RunEnded:
		run := NewRunRecord(e.Run, nil, false)
		return Event{Kind: EventRunEnded, Run: &run}, true
	}
	return Event{}, false
}

// NewJobNames makes the JSON form of the jobs of a plan.
func NewJobNames(names []runner.JobName) []JobName {
	return converted(names, func(n runner.JobName) JobName { return JobName(n) })
}

// Runner turns the answer back into an event. It returns false for a snapshot
// and for kinds that runner has no word for.
func (v Event) Runner() (runner.Event, bool) {
	switch {
	case v.Kind == EventRunStarted && v.Run != nil:
		return runner.RunStarted{
			Run:  v.Run.Runner(),
			Jobs: converted(v.Jobs, func(n JobName) runner.JobName { return runner.JobName(n) }),
			Done: converted(v.Attempts, AttemptRecord.Runner),
		}, true
	case v.Kind == EventAttemptStarted && v.Attempt != nil:
		return runner.AttemptStarted{Attempt: v.Attempt.Runner()}, true
	case v.Kind == EventAttemptProgress && v.Progress != nil:
		p := v.Progress
		return runner.AttemptProgress{Key: runner.AttemptKey(p.AttemptName), Done: p.Done, Total: p.Total, Unit: p.Unit, At: p.At.UTC()}, true
	case v.Kind == EventAttemptWaiting && v.Waiting != nil:
		w := v.Waiting
		e := runner.AttemptWaiting{Key: runner.AttemptKey(w.AttemptName), Until: moment(w.Until), Error: w.Error}
		if w.Holder != nil {
			holder := runner.LockHolder(*w.Holder)
			e.Holder = &holder
		}
		return e, true
	case v.Kind == EventAttemptEnded && v.Attempt != nil:
		a := v.Attempt.Runner()
		return runner.AttemptEnded{Attempt: a, Findings: a.Result.Findings}, true
	case v.Kind == EventRunNoted && v.Note != nil:
		return runner.RunNoted{Run: v.Note.Run, Text: v.Note.Text, At: v.Note.At.UTC()}, true
	case v.Kind == EventRunEnded && v.Run != nil:
		return runner.RunEnded{Run: v.Run.Runner()}, true
	}
	return nil, false
}
