package api

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// RunDetail is a run with all that a page about it shows.
type RunDetail struct {
	Run      RunRecord       `json:"run"`
	Attempts []AttemptRecord `json:"attempts" nullable:"false" doc:"every attempt, in the order in which they began"`
	// Plan is the graph of its jobs by the frozen workflow.
	Plan []JobNode `json:"plan" nullable:"false" doc:"the jobs of the frozen workflow in its order; empty when it no longer loads"`
	// Good is the run that Values are compared with.
	Good      *Last           `json:"good" doc:"the newest run before this one that did its work and was not dry; null when there is none"`
	Values    []ComparedValue `json:"values" nullable:"false" doc:"what its jobs measured, by job and name"`
	Artifacts []RunArtifact   `json:"artifacts" nullable:"false" doc:"what its jobs put into stores"`
	Usual     *UsualDuration  `json:"usual" doc:"how long the workflow usually takes; null when nothing is known"`
	Retry     []string        `json:"retry" nullable:"false" doc:"the jobs from which it can be retried; empty when it cannot"`
	Incidents []IncidentOfRun `json:"incidents" nullable:"false" doc:"the faults that it was the beginning of, newest first"`
	Live      bool            `json:"live" doc:"it has not ended: follow it"`
	Estimate  *float64        `json:"estimate_seconds" doc:"how much longer it will usually take; null when it has ended or nothing is known"`
}

// IncidentOfRun is a fault that a run began.
type IncidentOfRun struct {
	ID    string               `json:"id"`
	Title string               `json:"title"`
	State runner.IncidentState `json:"state" enum:"open,resolved"`
}

// ComparedValue is a value of a job beside that of the last good run.
type ComparedValue struct {
	Job    string   `json:"job"`
	Name   string   `json:"name"`
	Value  *float64 `json:"value" doc:"null when only the last good run has it"`
	Before *float64 `json:"before" doc:"null when the last good run has none"`
	Change *float64 `json:"change" doc:"by how much it changed, as a share of what it was: 0.1 is 10 % more; null when it cannot be told"`
}

// RunArtifact is what a job of a run put into a store.
type RunArtifact struct {
	Job   string `json:"job"`
	Store string `json:"store"`
	ID    string `json:"id" doc:"the artifact's ID; empty for an object that belongs to none"`
	Key   string `json:"key"`
	Bytes int64  `json:"bytes"`
}

// UsualDuration is how long a workflow usually takes, from its latest runs
// that did their work.
type UsualDuration struct {
	Runs          int     `json:"runs" doc:"how many runs the figures rest on"`
	MedianSeconds float64 `json:"median_seconds"`
	P95Seconds    float64 `json:"p95_seconds"`
	MaxSeconds    float64 `json:"max_seconds"`
}

// NewUsualDuration makes the JSON form of usual durations; nil when they rest
// on nothing.
func NewUsualDuration(u runner.Usual) *UsualDuration {
	if u.Runs == 0 {
		return nil
	}
	return &UsualDuration{Runs: u.Runs, MedianSeconds: u.Median.Seconds(), P95Seconds: u.P95.Seconds(), MaxSeconds: u.Longest.Seconds()}
}

// RecentRun is one of the newest runs of a workflow, for a strip.
type RecentRun struct {
	ID              runner.RunID   `json:"id"`
	State           runner.State   `json:"state" enum:"queued,running,succeeded,warned,failed,canceled,skipped,lost"`
	Reason          runner.Reason  `json:"reason"`
	Trigger         runner.Trigger `json:"trigger" enum:"schedule,catch_up,manual,api,check"`
	Slot            time.Time      `json:"slot"`
	StartedAt       *time.Time     `json:"started_at"`
	DurationSeconds float64        `json:"duration_seconds" doc:"0 while it has not ended"`
	DryRun          bool           `json:"dry_run"`
}

// NewRecentRun makes the JSON form of a run for a strip.
func NewRecentRun(r runner.Run) RecentRun {
	return RecentRun{
		ID: r.ID, State: r.State, Reason: r.Reason, Trigger: r.Trigger, Slot: r.Slot.UTC(), StartedAt: Instant(r.StartedAt),
		DurationSeconds: Seconds(r.StartedAt, r.FinishedAt), DryRun: r.DryRun,
	}
}

