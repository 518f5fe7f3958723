package api

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// RunRequest asks for a run.
type RunRequest struct {
	Workflow  string            `json:"workflow" minLength:"1" maxLength:"255"`
	Jobs      []string          `json:"jobs,omitempty" maxItems:"1000" doc:"only these jobs"`
	WithNeeds bool              `json:"with_needs,omitempty" doc:"also what these jobs need, directly and indirectly"`
	Params    map[string]string `json:"params,omitempty" doc:"values of the workflow's parameters"`
	DryRun    bool              `json:"dry_run,omitempty" doc:"every effect is a description"`
	Plan      string            `json:"plan,omitempty" maxLength:"200" pattern:"^[0-9A-Za-z-]*$" doc:"carry out exactly this plan of an earlier dry run; goes with one job"`
	Alert     bool              `json:"alert,omitempty" doc:"nobody watches: tell the channels of a bad end"`
	On        string            `json:"on,omitempty" maxLength:"300" doc:"where it runs, when not where the workflow says: NODE, label:LABEL, any, every or every:LABEL; with every, each node that is there gets a run of its own"`
	Trigger   runner.Trigger    `json:"trigger,omitempty" enum:"manual,api" default:"api" doc:"manual for a person who waits for it"`
}

// RunAccepted answers a request for a run.
type RunAccepted struct {
	Run       runner.RunID `json:"run"`
	Duplicate bool         `json:"duplicate" doc:"the run was on record already, such as by the same Idempotency-Key"`
	// Runs is empty when there is one run, which is of no node's own.
	Runs []HostRun `json:"runs,omitempty" doc:"with a run for each of several nodes: all of them, under one slot; run is the first"`
}

// HostRun is the run of one node.
type HostRun struct {
	Run  runner.RunID `json:"run"`
	Host string       `json:"host" doc:"the node"`
}

// NewRunAccepted answers with the runs that were recorded for one request.
func NewRunAccepted(submitted []runner.Submission) RunAccepted {
	var v RunAccepted
	for i, s := range submitted {
		if i == 0 {
			v.Run, v.Duplicate = s.Run, s.Duplicate
		}
		if s.Host != "" {
			v.Runs = append(v.Runs, HostRun{Run: s.Run, Host: s.Host})
		}
	}
	return v
}

// Submitted returns the runs that the answer tells of, at least one.
func (a RunAccepted) Submitted() []runner.Submission {
	if len(a.Runs) == 0 {
		return []runner.Submission{{Run: a.Run, Duplicate: a.Duplicate}}
	}
	list := make([]runner.Submission, len(a.Runs))
	for i, r := range a.Runs {
		list[i] = runner.Submission{Run: r.Run, Host: r.Host, Duplicate: a.Duplicate}
	}
	return list
}

// CancelAccepted answers a request for the end of a run.
type CancelAccepted struct {
	Run    runner.RunID `json:"run"`
	Before runner.State `json:"before" doc:"its state before: what was queued has ended, what was running ends soon, what had ended stays as it is"`
}

// RetryRequest asks to continue a run.
type RetryRequest struct {
	From string `json:"from,omitempty" maxLength:"255" doc:"repeat this job and every job that needs it, even if they are done"`
}

// Acted answers a request that changed one run.
type Acted struct {
	Run runner.RunID `json:"run"`
}

// PauseRequest asks to pause a workflow.
type PauseRequest struct {
	Reason string     `json:"reason" minLength:"1" maxLength:"1000"`
	Until  *time.Time `json:"until,omitempty" doc:"when the pause ends by itself; without it, never"`
}

// Unpaused answers a request to end a pause.
type Unpaused struct {
	Was bool `json:"was" doc:"there was a pause"`
}

// The modes of a drain.
const (
	DrainNow       = "now"
	DrainUntilIdle = "until_idle"
)

// DrainRequest asks that nothing more starts.
type DrainRequest struct {
	Mode       string  `json:"mode,omitempty" enum:"now,until_idle" default:"now" doc:"now answers at once; until_idle answers when nothing runs any more"`
	MaxSeconds float64 `json:"max_seconds,omitempty" minimum:"0" maximum:"86400" doc:"the longest to wait, 0 for 86400; the drain stays in force afterwards"`
}

// Undrained answers a request to end a drain.
type Undrained struct {
	Was bool `json:"was" doc:"there was a drain"`
}

// DropRequest asks to give a notice up.
type DropRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"1000"`
}

// Done answers a request that changed one notice.
type Done struct {
	ID string `json:"id"`
}

// Tested answers a test of a channel.
type Tested struct {
	Channel string `json:"channel"`
	Receipt string `json:"receipt" doc:"what the channel answered"`
}
