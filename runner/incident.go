package runner

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Fault is something that is wrong: a workflow that failed, was lost, missed
// its slot or has not succeeded for too long.
type Fault struct {
	// Fingerprint identifies what is wrong across its occurrences, such as
	// "workflow/daily". At most one incident per fingerprint is open.
	Fingerprint string
	// Workflow is the workflow at fault; empty for faults of upkeep itself.
	Workflow string
	Severity jobs.Severity
	// Reason is the word for what happened: failed, lost, missed, stale,
	// disk_full, reload.
	Reason string
	// Title says it in one line without secrets.
	Title string
	// Run is the run that showed it; empty for none.
	Run RunID
	// At is when it happened, UTC.
	At time.Time
	// Channels are the names of the channels that are told.
	Channels []string
	// Check is the check at fault; empty for faults of workflows and of upkeep
	// itself.
	Check string
	// LastGood and FirstBad bound when the fault of a check began: the last good
	// answer and the first bad one after it. Zero when nobody knows.
	LastGood, FirstBad time.Time
	// Parent is the fingerprint of the fault that causes this one: while it is
	// open, nobody is told of this one.
	Parent string
	// Evidence is what was found when the fault was first seen, before anything
	// could change it. That of later occurrences is not kept.
	Evidence []Evidence
}

// Instance is the name under which the answers of the check at fault are on
// record: Check, or that of one node's instance of it, NAME@NODE.
func (f Fault) Instance() string {
	if name, ok := strings.CutPrefix(f.Fingerprint, "check/"); ok && CheckBase(name) == f.Check {
		return name
	}
	return f.Check
}

// Evidence is one thing that was found.
type Evidence struct {
	// Name is one word, such as memory; Text holds lines without secrets, at
	// most 64 KiB.
	Name, Text string
}

// Verdict is what a run's end means for incidents: at most one of both is set.
type Verdict struct {
	// Raise opens an incident, or adds to the open one.
	Raise *Fault
	// Clear is the fingerprint of the incident that the end resolves.
	Clear string
}

// Alarm decides what the ends of runs mean. The ledger asks it inside the
// transaction that records the end, so that a state and the notices that it
// owes are on record together or not at all.
type Alarm interface {
	// Judge looks at a run that just reached a final state. It is pure and
	// quick, does not block, and is called by several goroutines, once more
	// when a transaction is repeated.
	Judge(run Run) Verdict
}

// IncidentState is where an incident stands.
type IncidentState string

// The states of incidents.
const (
	IncidentOpen     IncidentState = "open"
	IncidentResolved IncidentState = "resolved"
)

// Incident is a fault with a beginning and an end.
type Incident struct {
	// ID is a UUID of version 7 in its canonical text form.
	ID string
	// Fault is the latest occurrence; its Channels are all that were told.
	Fault
	State IncidentState
	// Count is how often the fault occurred since the incident opened.
	Count int
	// OpenedAt, LastAt and ResolvedAt are UTC; the last is zero while it is
	// open. Resolver is the run that resolved it, or empty.
	OpenedAt, LastAt, ResolvedAt time.Time
	Resolver                     RunID
	// AckedAt is when somebody, AckedBy, took it over, until AckedUntil; zero
	// when nobody has.
	AckedAt, AckedUntil time.Time
	AckedBy             string
	// Suppressed says why nobody is told at present: silence ID, parent
	// FINGERPRINT, window WORKFLOW or job WORKFLOW.JOB in run RUN; empty when
	// people are told.
	Suppressed string
	// Flapping tells that it comes and goes, so that it stays open until it has
	// been well for a while.
	Flapping bool
}

// NoticeAction is what a notice tells.
type NoticeAction string

