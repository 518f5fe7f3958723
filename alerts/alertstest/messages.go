package alertstest

import (
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// start is when the faults of the messages below began.
func start() time.Time { return time.Date(2026, 3, 14, 1, 30, 0, 0, time.UTC) }

// Fault returns a message about a workflow that failed.
func Fault() alerts.Message {
	run := runner.Run{
		ID:      "0195f1c0-0000-7000-8000-000000000001",
		Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}, Slot: start(), Trigger: runner.BySchedule, By: "cron"},
		State:   runner.Failed, Reason: runner.ReasonError, Message: "backup failed", Node: "db-1",
		StartedAt: start().Add(time.Second), FinishedAt: start().Add(95 * time.Second),
	}
	return alerts.Message{
		ID: "0195f1c0-0000-7000-8000-00000000000a", Action: runner.NoticeOpen,
		Project: "ghosteam-v5", Node: "db-1", At: start().Add(96 * time.Second),
		Title: "daily failed: backup failed",
		Incident: &runner.Incident{
			ID: "0195f1c0-0000-7000-8000-0000000000ff", State: runner.IncidentOpen, Count: 1, OpenedAt: run.FinishedAt, LastAt: run.FinishedAt,
			Fault: runner.Fault{
				Fingerprint: "workflow/daily", Workflow: "daily", Severity: jobs.Critical, Reason: alerts.ReasonFailed,
				Title: "daily failed: backup failed", Run: run.ID, At: run.FinishedAt,
			},
		},
		Run: &run,
		Failures: []alerts.Failure{{
			Attempt: runner.Attempt{
				Run: run.ID, Job: "backup", Kind: "pgbackup", Number: 3, State: runner.Failed, Reason: runner.ReasonError,
				Error: "store offsite: no space left on device", Hint: "make room or set a smaller keep", ExitCode: 3,
				StartedAt: start().Add(2 * time.Second), FinishedAt: start().Add(94 * time.Second),
			},
			Output: []string{"dumping table orders", "pg_dump: error: could not write"}, Cut: true,
		}},
		Commands: []alerts.Command{{Does: "what happened", Line: "upkeep show " + string(run.ID)}, {Does: "try again", Line: "upkeep retry " + string(run.ID)}},
	}
}

// Unhealthy returns a message about a check that fails, with what was found and
// what had changed before.
func Unhealthy() alerts.Message {
	m := Fault()
	i := m.Incident
	m.ID, m.Run, m.Failures, m.Title = "0195f1c0-0000-7000-8000-000000000013", nil, nil, "api is critical: 503"
	i.Fingerprint, i.Workflow, i.Check, i.Reason, i.Title, i.Fault.Run = "check/api", "", "api", alerts.ReasonCheck, m.Title, ""
	i.LastGood, i.FirstBad = i.OpenedAt.Add(-time.Minute), i.OpenedAt.Add(-30*time.Second)
	m.Evidence = []runner.Evidence{{Name: "answer", Text: "critical after 12ms: 503\ncritical http:status: 503\n"}, {Name: "values", Text: "seconds 0.012\n"}}
	m.Changes = []runner.Happening{{ID: "0195f1c0-0000-7000-8000-000000000014", Kind: "deploy", Subject: "api", Text: "1.4.2 ok", By: "anna", At: i.OpenedAt.Add(-10 * time.Minute)}}
	return m
}

// Recovery returns the message about the end of that fault.
func Recovery() alerts.Message {
	m := Fault()
	m.Thread, m.ID = m.ID, "0195f1c0-0000-7000-8000-00000000000b"
	m.Action = runner.NoticeResolve
	m.At = start().Add(26 * time.Hour)
	m.Title = "daily works again after 25 h 58 min"
	m.Incident.State, m.Incident.ResolvedAt = runner.IncidentResolved, start().Add(26*time.Hour)
	m.Run.State, m.Run.Reason, m.Run.Message = runner.Succeeded, "", ""
	m.Failures = nil
	return m
}

// Reminder returns a message that belongs to no incident.
func Reminder() alerts.Message {
	return alerts.Message{
		ID: "0195f1c0-0000-7000-8000-00000000000c", Action: runner.NoticeRemind, Project: "ghosteam-v5", Node: "db-1",
		At: start(), Title: "daily is paused since Monday", Text: "anna paused it: disk replacement",
	}
}

// Trial returns the message of somebody who tries a channel.
func Trial() alerts.Message {
	m := Reminder()
	m.ID, m.Action = "0195f1c0-0000-7000-8000-00000000000d", runner.NoticeTest
	m.Title, m.Text = "a test of the channel ops", "If you can read this, it works."
	return m
}

// Worse returns the message about that fault when it got worse.
func Worse() alerts.Message {
	m := Fault()
	m.Thread, m.ID = m.ID, "0195f1c0-0000-7000-8000-00000000000e"
	m.Action = runner.NoticeWorse
	m.At = start().Add(time.Hour)
	m.Title = "now critical: daily failed: backup failed"
	return m
}

// Repeat returns the message about that fault when it lasts.
func Repeat() alerts.Message {
	m := Fault()
	m.Thread, m.ID = m.ID, "0195f1c0-0000-7000-8000-00000000000f"
	m.Action = runner.NoticeRepeat
	m.At = start().Add(4 * time.Hour)
	m.Title = "still, after 4 h 0 min: daily failed: backup failed"
	return m
}

// Ack returns the message that somebody works on that fault.
func Ack() alerts.Message {
	m := Fault()
	m.Thread, m.ID = m.ID, "0195f1c0-0000-7000-8000-000000000010"
	m.Action = runner.NoticeAck
	m.At = start().Add(2 * time.Hour)
	m.Title = "anna works on it: daily failed: backup failed"
	m.Incident.AckedBy, m.Incident.AckedAt, m.Incident.AckedUntil = "anna", m.At, m.At.Add(4*time.Hour)
	m.Was, m.Failures = m.Failures, nil
	return m
}

// Digest returns a message that stands for several.
func Digest() alerts.Message {
	first, second := Fault().Incident, Fault().Incident
	second.ID, second.Severity, second.Title = "0195f1c0-0000-7000-8000-0000000000fe", jobs.Warning, "weekly missed its slot"
	return alerts.Message{
		ID: "0195f1c0-0000-7000-8000-000000000011", Action: runner.NoticeDigest, Project: "ghosteam-v5", Node: "db-1",
		At: start().Add(3 * time.Minute), Title: "2 alerts: 2 new, the worst is critical",
		Text: "- new, critical: daily failed: backup failed\n- new, warning: weekly missed its slot",
		Items: []alerts.Item{
			{Notice: "0195f1c0-0000-7000-8000-00000000000a", Action: runner.NoticeOpen, Title: first.Title, Incident: first},
			{Notice: "0195f1c0-0000-7000-8000-000000000012", Action: runner.NoticeOpen, Title: second.Title, Incident: second},
		},
	}
}

// Messages returns a message of every action.
func Messages() []alerts.Message {
	return []alerts.Message{Fault(), Unhealthy(), Worse(), Repeat(), Ack(), Recovery(), Reminder(), Digest(), Trial()}
}
