package api

import (
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/object"
)

// RunRecord is a run as the API answers it: a Run, and everything else that
// the ledger holds of it.
type RunRecord struct {
	Run

	Spec     Spec           `json:"spec" doc:"the workflow as it was when the run was recorded"`
	Only     []string       `json:"only" nullable:"false" doc:"the jobs that were asked for; empty for all"`
	Asked    runner.State   `json:"asked" doc:"skipped for a slot that was not to run at all, else empty"`
	Overlap  runner.Overlap `json:"overlap"`
	Alert    bool           `json:"alert" doc:"its bad end is a fault"`
	Slots    int64          `json:"slots" doc:"how many slots the run stands for; 0 means one"`
	LastSlot *time.Time     `json:"last_slot" doc:"the last of them"`
	Owner    string         `json:"owner" doc:"the instance that executes or executed it last"`
}

// Spec is the frozen workflow of a run.
type Spec struct {
	Digest string `json:"digest" doc:"SHA-256 of the text"`
	Text   string `json:"text" doc:"the YAML as it was written, secrets unexpanded; empty unless asked for with spec=true"`
}

// NewRunRecord makes the JSON form of a run for the API. Its spec has no text.
func NewRunRecord(r runner.Run, attempts []runner.Attempt, interrupted bool) RunRecord {
	return RunRecord{
		Run: NewRun(r, attempts, interrupted), Spec: Spec{Digest: r.Spec.Digest},
		Only: filled(r.Jobs), Asked: r.Request.State, Overlap: r.Overlap,
		Alert: r.Alert,
		Slots: r.Slots, LastSlot: Instant(r.LastSlot), Owner: r.Owner,
	}
}

// Runner turns the answer back into a run. The text of its spec is there when
// it was asked for.
func (v RunRecord) Runner() runner.Run {
	r := runner.Run{
		ID: v.ID,
		Request: runner.Request{
			Spec: runner.Spec{Workflow: v.Workflow, Text: v.Spec.Text, Digest: v.Spec.Digest},
			Slot: v.Slot.UTC(), Host: v.Host, Trigger: v.Trigger, DryRun: v.DryRun, By: v.By,
			Overlap: v.Overlap, Approval: v.Approval, Alert: v.Alert, Slots: v.Slots, LastSlot: moment(v.LastSlot),
			StartBy: moment(v.StartBy),
		},
		State: v.State, Reason: v.Reason, Message: v.Message, ApprovedBy: v.ApprovedBy,
		Owner: v.Owner, Node: v.Node, Epoch: v.Epoch, CanceledBy: v.CanceledBy, ReopenedBy: v.ReopenedBy,
		QueuedAt: v.QueuedAt.UTC(), StartedAt: moment(v.StartedAt), FinishedAt: moment(v.FinishedAt),
	}
	if v.Host == "" {
		r.Target = v.On
	}
	if len(v.Params) > 0 {
		r.Params = v.Params
	}
	if len(v.Only) > 0 {
		r.Jobs = v.Only
	}
	return r
}

// AttemptRecord is an attempt as the API answers it: an Attempt, and
// everything else that the ledger holds of it.
type AttemptRecord struct {
	Attempt

	Run        runner.RunID `json:"run"`
	Epoch      int64        `json:"epoch" doc:"the run's epoch under which it began"`
	Planned    string       `json:"planned" doc:"what it is about to do that may end upkeep itself; empty when nothing"`
	RecordedAt *time.Time   `json:"recorded_at" doc:"started_at, also of a job that was left out"`
}

// NewAttemptRecord makes the JSON form of an attempt for the API.
func NewAttemptRecord(a runner.Attempt) AttemptRecord {
	return AttemptRecord{
		Attempt: NewAttempt(a), Run: a.Run, Epoch: a.Epoch, Planned: a.Planned, RecordedAt: Instant(a.StartedAt),
	}
}

// Runner turns the answer back into an attempt.
func (v AttemptRecord) Runner() runner.Attempt {
	a := runner.Attempt{
		Run: v.Run, Job: v.Job, Kind: v.Kind, Number: v.Number, Epoch: v.Epoch, State: v.State, Reason: v.Reason,
		Error: v.Error, Hint: v.Hint, ExitCode: -1, StartedAt: moment(v.RecordedAt), FinishedAt: moment(v.FinishedAt),
		Planned: v.Planned, Superseded: v.Superseded, OutputBytes: v.OutputBytes, OutputCut: v.OutputCut,
		Result: jobs.Result{Summary: v.Summary},
	}
	if v.ExitCode != nil {
		a.ExitCode = *v.ExitCode
	}
	if len(v.Values) > 0 {
		a.Result.Values = v.Values
	}
	if len(v.Outputs) > 0 {
		a.Result.Outputs = v.Outputs
	}
	if len(v.Findings) > 0 {
		a.Result.Findings = v.Findings
	}
	for _, e := range v.Events {
		a.Result.Events = append(a.Result.Events, jobs.Event(e))
	}
	for _, art := range v.Artifacts {
		a.Result.Artifacts = append(a.Result.Artifacts, object.Info(art))
	}
	return a
}

// Runs is a page of runs, newest first.
type Runs struct {
	Runs []RunRecord `json:"runs" nullable:"false"`
	Next string      `json:"next" doc:"what to give as before for the next page; empty on the last one"`
}

// Attempts are attempts, ordered by run, start, job and number.
type Attempts struct {
	Attempts []AttemptRecord `json:"attempts" nullable:"false"`
}

// LatestRuns are the newest runs of workflows by the workflow's name.
type LatestRuns struct {
	Runs map[string]RunRecord `json:"runs" nullable:"false"`
}
