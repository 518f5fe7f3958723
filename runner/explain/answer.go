package explain

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// Reader is what is asked of the ledger; runner.SlotReader has it.
type Reader interface {
	// Slots, Pauses and Cursors are those of runner.SlotReader.
	Slots(ctx context.Context, workflow string, from, until time.Time, limit int) ([]runner.Run, error)
	Pauses(ctx context.Context) ([]runner.Pause, error)
	Cursors(ctx context.Context, host string) ([]runner.Cursor, error)
}

// Workflow is what needs to be known about a workflow.
type Workflow struct {
	Name string
	// Schedule says when it is due; the zero Schedule means on request only.
	Schedule schedule.Schedule
	// Zone is the zone of the sentences; nil means that of the schedule.
	Zone *time.Location
	// Policy decides about slots that were not started in time.
	Policy schedule.Policy
	Window schedule.Window
	// Delay is by how much jitter delays its starts on this node.
	Delay time.Duration
	// Hosts are the nodes that each have a share of their own, for workflows
	// that every node runs, otherwise none.
	Hosts []Host
	// Rule is what cursors call its schedule; empty means that it is not
	// compared.
	Rule string
	// Elsewhere says why this node does not run it, such as "it runs on nodes
	// with the label db"; empty when this node does.
	Elsewhere string
}

// Host is a node that has a share of its own in a workflow.
type Host struct {
	Name string
	// Delay is by how much jitter delays the starts there.
	Delay time.Duration
	// Away says why it does not run anything at present, such as "it was last
	// seen at …"; empty when it does.
	Away string
}

// Question asks about the slots of a workflow in [From, Until).
type Question struct {
	Workflow    Workflow
	From, Until time.Time
	Now         time.Time
	// Node is the name of this node, for cursors of its own.
	Node string
	// Only is the host that the answer is about; empty for all.
	Only string
	// Waits says what a queued run waits for, in words that follow "it is queued:
	// "; nil when there is one node.
	Waits func(r runner.Run) string
	// Keep is how long history is kept, and KeepRuns how many runs of the
	// workflow; 0 means without end.
	Keep     time.Duration
	KeepRuns int
	// Limit is the most slots of the answer; 0 means DefaultLimit.
	Limit int
}

// DefaultLimit is the most slots of an answer unless a Question says more.
const DefaultLimit = 500

// Verdict is what became of a slot, in one word.
type Verdict string

// The verdicts of slots that are on record: the state of their run, or missed.
const (
	VerdictQueued    Verdict = "queued"
	VerdictRunning   Verdict = "running"
	VerdictSucceeded Verdict = "succeeded"
	VerdictWarned    Verdict = "warned"
	VerdictFailed    Verdict = "failed"
	VerdictCanceled  Verdict = "canceled"
	VerdictSkipped   Verdict = "skipped"
	VerdictLost      Verdict = "lost"
	VerdictMissed    Verdict = "missed" // skipped: nothing was running to start it
)

// The verdicts of slots that are not on record; the package documentation has
// the table.
const (
	VerdictDue        Verdict = "due"
	VerdictElsewhere  Verdict = "elsewhere"
	VerdictUnseen     Verdict = "unseen"
	VerdictBefore     Verdict = "before"
	VerdictChanged    Verdict = "changed"
	VerdictUndecided  Verdict = "undecided"
	VerdictPruned     Verdict = "pruned"
	VerdictUnrecorded Verdict = "unrecorded"
)

// SlotAnswer is what became of one slot.
type SlotAnswer struct {
	// Slot is the slot, UTC. Local writes it as the clock of the zone shows it.
	Slot    time.Time
	Local   string
	Verdict Verdict
	// Sentence says in one sentence what happened and why.
	Sentence string
	// Next is the command that helps most, such as "upkeep show ID"; empty when
	// there is nothing to do.
	Next string
	// Runs are the rows of the slot: one, or one for each node; or the row that
	// stands for many slots, this one among them; or none.
	Runs []runner.Run
	// Hosts are the answers of the nodes, by name, for a workflow that every node
	// runs; the rest is what they come to, the worst of them first.
	Hosts []HostAnswer
	// Unscheduled tells that the present schedule does not have the slot: the
	// row says that it was due.
	Unscheduled bool
}

// HostAnswer is what became of the share of one node in a slot.
type HostAnswer struct {
	Host           string
	Verdict        Verdict
	Sentence, Next string
	// Runs are the rows of that node: one at most, or those that stand for many
	// slots.
	Runs []runner.Run
}

// Answer is what became of the slots in a stretch of time.
type Answer struct {
	Workflow    string
	From, Until time.Time
	// Slots are in order of time.
	Slots []SlotAnswer
	// Unlisted is how many slots of the schedule lie after the last of Slots
	// because there were too many; the rest of the answer is about the time
	// before them.
	Unlisted int64
	// Counts is how many of Slots got each verdict.
	Counts map[Verdict]int
	// Asked are the runs that somebody asked for in that time, at most Limit.
	Asked []runner.Run
	// Notes are sentences about the whole: why there is no slot, what a clock
	// change does, who paused the workflow.
	Notes []string
}
