package alerts

import (
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Sample returns the message of an action about an invented fault, to show what
// a channel makes of it.
func Sample(o Origin, action runner.NoticeAction) Message {
	zone := o.Zone
	if zone == nil {
		zone = time.UTC
	}
	began := time.Date(2026, 3, 14, 1, 30, 0, 0, time.UTC)
	run := runner.Run{
		ID:      "0195f1c0-0000-7000-8000-000000000001",
		Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}, Slot: began, Trigger: runner.BySchedule},
		State:   runner.Failed, Reason: runner.ReasonError, Message: "backup failed", Node: o.Node,
		StartedAt: began, FinishedAt: began.Add(95 * time.Second),
	}
	incident := runner.Incident{
		ID: "0195f1c0-0000-7000-8000-0000000000ff", State: runner.IncidentOpen, Count: 1, OpenedAt: run.FinishedAt, LastAt: run.FinishedAt,
		Fault: runner.Fault{
			Fingerprint: Fingerprint("daily", ""), Workflow: "daily", Severity: jobs.Critical, Reason: ReasonFailed,
			Title: "daily failed: backup failed", Run: run.ID, At: run.FinishedAt,
		},
	}
	m := Message{
		ID: "0195f1c0-0000-7000-8000-00000000000a", Action: action, Project: o.Project, Node: o.Node,
		At: run.FinishedAt.Add(2 * time.Second).In(zone), Incident: &incident, Run: &run,
	}
	switch action {
	case runner.NoticeRemind, runner.NoticeTest:
		m.Incident, m.Run = nil, nil
		m.Title, m.Text = "daily has been paused for 7 days", "anna paused it: disk replacement"
		return m
	case runner.NoticeWeekly:
		m.Incident, m.Run = nil, nil
		m.Title, m.Text = "the week of 2026-03-09: 14 runs, 1 failed", "daily: 7 runs, 1 failed\nweekly: 1 run"
		return m
	case runner.NoticeDigest:
		second := incident
		second.Severity, second.Title = jobs.Warning, "weekly missed its slot"
		return digestMessage(m, []Item{
			{Notice: m.ID, Action: runner.NoticeOpen, Title: incident.Title, Incident: &incident},
			{Notice: m.ID, Action: runner.NoticeOpen, Title: second.Title, Incident: &second},
		})
	case runner.NoticeResolve:
		incident.State, incident.ResolvedAt = runner.IncidentResolved, began.Add(2*time.Hour)
		run.State, run.Reason, run.Message = runner.Succeeded, "", ""
		m.At = incident.ResolvedAt.In(zone)
	case runner.NoticeRepeat:
		m.At = m.At.Add(4 * time.Hour)
	case runner.NoticeAck:
		incident.AckedAt, incident.AckedBy = m.At, "anna"
	default:
	}
	m.Title = titleOf(action, incident, m.At)
	if action != runner.NoticeResolve {
		m.Failures = sampleFailures(run)
	}
	m.Commands = commands(m, o)
	return m
}

// sampleFailures are what failed in the run of a sample.
func sampleFailures(run runner.Run) []Failure {
	return []Failure{{
		Attempt: runner.Attempt{
			Run: run.ID, Job: "backup", Kind: "pgbackup", Number: 1, State: runner.Failed, Reason: runner.ReasonError,
			Error: "store offsite: no space left on device", Hint: "make room or set a smaller keep",
			StartedAt: run.StartedAt, FinishedAt: run.FinishedAt,
		},
		Output: []string{"dumping table orders", "pg_dump: error: could not write"},
	}}
}
