package main

import (
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// runView is the JSON form of a run. Its keys are stable; docs/json.md lists
// them.
type runView struct {
	ID              runner.RunID       `json:"id"`
	Workflow        string             `json:"workflow"`
	State           runner.State       `json:"state"`
	Reason          runner.Reason      `json:"reason"`
	Message         string             `json:"message"`
	Trigger         runner.Trigger     `json:"trigger"`
	Slot            time.Time          `json:"slot"`
	QueuedAt        time.Time          `json:"queued_at"`
	StartedAt       *time.Time         `json:"started_at"`
	FinishedAt      *time.Time         `json:"finished_at"`
	DurationSeconds float64            `json:"duration_seconds"`
	Node            string             `json:"node"`
	By              string             `json:"by"`
	CanceledBy      string             `json:"canceled_by"`
	ReopenedBy      string             `json:"reopened_by"`
	Interrupted     bool               `json:"interrupted"`
	DryRun          bool               `json:"dry_run"`
	Epoch           int64              `json:"epoch"`
	Params          map[string]string  `json:"params"`
	Jobs            map[string]jobView `json:"jobs"`
}

// jobView is the JSON form of a job in a run: its latest attempt.
type jobView struct {
	Kind            string             `json:"kind"`
	State           runner.State       `json:"state"`
	Reason          runner.Reason      `json:"reason"`
	Attempts        int                `json:"attempts"`
	DurationSeconds float64            `json:"duration_seconds"`
	Summary         string             `json:"summary"`
	Error           string             `json:"error"`
	Hint            string             `json:"hint"`
	Values          map[string]float64 `json:"values"`
}

// attemptView is the JSON form of one attempt, as `show -o json` lists them.
type attemptView struct {
	Job             string             `json:"job"`
	Kind            string             `json:"kind"`
	Number          int                `json:"number"`
	State           runner.State       `json:"state"`
	Reason          runner.Reason      `json:"reason"`
	Error           string             `json:"error"`
	Hint            string             `json:"hint"`
	ExitCode        *int               `json:"exit_code"`
	StartedAt       *time.Time         `json:"started_at"`
	FinishedAt      *time.Time         `json:"finished_at"`
	DurationSeconds float64            `json:"duration_seconds"`
	Superseded      bool               `json:"superseded"`
	Summary         string             `json:"summary"`
	Values          map[string]float64 `json:"values"`
	Outputs         map[string]string  `json:"outputs"`
	Findings        []jobs.Finding     `json:"findings"`
	Artifacts       []artifactView     `json:"artifacts"`
	OutputBytes     int64              `json:"output_bytes"`
	OutputCut       int64              `json:"output_cut"`
}

// viewRun makes the JSON form of a run; orphaned tells that nobody works on it
// though it has not ended.
func viewRun(r runner.Run, attempts []runner.Attempt, orphaned bool) runView {
	v := runView{
		ID: r.ID, Workflow: r.Spec.Workflow, State: r.State, Reason: r.Reason, Message: r.Message,
		Trigger: r.Trigger, Slot: r.Slot, QueuedAt: r.QueuedAt,
		StartedAt: instant(r.StartedAt), FinishedAt: instant(r.FinishedAt),
		DurationSeconds: seconds(r.StartedAt, r.FinishedAt),
		Node:            r.Node, By: r.By, CanceledBy: r.CanceledBy, ReopenedBy: r.ReopenedBy,
		Interrupted: orphaned, DryRun: r.DryRun, Epoch: r.Epoch,
		Params: r.Params, Jobs: map[string]jobView{},
	}
	if v.Params == nil {
		v.Params = map[string]string{}
	}
	for _, a := range attempts {
		tries := v.Jobs[a.Job].Attempts
		if began(a) {
			tries++
		}
		v.Jobs[a.Job] = jobView{
			Kind: a.Kind, State: a.State, Reason: a.Reason, Attempts: tries,
			DurationSeconds: seconds(a.StartedAt, a.FinishedAt),
			Summary:         a.Result.Summary, Error: a.Error, Hint: a.Hint, Values: values(a),
		}
	}
	return v
}

// artifactView is the JSON form of an object that an attempt put into a store.
type artifactView struct {
	Store    string    `json:"store"`
	Key      string    `json:"key"`
	Bytes    int64     `json:"bytes"`
	SHA256   string    `json:"sha256"`
	Modified time.Time `json:"modified"`
}

func viewAttempt(a runner.Attempt) attemptView {
	v := attemptView{
		Job: a.Job, Kind: a.Kind, Number: a.Number, State: a.State, Reason: a.Reason,
		Error: a.Error, Hint: a.Hint,
		StartedAt: instant(a.StartedAt), FinishedAt: instant(a.FinishedAt),
		DurationSeconds: seconds(a.StartedAt, a.FinishedAt), Superseded: a.Superseded,
		Summary: a.Result.Summary, Values: values(a), Outputs: a.Result.Outputs,
		Findings: a.Result.Findings, Artifacts: []artifactView{},
		OutputBytes: a.OutputBytes, OutputCut: a.OutputCut,
	}
	if !began(a) {
		v.StartedAt = nil
	}
	if a.ExitCode >= 0 {
		v.ExitCode = &a.ExitCode
	}
	if v.Outputs == nil {
		v.Outputs = map[string]string{}
	}
	if v.Findings == nil {
		v.Findings = []jobs.Finding{}
	}
	for _, info := range a.Result.Artifacts {
		v.Artifacts = append(v.Artifacts, artifactView(info))
	}
	return v
}

// byRun groups attempts by their run, keeping their order.
func byRun(attempts []runner.Attempt) map[runner.RunID][]runner.Attempt {
	out := map[runner.RunID][]runner.Attempt{}
	for _, a := range attempts {
		out[a.Run] = append(out[a.Run], a)
	}
	return out
}

// latestPerJob returns the last attempt of each job in the order in which the
// jobs first appear.
func latestPerJob(attempts []runner.Attempt) []runner.Attempt {
	place := map[string]int{}
	var out []runner.Attempt
	for _, a := range attempts {
		if i, ok := place[a.Job]; ok {
			out[i] = a
			continue
		}
		place[a.Job] = len(out)
		out = append(out, a)
	}
	return out
}

// began tells whether an attempt was more than the note that a job is left out.
func began(a runner.Attempt) bool { return a.State != runner.Skipped }

func values(a runner.Attempt) map[string]float64 {
	if a.Result.Values == nil {
		return map[string]float64{}
	}
	return a.Result.Values
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// seconds is how long something took; 0 while it has not ended.
func seconds(from, to time.Time) float64 {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return to.Sub(from).Seconds()
}