// WorkflowDetail is a configured workflow with its definition.
type WorkflowDetail struct {
	Workflow

	Definition string          `json:"definition" doc:"its YAML, references unresolved, secrets redacted"`
	Digest     string          `json:"digest" doc:"SHA-256 of the definition as runs keep it"`
	Graph      []JobNode       `json:"graph" nullable:"false" doc:"its jobs in the order of the file"`
	Params     []WorkflowParam `json:"params" nullable:"false"`
	Timeout    float64         `json:"timeout_seconds" doc:"of a run; 0 for none"`
	Parallel   int             `json:"parallel" doc:"the most jobs that run at once"`
	Overlap    runner.Overlap  `json:"overlap" enum:"skip,queue,allow"`
	Approval   bool            `json:"approval" doc:"its scheduled runs wait until somebody approves them"`
	Window     string          `json:"window" doc:"when its runs may start, in words; empty for always"`
	CatchUp    string          `json:"catch_up" doc:"what happens to slots missed while nothing ran, in words"`
	Jitter     float64         `json:"jitter_seconds" doc:"the most by which a start is delayed"`
	Makes      []string        `json:"makes_artifacts" nullable:"false" doc:"its jobs that put artifacts into stores"`
}

// JobNode is a job in the graph of a workflow.
type JobNode struct {
	Name            string   `json:"name"`
	Kind            string   `json:"kind"`
	Description     string   `json:"description"`
	Needs           []string `json:"needs" nullable:"false"`
	When            string   `json:"when" enum:"success,failure,always"`
	If              string   `json:"if" doc:"an expression over earlier results; empty for none"`
	TimeoutSeconds  float64  `json:"timeout_seconds" doc:"of one attempt; 0 for none"`
	Retries         int      `json:"retries" doc:"how many attempts may follow the first"`
	ContinueOnError bool     `json:"continue_on_error"`
	OnCrash         string   `json:"on_crash" enum:"restart,never"`
	Locks           []string `json:"locks" nullable:"false"`
}

// WorkflowParam is a value that may differ from run to run.
type WorkflowParam struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Type        string   `json:"type" enum:"string,int,bool,enum"`
	Values      []string `json:"values" nullable:"false" doc:"the words of an enum"`
	Default     string   `json:"default"`
	Required    bool     `json:"required"`
	Pattern     string   `json:"pattern" doc:"the regular expression that a string must match as a whole; empty for any"`
}

// Calendar are the slots of a workflow in a stretch of time, past and coming.
type Calendar struct {
	Workflow string         `json:"workflow"`
	Zone     string         `json:"zone" doc:"the time zone of its schedule"`
	From     time.Time      `json:"from"`
	Until    time.Time      `json:"until"`
	Slots    []CalendarSlot `json:"slots" nullable:"false" doc:"earliest first"`
	More     bool           `json:"more" doc:"there are more slots than are listed"`
}

// CalendarSlot is a slot with what became of it, or what is to be expected.
type CalendarSlot struct {
	Slot            time.Time     `json:"slot"`
	Local           string        `json:"local" doc:"the slot in the workflow's time zone, for people"`
	LastSlot        *time.Time    `json:"last_slot" doc:"the last of several slots that one run stands for"`
	Slots           int64         `json:"slots" doc:"how many slots it stands for"`
	Run             runner.RunID  `json:"run" doc:"empty for a slot to come"`
	State           runner.State  `json:"state" enum:",queued,running,succeeded,warned,failed,canceled,skipped,lost" doc:"empty for a slot to come"`
	Reason          runner.Reason `json:"reason" doc:"why that state; of a slot to come, why it will not run as things stand"`
	Message         string        `json:"message"`
	Trigger         string        `json:"trigger" enum:",schedule,catch_up,manual,api,check"`
	DurationSeconds float64       `json:"duration_seconds" doc:"of a slot to come, how long it usually takes"`
}

// ConfigText is the configuration in force.
type ConfigText struct {
	ConfigStatus

	Project  string   `json:"project"`
	Node     string   `json:"node"`
	Files    []string `json:"files" nullable:"false" doc:"all files that belong to it"`
	Text     string   `json:"text" doc:"all of it as YAML, without comments; references are unresolved and secrets redacted"`
	Warnings []string `json:"warnings" nullable:"false" doc:"what is legal and looks like a mistake"`
}