// The actions.
const (
	NoticeOpen    NoticeAction = "open"    // a fault began
	NoticeResolve NoticeAction = "resolve" // it ended
	NoticeRemind  NoticeAction = "remind"  // something that somebody should not forget, such as a pause
	NoticeTest    NoticeAction = "test"    // somebody tries a channel
	NoticeWorse   NoticeAction = "worse"   // the severity of an open incident rose
	NoticeRepeat  NoticeAction = "repeat"  // an open incident that nobody has acknowledged
	NoticeAck     NoticeAction = "ack"     // somebody works on it
	NoticeDigest  NoticeAction = "digest"  // several things in one message
	NoticeWeekly  NoticeAction = "weekly"  // what happened in the week
	NoticeChange  NoticeAction = "change"  // something was deployed, for channels that keep a record of that
)

// ErrIncidentState reports that an incident stands where it does not allow what
// was asked for.
var ErrIncidentState = errors.New("the state of the incident does not allow this")

// ErrNoticeState reports that a notice stands where it does not allow what was
// asked for, such as giving back a notice that somebody else is sending.
var ErrNoticeState = errors.New("the state of the notice does not allow this")

// NoticeState is where a notice stands. doc.go draws the transitions.
type NoticeState string

// The states of notices.
const (
	NoticePending    NoticeState = "pending"
	NoticeSending    NoticeState = "sending"
	NoticeSent       NoticeState = "sent"
	NoticeDead       NoticeState = "dead"       // given up: permanently refused, or too old
	NoticeSuperseded NoticeState = "superseded" // a later notice says it all
)

// Notice is one message owed to one channel.
type Notice struct {
	// ID is a UUID of version 7 in its canonical text form; the same for every
	// attempt to send it, so that receivers can recognize a repetition.
	ID string
	// Incident is the incident that it tells of; empty for reminders and tests.
	Incident string
	Channel  string
	Action   NoticeAction
	// Combined tells that a resolve also stands for an open that was never
	// sent.
	Combined bool
	// Subject and Text are the message of a reminder or a test; empty when the
	// incident says it.
	Subject, Text string
	State         NoticeState
	// Seq tells apart several notices of the same action about one incident to
	// one channel, from 0.
	Seq int
	// Attempts counts the attempts to send it.
	Attempts int
	// CreatedAt and EndedAt are UTC; the latter is zero while it is owed.
	// NextAt is when it may be tried next.
	CreatedAt, NextAt, EndedAt time.Time
	// Receipt is what the channel answered, Error why the last attempt failed.
	Receipt, Error string
	// Withheld tells that it is pending because nobody is to be told of its
	// incident at present. It follows from the incident.
	Withheld bool
}

// Incidents is the write side of what is wrong, besides what the ends of runs
// say through Alarm. Its methods follow the obligations of Ledger.
type Incidents interface {
	// Raise opens an incident or adds an occurrence to the open one; opened
	// tells which. Each channel of the fault that was not told of the incident
	// yet is owed a notice: all of them when it opens, later only those that
	// were added since. When its severity rises, the channels that were told
	// before are owed that, and nobody counts as working on it any more; when it
	// falls, only the timeline says so. An incident that is suppressed owes
	// nothing until that ends.
	Raise(ctx context.Context, f Fault) (opened bool, err error)
	// Clear resolves the open incident with that fingerprint, if there is one,
	// and owes the channels that were told of it a notice, also while it is
	// suppressed. What was not sent before, and is not being sent, is superseded,
	// and for a channel that heard nothing of it the new one is Combined; while it
	// is suppressed such a channel hears nothing. An
	// incident that comes and goes stays open until it has been well for a
	// while; cleared is false then.
	Clear(ctx context.Context, fingerprint string, at time.Time) (cleared bool, err error)
	// Owe records notices that belong to no incident: reminders and tests, with
	// a Channel, a Subject and a Text. It may be repeated safely when they have
	// an ID; those without get one. Of the rest only NextAt matters: the zero
	// time means now.
	Owe(ctx context.Context, notices ...Notice) error
}

