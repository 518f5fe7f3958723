package api

import (
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Plan are the coming slots.
type Plan struct {
	From  time.Time     `json:"from"`
	Until time.Time     `json:"until"`
	Slots []PlannedSlot `json:"slots" nullable:"false" doc:"earliest first"`
	// Remarks are what a person should know: contention, DST hazards, months
	// without such a day.
	Remarks []Remark `json:"remarks" nullable:"false"`
	More    bool     `json:"more" doc:"there are more slots than are listed"`
}

// PlannedSlot is one coming slot.
type PlannedSlot struct {
	Workflow     string    `json:"workflow"`
	Slot         time.Time `json:"slot"`
	Local        string    `json:"local" doc:"the slot in the workflow's time zone, for people"`
	Zone         string    `json:"zone"`
	RunsOn       string    `json:"runs_on" doc:"which nodes run it, as of workflows"`
	UsualSeconds float64   `json:"usual_seconds" doc:"how long it usually takes, the median; 0 when nothing is known"`
	P95Seconds   float64   `json:"p95_seconds"`
	Runs         int       `json:"runs" doc:"how many runs that rests on"`
	// Slots is above 1 when the line stands for many slots of a workflow that runs
	// often, from Slot to LastSlot.
	Slots    int64      `json:"slots" doc:"how many slots it stands for"`
	LastSlot *time.Time `json:"last_slot" doc:"the last of them; null for a single one"`
	EndsAt   *time.Time `json:"ends_at" doc:"when it will usually have ended; null when nothing is known"`
	// Reason is why the slot will not run as things stand.
	Reason runner.Reason `json:"reason" doc:"why it will not run as things stand, such as paused or window; empty when it will"`
	// Beside are the workflows that usually still run then.
	Beside []string `json:"beside" nullable:"false" doc:"workflows that usually still run then"`
	Note   string   `json:"note" doc:"what is odd about it, such as a DST hazard"`
}

// Remark is something about a plan that a person should know.
type Remark struct {
	Workflow string     `json:"workflow"`
	Rule     string     `json:"rule" doc:"one word for what it is; the words stay the same between versions"`
	At       *time.Time `json:"at"`
	Text     string     `json:"text"`
	Hint     string     `json:"hint"`
	// Severity is that of a finding.
	Severity  jobs.Severity `json:"severity" enum:"info,warning,critical"`
	Workflows []string      `json:"workflows" nullable:"false" doc:"all that it is about"`
}

// Why is why the slots of a day did or did not run.
type Why struct {
	Workflow string      `json:"workflow"`
	Date     string      `json:"date"`
	Zone     string      `json:"zone"`
	From     time.Time   `json:"from"`
	Until    time.Time   `json:"until"`
	Summary  string      `json:"summary" doc:"one line"`
	Slots    []Explained `json:"slots" nullable:"false" doc:"earliest first"`
}

// Explained is one slot, or several that were folded into one run, with what
// became of it.
type Explained struct {
	Slot     *time.Time    `json:"slot" doc:"null when the answer is about the whole day"`
	Local    string        `json:"local" doc:"the slot in the workflow's time zone, for people"`
	LastSlot *time.Time    `json:"last_slot" doc:"the last of several slots that one run stands for"`
	Slots    int64         `json:"slots" doc:"how many slots it stands for"`
	Run      runner.RunID  `json:"run" doc:"empty when there is none"`
	Node     string        `json:"node" doc:"the node that executed it last; empty before that"`
	State    runner.State  `json:"state"`
	Reason   runner.Reason `json:"reason"`
	Text     string        `json:"text" doc:"what happened and why, in a sentence"`
	Details  []string      `json:"details" nullable:"false" doc:"the evidence, one line each"`
	Hint     string        `json:"hint"`
	// Hosts are for workflows that every node runs; the rest tells the worst of
	// them.
	Hosts []ExplainedHost `json:"hosts" nullable:"false" doc:"the share of each node, by name, of a workflow that every node runs"`
}

// ExplainedHost is what became of the share of one node in a slot.
type ExplainedHost struct {
	Host    string        `json:"host"`
	Verdict string        `json:"verdict" doc:"one word, as in details"`
	Run     runner.RunID  `json:"run" doc:"empty when there is none"`
	State   runner.State  `json:"state"`
	Reason  runner.Reason `json:"reason"`
	Text    string        `json:"text" doc:"what happened and why, in a sentence"`
	Hint    string        `json:"hint"`
}
