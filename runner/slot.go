package runner

import (
	"context"
	"time"
)

// Overlap is what happens to a run when another run of its workflow is still
// open.
type Overlap string

// The choices. The empty Overlap means OverlapAllow.
const (
	OverlapSkip  Overlap = "skip"  // it is recorded as skipped
	OverlapQueue Overlap = "queue" // it waits until all older runs of the workflow have ended
	OverlapAllow Overlap = "allow" // it runs beside them
)

// CalendarKey identifies the calendar of a workflow, or of one node's share in
// a workflow that every node runs; Host is empty otherwise.
type CalendarKey struct{ Workflow, Host string }

// Cursor says through which instant the slots of a calendar are decided.
type Cursor struct {
	CalendarKey
	// Schedule is the rule that was in force, in words that change when the
	// rule does. A cursor of another rule owes nothing for the past.
	Schedule string
	// Through is that instant, UTC.
	Through time.Time
	// Since is when the calendar was first seen, UTC.
	Since time.Time
}

// Decided is what became of all slots of a calendar up to a new cursor.
type Decided struct {
	// Cursor is how far the calendar is decided now.
	Cursor Cursor
	// Requests are the slots, oldest first. Those that are to run have the
	// zero State; the ledger makes them Skipped when the workflow is paused or
	// their Overlap says so.
	Requests []Request
}

// Calendars is what the ticker writes. Its methods follow the obligations of
// Ledger.
type Calendars interface {
	// Cursors returns the cursors of all calendars whose host is empty or host.
	Cursors(ctx context.Context, host string) ([]Cursor, error)
	// Decide records slots and cursors in one transaction, all or none, and
	// answers each request in order. It is safe to repeat: a slot that is on
	// record already is answered as a duplicate, and a cursor never moves back
	// unless its Schedule changes.
	Decide(ctx context.Context, decided ...Decided) ([]Submission, error)
}

// Usual is how long a workflow usually takes, from its latest runs that did
// their work.
type Usual struct {
	// Runs is how many runs the figures rest on; the others are 0 without any.
	Runs                 int
	Median, P95, Longest time.Duration
}

// Share is how a node does with its share in a workflow that every node runs.
type Share struct {
	CalendarKey
	// Labels are those of the node: whether it still has a share follows from
	// them.
	Labels []string
	// Since is when the node first saw the workflow; Success is when it last did
	// its work of it, as SlotReader.Successes, zero for never.
	Since, Success time.Time
}

// Fresh is when the share was last well: until its first success that is when it
// began.
func (s Share) Fresh() time.Time {
	if s.Success.After(s.Since) {
		return s.Success
	}
	return s.Since
}

// SlotReader answers questions about slots. Its methods follow the obligations
// of Reader.
type SlotReader interface {
	// Slots returns the runs of a workflow whose slot, or folded slots, lie in
	// [from, until), oldest slot first, at most limit.
	Slots(ctx context.Context, workflow string, from, until time.Time, limit int) ([]Run, error)
	// Usual returns how long each named workflow usually takes. Workflows
	// without a finished run are left out.
	Usual(ctx context.Context, workflows []string) (map[string]Usual, error)
	// Successes returns when each named workflow last did its work: the end of
	// its newest whole run, not dry, that is Succeeded or Warned.
	Successes(ctx context.Context, workflows []string) (map[string]time.Time, error)
	// Shares returns the shares of the nodes that belong to the system in the
	// named workflows, ordered by workflow and host: of each that has ever looked
	// at its calendar of one.
	Shares(ctx context.Context, workflows []string) ([]Share, error)
	// Pauses returns the pauses in force, ordered by workflow. A pause whose
	// end has passed is not in force.
	Pauses(ctx context.Context) ([]Pause, error)
	// Cursors is that of Calendars.
	Cursors(ctx context.Context, host string) ([]Cursor, error)
}

// Pause keeps the slots of a workflow from running: they are recorded as
// Skipped with reason paused. Runs that people ask for are not affected.
type Pause struct {
	Workflow string
	// By names who paused it, Why says why; both are required.
	By, Why string
	// Since is when; Until when it ends by itself, zero for never.
	Since, Until time.Time
	// RemindedAt is when somebody was last reminded of it; zero for never.
	RemindedAt time.Time
}

// Control is what people ask of workflows and runs besides running, canceling
// and retrying. Its methods follow the obligations of Ledger.
type Control interface {
	// Pause pauses a workflow, or replaces its pause.
	Pause(ctx context.Context, p Pause) error
	// Unpause ends a pause and tells whether there was one.
	Unpause(ctx context.Context, workflow, by string) (bool, error)
	// Reminded records that somebody was reminded of a pause.
	Reminded(ctx context.Context, workflow string, at time.Time) error
	// Approve lets a run go that waits for approval. ErrNotFound without such
	// a run, ErrNotClaimable when it does not wait for approval.
	Approve(ctx context.Context, id RunID, by string) error
	// Next returns the oldest queued run of a workflow that waits for older
	// ones to end and may go now; ErrNotFound when there is none.
	Next(ctx context.Context, workflow string) (RunID, error)
}
