package api

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Run is a run as `upkeep history -o json` lists it. docs/json.md describes
// the keys.
type Run struct {
	ID              runner.RunID      `json:"id" doc:"identifies the run; IDs sort by the time at which runs were recorded"`
	Workflow        string            `json:"workflow"`
	State           runner.State      `json:"state" enum:"queued,running,succeeded,warned,failed,canceled,skipped,lost"`
	Reason          runner.Reason     `json:"reason" doc:"why that state; empty when there is nothing to explain"`
	Message         string            `json:"message" doc:"one line about the end, empty when all is well"`
	Trigger         runner.Trigger    `json:"trigger" enum:"schedule,catch_up,manual,api,check"`
	Slot            time.Time         `json:"slot" doc:"when it was due"`
	QueuedAt        time.Time         `json:"queued_at" doc:"when it was recorded"`
	StartedAt       *time.Time        `json:"started_at" doc:"when it began for the first time"`
	FinishedAt      *time.Time        `json:"finished_at"`
	DurationSeconds float64           `json:"duration_seconds" doc:"from its beginning to its end; 0 while it has not ended"`
	Node            string            `json:"node" doc:"the node that executes or executed it last"`
	Host            string            `json:"host" doc:"the node of a workflow that every node runs, else empty"`
	On              runner.Target     `json:"on" doc:"which nodes may execute it: node:NAME, label:LABEL, or empty for any"`
	StartBy         *time.Time        `json:"start_by" doc:"by when a node must have begun it, or it is missed; null for no such instant"`
	By              string            `json:"by" doc:"who or what asked for it"`
	Approval        bool              `json:"approval" doc:"it starts when somebody has approved it"`
	ApprovedBy      string            `json:"approved_by" doc:"who approved it; empty while it waits for that"`
	CanceledBy      string            `json:"canceled_by"`
	ReopenedBy      string            `json:"reopened_by" doc:"who asked for the last retry"`
	Interrupted     bool              `json:"interrupted" doc:"it has not ended, and nobody works on it"`
	DryRun          bool              `json:"dry_run"`
	Epoch           int64             `json:"epoch" doc:"grows with every claim, takeover and retry"`
	Params          map[string]string `json:"params" nullable:"false"`
	Jobs            map[string]Job    `json:"jobs" nullable:"false" doc:"its jobs so far, each as its latest attempt"`
}

// Job is a job in a run: its latest attempt.
type Job struct {
	Kind            string             `json:"kind"`
	State           runner.State       `json:"state" enum:"running,succeeded,warned,failed,canceled,skipped,lost"`
	Reason          runner.Reason      `json:"reason"`
	Attempts        int                `json:"attempts" doc:"how many attempts there were; 0 for a job that was left out"`
	DurationSeconds float64            `json:"duration_seconds" doc:"of the latest attempt"`
	Summary         string             `json:"summary"`
	Error           string             `json:"error"`
	Hint            string             `json:"hint"`
	Values          map[string]float64 `json:"values" nullable:"false"`
}

// RunWithAttempts is a run as `upkeep show -o json` prints it.
type RunWithAttempts struct {
	Run

	Attempts []Attempt `json:"attempts" nullable:"false" doc:"every attempt, in the order in which they began"`
}

// NewRun makes the JSON form of a run from its attempts, which are in the
// order of runner.Reader; interrupted tells that nobody works on it though it
// has not ended.
func NewRun(r runner.Run, attempts []runner.Attempt, interrupted bool) Run {
	v := Run{
		ID: r.ID, Workflow: r.Spec.Workflow, State: r.State, Reason: r.Reason, Message: r.Message,
		Trigger: r.Trigger, Slot: r.Slot.UTC(), QueuedAt: r.QueuedAt.UTC(),
		StartedAt: Instant(r.StartedAt), FinishedAt: Instant(r.FinishedAt),
		DurationSeconds: Seconds(r.StartedAt, r.FinishedAt),
		Node:            r.Node, Host: r.Host, On: r.Place(), StartBy: Instant(r.StartBy), By: r.By, Approval: r.Approval, ApprovedBy: r.ApprovedBy, CanceledBy: r.CanceledBy, ReopenedBy: r.ReopenedBy,
		Interrupted: interrupted, DryRun: r.DryRun, Epoch: r.Epoch,
		Params: mapped(r.Params), Jobs: map[string]Job{},
	}
	for _, a := range attempts {
		tries := v.Jobs[a.Job].Attempts
		if Began(a) {
			tries++
		}
		v.Jobs[a.Job] = Job{
			Kind: a.Kind, State: a.State, Reason: a.Reason, Attempts: tries,
			DurationSeconds: Seconds(a.StartedAt, a.FinishedAt),
			Summary:         a.Result.Summary, Error: a.Error, Hint: a.Hint, Values: mapped(a.Result.Values),
		}
	}
	return v
}

// NewRunWithAttempts is NewRun with the attempts themselves.
func NewRunWithAttempts(r runner.Run, attempts []runner.Attempt, interrupted bool) RunWithAttempts {
	return RunWithAttempts{Run: NewRun(r, attempts, interrupted), Attempts: converted(attempts, NewAttempt)}
}

// ByRun groups attempts by their run, keeping their order.
func ByRun(attempts []runner.Attempt) map[runner.RunID][]runner.Attempt {
	out := map[runner.RunID][]runner.Attempt{}
	for _, a := range attempts {
		out[a.Run] = append(out[a.Run], a)
	}
	return out
}
