package api

import (
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/object"
)

// Attempt is one attempt as `upkeep show -o json` lists it.
type Attempt struct {
	Job             string             `json:"job"`
	Kind            string             `json:"kind"`
	Number          int                `json:"number" doc:"counts from 1 within the job"`
	State           runner.State       `json:"state" enum:"running,succeeded,warned,failed,canceled,skipped,lost"`
	Reason          runner.Reason      `json:"reason"`
	Error           string             `json:"error" doc:"what went wrong"`
	Hint            string             `json:"hint" doc:"what can be done about it"`
	ExitCode        *int               `json:"exit_code" doc:"of the failed child process, if that was it"`
	StartedAt       *time.Time         `json:"started_at" doc:"when it began; null for a job that was left out"`
	FinishedAt      *time.Time         `json:"finished_at"`
	DurationSeconds float64            `json:"duration_seconds"`
	Superseded      bool               `json:"superseded" doc:"a retry took its place"`
	Summary         string             `json:"summary"`
	Values          map[string]float64 `json:"values" nullable:"false"`
	Outputs         map[string]string  `json:"outputs" nullable:"false"`
	Findings        []jobs.Finding     `json:"findings" nullable:"false"`
	Artifacts       []Artifact         `json:"artifacts" nullable:"false"`
	Events          []Change           `json:"events" nullable:"false" doc:"what it changed about the system"`
	OutputBytes     int64              `json:"output_bytes" doc:"the length of all that it wrote"`
	OutputCut       int64              `json:"output_cut" doc:"how much of that was not kept"`
}

// Artifact is an object that an attempt put into a store.
type Artifact struct {
	Store    string    `json:"store"`
	Key      string    `json:"key"`
	Bytes    int64     `json:"bytes"`
	SHA256   string    `json:"sha256" doc:"empty when the store does not tell"`
	Modified time.Time `json:"modified"`
}

// Change is what an attempt changed about the system.
type Change struct {
	Kind    string `json:"kind" doc:"one word, such as packages or restart"`
	Subject string `json:"subject" doc:"what changed"`
	Text    string `json:"text" doc:"how, in one line"`
}

// NewAttempt makes the JSON form of an attempt.
func NewAttempt(a runner.Attempt) Attempt {
	v := Attempt{
		Job: a.Job, Kind: a.Kind, Number: a.Number, State: a.State, Reason: a.Reason,
		Error: a.Error, Hint: a.Hint, FinishedAt: Instant(a.FinishedAt),
		DurationSeconds: Seconds(a.StartedAt, a.FinishedAt), Superseded: a.Superseded,
		Summary: a.Result.Summary, Values: mapped(a.Result.Values), Outputs: mapped(a.Result.Outputs),
		Findings:    filled(a.Result.Findings),
		Artifacts:   converted(a.Result.Artifacts, func(i object.Info) Artifact { return Artifact(i) }),
		Events:      converted(a.Result.Events, func(e jobs.Event) Change { return Change(e) }),
		OutputBytes: a.OutputBytes, OutputCut: a.OutputCut,
	}
	if Began(a) {
		v.StartedAt = Instant(a.StartedAt)
	}
	if a.ExitCode >= 0 {
		v.ExitCode = &a.ExitCode
	}
	return v
}

// Began tells whether an attempt was more than the note that a job is left
// out.
func Began(a runner.Attempt) bool { return a.State != runner.Skipped }

// NewestPerJob are the last entries of each job in a list of attempts that is
// in the order in which they were made. The jobs come in the order in which
// they first appear; job names that of an attempt.
func NewestPerJob[A any](attempts []A, job func(A) string) []A {
	place := map[string]int{}
	var out []A
	for _, a := range attempts {
		if i, ok := place[job(a)]; ok {
			out[i] = a
			continue
		}
		place[job(a)] = len(out)
		out = append(out, a)
	}
	return out
}

// The headers of an output, in bytes.
const (
	HeadHeader  = "Upkeep-Output-Head"  // how many of the first bytes were kept
	CutHeader   = "Upkeep-Output-Cut"   // how many after them were not
	BytesHeader = "Upkeep-Output-Bytes" // how many were written in all
)
