package runner

import (
	"context"
	"time"
)

// Entry is one line of an incident's timeline.
type Entry struct {
	// At is when it happened, UTC; Kind one of the kinds below.
	At   time.Time
	Kind EntryKind
	// Text says it, By who did it; empty for upkeep itself. The Text of evidence
	// has several lines and Name says what it is.
	Name, Text, By string
}

// EntryKind is what an entry of a timeline tells.
type EntryKind string

// The kinds of entries.
const (
	EntryOpened     EntryKind = "opened"
	EntryEvidence   EntryKind = "evidence"
	EntryWorse      EntryKind = "worse"      // the severity rose
	EntryBetter     EntryKind = "better"     // the severity fell
	EntryAcked      EntryKind = "acked"      // somebody works on it
	EntryUnacked    EntryKind = "unacked"    // nobody does any more
	EntryNote       EntryKind = "note"       // somebody wrote something down
	EntryBegan      EntryKind = "began"      // somebody says when it really began
	EntrySuppressed EntryKind = "suppressed" // nobody is told for now; the text says why
	EntryReleased   EntryKind = "released"   // people are told again
	EntryFlapping   EntryKind = "flapping"   // it comes and goes
	EntryRunbook    EntryKind = "runbook"    // a runbook was started, or ended
	EntrySteady     EntryKind = "steady"     // it no longer comes and goes, and lasts
	EntryResolved   EntryKind = "resolved"
)

// Said tells that somebody said when the fault began: FirstBad is then no answer
// of a check, and is LastGood too.
func (i Incident) Said() bool { return !i.FirstBad.IsZero() && i.FirstBad.Equal(i.LastGood) }

// changedWithin is how long before a fault what happened may have caused it.
const changedWithin = time.Hour

// Changes selects the events that may have caused the incident: those of the
// hour before it was first seen.
func (i Incident) Changes() HappeningFilter {
	began := i.FirstBad
	if began.IsZero() {
		began = i.OpenedAt
	}
	return HappeningFilter{Since: began.Add(-changedWithin), Until: began.Add(time.Microsecond)}
}

// Silence keeps incidents from being told for a while. They stay on record, and
// the end of what was told before is told all the same.
type Silence struct {
	// ID is a UUID of version 7 in its canonical text form.
	ID string
	// Workflow, Check, Reason and Severity select incidents: each that is not
	// empty must fit. The first three are patterns of doublestar; a pattern of *
	// selects all that have one. All four empty select every incident.
	Workflow, Check, Reason, Severity string
	// Why says what for, By who did it.
	Why, By string
	// Since and Until bound it: Since <= t < Until.
	Since, Until time.Time
	// EndedAt is when somebody ended it early; zero otherwise.
	EndedAt time.Time
}

// Desk is where people work on incidents. Its methods follow the obligations of
// Ledger. An incident is named by its ID or an unambiguous beginning of it:
// ErrNotFound or *AmbiguousError otherwise.
type Desk interface {
	// Ack records that somebody works on an open incident: repetitions and
	// escalations stop until the given time, the zero time for no end, or until
	// it gets worse. The channels that were told of it are told that, once for
	// each person; repeating it changes the time. ErrIncidentState when it is
	// resolved.
	Ack(ctx context.Context, incident, by, note string, until time.Time) error
	// Note adds a line to the timeline of any incident.
	Note(ctx context.Context, incident, by, text string) error
	// Began says when the fault of any incident really began, which is not after
	// it opened: reports count its detection from then on. *jobs.FieldError when
	// it is later.
	Began(ctx context.Context, incident, by string, at time.Time) error
	// Resolve ends an open incident by hand. The channels that were told of it are
	// told of its end. ErrIncidentState when it is resolved.
	Resolve(ctx context.Context, incident, by, note string) error
	// Silence records a silence, which must end after it begins, and returns its
	// ID. One that has begun takes effect at once, also on incidents that are open
	// and on what is owed about them; a later one with the Settle when it begins.
	Silence(ctx context.Context, s Silence) (id string, err error)
	// EndSilence ends a silence now, for open incidents with the next Settle;
	// ErrNotFound when there is none.
	EndSilence(ctx context.Context, id, by string) error
}

// DeskReader reads what people and upkeep did about incidents. Its methods
// follow the obligations of Reader.
type DeskReader interface {
	// Timeline returns the entries of an incident, the earliest first.
	Timeline(ctx context.Context, incident string) ([]Entry, error)
	// Silences returns the silences that have not ended at now, or all, the
	// newest first.
	Silences(ctx context.Context, now time.Time, all bool) ([]Silence, error)
}

// Maintenance knows when faults are expected: in windows, and while some jobs
// run. An Alarm may be one, too. Its methods are pure and quick, and called by
// several goroutines.
type Maintenance interface {
	// Window returns the workflow in whose window a fault stands at an instant,
	// and when that closes; an empty name for none.
	Window(f Fault, at time.Time) (workflow string, closes time.Time)
	// Opens returns when such a window opens next for a fault, which stands in
	// none at that instant; zero for never.
	Opens(f Fault, at time.Time) time.Time
	// Disturbers returns the jobs that are expected to cause a fault while they
	// run.
	Disturbers(f Fault) []Place
	// Disturbs tells whether a job is expected to cause any fault.
	Disturbs(p Place) bool
}

// Place is a job of a workflow.
type Place struct{ Workflow, Job string }

// Settler does what time does to incidents: suppressions, acknowledgements and
// silences end, and what comes and goes becomes steady. Its method follows the
// obligations of Ledger; several instances may call it beside each other.
type Settler interface {
	// Settle looks at all open incidents as of now. next is when something will
	// end by itself; zero for never. The ledger says, as it does of notices that
	// are owed, when something happened that may bring it forward.
	Settle(ctx context.Context, now time.Time) (next time.Time, err error)
}
