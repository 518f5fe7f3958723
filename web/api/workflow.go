package api

import (
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Workflow is a configured workflow as `upkeep list -o json` lists it.
type Workflow struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Schedule    string     `json:"schedule" doc:"when it is due, in words"`
	Zone        string     `json:"zone" doc:"the time zone of its schedule"`
	RunsOn      string     `json:"runs_on" doc:"which nodes run it: any, every, the label of nodes, or every and a label"`
	Next        *time.Time `json:"next" doc:"when it is due next; null when it runs on request only"`
	Jobs        []string   `json:"jobs" nullable:"false"`
	Last        *Last      `json:"last" doc:"its newest run"`
	Running     int        `json:"running" doc:"how many of its runs are under way"`
	Paused      *Pause     `json:"paused" doc:"its pause in force"`
	// LastSuccess is when it last did its work.
	LastSuccess        *time.Time `json:"last_success" doc:"the end of its newest whole run, not dry, that did its work"`
	FreshWithinSeconds float64    `json:"fresh_within_seconds" doc:"how old its last success may be; 0 when that is not said"`
	Fresh              *bool      `json:"fresh" doc:"whether it is younger than that; null when that is not said or cannot be told yet"`
	// Recent and Usual are for pages, which ask for them.
	Recent []RecentRun    `json:"recent,omitempty" nullable:"false" doc:"when asked for: its newest runs, newest first"`
	Usual  *UsualDuration `json:"usual,omitempty" doc:"when asked for and known: how long it usually takes"`
}

// Last is the newest run of a workflow.
type Last struct {
	ID              runner.RunID  `json:"id"`
	State           runner.State  `json:"state" enum:"queued,running,succeeded,warned,failed,canceled,skipped,lost"`
	Reason          runner.Reason `json:"reason"`
	Interrupted     bool          `json:"interrupted"`
	QueuedAt        time.Time     `json:"queued_at"`
	StartedAt       *time.Time    `json:"started_at"`
	FinishedAt      *time.Time    `json:"finished_at"`
	DurationSeconds float64       `json:"duration_seconds"`
}

// PlaceWords says for people which nodes Workflow.RunsOn means.
func PlaceWords(where string) string {
	label, every := strings.CutPrefix(where, "every ")
	switch {
	case where == "any" || where == "":
		return "any node"
	case where == "every":
		return "every node"
	case every:
		return "every node labeled " + label
	}
	return "a node labeled " + where
}

// NewLast makes the JSON form of a workflow's newest run.
func NewLast(r runner.Run, interrupted bool) *Last {
	return &Last{
		ID: r.ID, State: r.State, Reason: r.Reason, Interrupted: interrupted, QueuedAt: r.QueuedAt.UTC(),
		StartedAt: Instant(r.StartedAt), FinishedAt: Instant(r.FinishedAt), DurationSeconds: Seconds(r.StartedAt, r.FinishedAt),
	}
}

// Workflows are the configured workflows in the order of the configuration.
type Workflows struct {
	Workflows []Workflow `json:"workflows" nullable:"false"`
}

// Pause keeps the slots of a workflow from running.
type Pause struct {
	Workflow   string     `json:"workflow"`
	By         string     `json:"by" doc:"who paused it"`
	Reason     string     `json:"reason" doc:"why"`
	Since      time.Time  `json:"since"`
	Until      *time.Time `json:"until" doc:"when it ends by itself; null for never"`
	RemindedAt *time.Time `json:"reminded_at" doc:"when somebody was last reminded of it"`
}

// NewPause makes the JSON form of a pause.
func NewPause(p runner.Pause) Pause {
	return Pause{
		Workflow: p.Workflow, By: p.By, Reason: p.Why, Since: p.Since.UTC(),
		Until: Instant(p.Until), RemindedAt: Instant(p.RemindedAt),
	}
}

// Runner turns the answer back into a pause.
func (v Pause) Runner() runner.Pause {
	return runner.Pause{
		Workflow: v.Workflow, By: v.By, Why: v.Reason, Since: v.Since.UTC(),
		Until: moment(v.Until), RemindedAt: moment(v.RemindedAt),
	}
}

// Pauses are the pauses in force, ordered by workflow.
type Pauses struct {
	Pauses []Pause `json:"pauses" nullable:"false"`
}