// Outbox is what the dispatcher of notices works on. Its methods follow the
// obligations of Ledger. ErrNotFound when there is no such notice.
type Outbox interface {
	// Take marks the notices of a channel that are due at now as being sent by
	// this instance until now+lease and returns them, those first that are due
	// longest, at most limit. Due is also what was taken by an instance that
	// died, or whose lease passed. A notice about an incident waits while an
	// earlier one is owed to the same channel, and, unless it tells the end, while
	// the incident is suppressed. next is when the channel has
	// something due that Take did not return; zero when it has nothing.
	// Only a registered instance may take.
	Take(ctx context.Context, channel string, now time.Time, lease time.Duration, limit int) (taken []Notice, next time.Time, err error)
	// Sent records that a notice was accepted, also when another instance has it
	// meanwhile: what was accepted need not be sent again.
	Sent(ctx context.Context, id, receipt string) error
	// Retry gives a notice that this instance took back, to be tried again at
	// next; ErrNoticeState when another one has it or it is settled. A notice of
	// an incident whose end waits behind it becomes superseded instead, and that
	// of the end Combined when the channel heard nothing before.
	Retry(ctx context.Context, id, why string, next time.Time) error
	// Bury gives a notice up, also one that was not taken; ErrNoticeState when
	// it was sent or superseded. With a notice of an incident whose end waits
	// behind it, it does what Retry does.
	Bury(ctx context.Context, id, why string) error
	// Revive makes a dead or waiting notice due now; ErrNoticeState for others.
	Revive(ctx context.Context, id string) error
	// Channels returns the channels that are owed something, due or not, each
	// once, in the order of their names.
	Channels(ctx context.Context) ([]string, error)
}

// NoticeFilter selects notices. Zero fields select everything.
type NoticeFilter struct {
	Incident, Channel string
	States            []NoticeState
	// Before continues a list: only notices created before this one.
	Before string
	// Limit is the most to return; 0 means 50.
	Limit int
}

// IncidentFilter selects incidents. Zero fields select everything.
type IncidentFilter struct {
	Fingerprint string
	States      []IncidentState
	// EndedSince leaves out incidents that were resolved before this instant.
	EndedSince time.Time
	// Before continues a list: only incidents opened before this one.
	Before string
	// Limit is the most to return; 0 means 50.
	Limit int
}

// AlertReader reads incidents and notices. Its methods follow the obligations
// of Reader.
type AlertReader interface {
	// Incidents returns the incidents that f selects, newest first.
	Incidents(ctx context.Context, f IncidentFilter) ([]Incident, error)
	// Incident returns one incident by its ID or an unambiguous beginning of
	// it; ErrNotFound or *AmbiguousError otherwise.
	Incident(ctx context.Context, idOrPrefix string) (Incident, error)
	// Notices returns the notices that f selects, newest first.
	Notices(ctx context.Context, f NoticeFilter) ([]Notice, error)
}

// Happening is the record of an event: something that happened to the system,
// such as a deploy, a package change, a restart or a config reload.
type Happening struct {
	// ID is a UUID of version 7 in its canonical text form.
	ID string
	// Kind is one word: deploy, packages, restart, reload, pause, disk.
	Kind string
	// Subject is what it happened to, Text says what in one line, By who did it.
	Subject, Text, By string
	// At is when it happened, UTC.
	At time.Time
}

// HappeningFilter selects events. Zero fields select everything.
type HappeningFilter struct {
	Kinds []string
	// Since and Until bound At: Since <= At < Until.
	Since, Until time.Time
	// Before continues a list: only events before the one with this ID in the
	// order of the list; ErrNotFound when there is none.
	Before string
	// Limit is the most to return; 0 means 50.
	Limit int
}

// Chronicle keeps events. Record follows the obligations of Ledger, Happenings
// those of Reader.
type Chronicle interface {
	// Record records events, all or none. It may be repeated safely when they
	// have an ID; those without get one. A zero At means now.
	Record(ctx context.Context, happenings ...Happening) error
	// Happenings returns the events that f selects, the latest first.
	Happenings(ctx context.Context, f HappeningFilter) ([]Happening, error)
}
