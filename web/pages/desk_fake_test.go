package pages_test

import (
	"maps"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

// firstDesk adds to an empty world what the pages of backups, checks,
// incidents, figures, the plan and the system ask for on a first day.
func firstDesk() *world {
	w := emptyWorld()
	w.answers["/artifacts"] = api.Backups{Artifacts: []api.Backup{}}
	w.answers["/silences"] = api.Silences{Silences: []api.Silence{}}
	w.answers["/kpis"] = api.KPIs{From: ago(time.Hour), Until: now(), KPIs: []api.KPI{}}
	w.answers["/plan"] = api.Plan{From: now(), Until: now().Add(time.Hour)}.Filled()
	w.answers["/nodes"] = api.Nodes{Nodes: []api.Node{}}
	w.answers["/health"] = api.Health{Status: "ok", Checks: []api.StatusCheck{}}
	w.answers["/notices"] = api.Notices{Notices: []api.Notice{}}
	w.answers["/log/levels"] = api.LogLevels{}
	w.answers["/config"] = api.ConfigText{}.Filled()
	w.answers["/tokens"] = api.Tokens{Tokens: []api.Token{}}
	w.answers["/audit"] = api.Actions{Actions: []api.Action{}}
	w.answers["/samples"] = api.Samples{Samples: []api.Stretch{}}
	return w
}

// deskIncident is an incident that is open in usualDesk.
const deskIncident = "01a20606-35c0-7000-8000-00000000000a"

// deskArtifact is an artifact of usualDesk.
const deskArtifact = "20261123-023000.000-abcdefghij"

// usualDesk is a world in which something is wrong everywhere; texts that
// people and programs write are text, names that are not checked are name.
func usualDesk(name, text string) *world {
	w := firstDesk()
	maps.Copy(w.answers, usualWorld(name, text).answers)
	detail, _ := w.answers["/workflows/daily"].(api.WorkflowDetail)
	detail.Makes = []string{"backup", "archive"}
	w.answers["/workflows/daily"] = detail
	w.answers["/workflows"] = api.Workflows{Workflows: []api.Workflow{detail.Workflow}}
	deskArtifacts(w, name, text)
	deskChecks(w, name, text)
	deskIncidents(w, name, text)
	deskSystem(w, name, text)
	w.answers["/kpis"] = api.KPIs{From: ago(30 * 24 * time.Hour), Until: now(), KPIs: []api.KPI{
		{
			Name: "uptime", Title: "uptime", Target: 0.999, TargetText: "> 99.9 %", Above: true, Unit: "share", Value: new(0.9995), Text: "99.95 %", Verdict: "met", N: 1000, Of: "samples",
			Coverage: new(0.95), Source: text, Why: text, Trend: []*float64{new(0.99), nil, new(1.0)}, More: []api.KPIDetail{{Name: "without windows", Text: text}},
			Rows: []api.KPIRow{{At: ago(time.Hour), Until: new(now()), What: "check/database", ID: deskIncident, Text: text}, {At: ago(time.Hour), What: text, ID: failedRun, Text: text}, {At: ago(time.Hour), What: "deploy " + text, ID: "d"}},
		},
		{Name: "mttr", Title: "mean time to resolution", TargetText: "< 15m", Unit: "seconds", Verdict: "missed", Low: new(60.0), Next: "look: `upkeep incident list`", Text: "at least 1h"},
		{Name: "throughput", Title: "throughput", TargetText: "> 1000/min", Unit: "per_minute", Verdict: "no source", Next: text},
	}}
	w.answers["/plan"] = api.Plan{From: now(), Until: now().Add(720 * time.Hour), More: true, Slots: []api.PlannedSlot{
		{Workflow: "daily", Slot: now().Add(19 * time.Hour), Zone: "Europe/Berlin", UsualSeconds: 90, Slots: 1},
		{Workflow: name, Slot: now().Add(20 * time.Hour), Zone: "UTC", Slots: 1, Reason: "paused", Note: text},
		{Workflow: "sync", Slot: now().Add(time.Minute), Slots: 8640, LastSlot: new(now().Add(700 * time.Hour)), Note: "every 5m: 8640 slots", UsualSeconds: 3},
	}, Remarks: []api.Remark{{Workflow: name, Rule: "clock", Severity: jobs.Warning, At: new(now().Add(48 * time.Hour)), Text: text, Hint: text}}}.Filled()
	return w
}

func deskArtifacts(w *world, name, text string) {
	good := api.Backup{
		ID: deskArtifact, Set: "s", Workflow: "daily", Job: "backup", Kind: "pgbackup", Store: name, Run: goodRun, Node: "db-1", Created: ago(4 * time.Hour), Bytes: 3 << 20,
		PlainBytes: 9 << 20, Ratio: new(0.5), Level: object.L3, ProvenAt: ago(3 * time.Hour), Seconds: 3, RestorableAsOf: new(ago(4 * time.Hour)), RestoreSeconds: 42,
		RestoredBytes: 9 << 20, RestoredRows: 1200, RestoredOn: text, Retention: "keep", Reasons: []string{text}, Encrypted: true,
	}
	damaged, odd := good, good
	damaged.ID, damaged.Damage, damaged.Level, damaged.Retention = "20261122-023000.000-abcdefghij", text, "", "remove"
	odd.ID, odd.Suspect, odd.Level, odd.RestorableAsOf = "20261121-023000.000-abcdefghij", text, object.L1, nil
	w.answers["/artifacts"] = api.Backups{
		Artifacts: []api.Backup{good, damaged, odd}, Total: 3, Bytes: 9 << 20, Next: odd.ID,
		Stores:     []api.StoreState{{Name: name, Kind: "local", AsOf: new(ago(time.Minute)), Artifacts: 3, Bytes: 9 << 20, Damaged: []string{text}}, {Name: "far", Kind: "s3", Error: text}},
		Retentions: []api.RetentionState{{Workflow: "daily", Job: "backup", Store: name, Active: true, Keep: 2, Remove: 1, Bytes: 1 << 20, Held: text}},
	}
	w.answers["/artifacts/"+deskArtifact] = api.BackupDetail{
		Backup: good, Streams: []api.BackupStream{{Name: text, Bytes: 1, PlainBytes: 2, SHA256: "ab", Compression: "zstd", Encrypted: true, Parts: 1}}, Copies: []api.Backup{damaged},
		Older: damaged.ID, Newer: odd.ID, Restore: []api.RestoreCommand{{Title: text, Command: "upkeep backup restore " + deskArtifact + " --to 'a b' --dry-run"}, {Title: "for real", Command: text, Changes: true}},
		State: api.StoreState{Name: name},
	}.Filled()
}

func deskChecks(w *world, name, text string) {
	crit := new(5.0)
	failing := api.Check{
		Name: "database", Kind: "pgping", Impact: "outage", Health: runner.HealthCritical, Answer: runner.HealthCritical, Phase: runner.CheckFailing, Message: text, ErrorKind: "timeout",
		Cause: name, Values: map[string]float64{"total_seconds": 4.5, "connections_percent": 40, "lag_bytes": 10, "odd." + name: 1}, At: new(ago(time.Second)), TookSeconds: 4.5,
		Since: new(ago(time.Hour)), LastGood: new(ago(2 * time.Hour)), FirstBad: new(ago(time.Hour)), EverySeconds: 30, WorstSeconds: 60,
		CheckSetup: api.CheckSetup{FailAfter: 3, OKAfter: 1, TimeoutSeconds: 6, RetrySeconds: 10, DependsOn: []string{name}, Limits: []api.Limit{{Value: "total_seconds", Warn: new(1.0), Crit: crit}, {Value: "connections_percent", Warn: new(80.0)}}},
	}
	beat := api.Check{
		Name: "cron", Kind: "heartbeat", Impact: "none", Health: runner.HealthUnknown, Answer: runner.HealthUnknown, Phase: runner.CheckWell, Message: "waits", EverySeconds: 86400,
		CheckSetup: api.CheckSetup{Slug: "cron-7f", GraceSeconds: 3600, FailAfter: 1, OKAfter: 1},
	}
	odd := failing
	odd.Name, odd.Health, odd.Phase = name, runner.HealthWarning, runner.CheckSuspect
	w.answers["/checks"] = api.NewChecks([]api.Check{beat, odd, failing})
	w.answers["/samples"] = api.Samples{Series: "x", Samples: []api.Stretch{
		{At: ago(3 * time.Hour), LengthSeconds: 300, Count: 10, Mean: 0.4, Low: 0.1, High: 0.9}, {At: ago(time.Hour), Count: 1, Mean: 4.5, Low: 4.5, High: 4.5},
	}}
}

func deskIncidents(w *world, name, text string) {
	open := api.Incident{
		ID: deskIncident, Fingerprint: "check/database", State: runner.IncidentOpen, Check: "database", Severity: "critical", Reason: "check", Title: text, Run: failedRun,
		Channels: []string{name}, Count: 3, At: ago(time.Minute), OpenedAt: ago(time.Hour), LastAt: ago(time.Minute), FirstBad: new(ago(time.Hour)), LastGood: new(ago(2 * time.Hour)),
		AckedAt: new(ago(time.Minute)), AckedBy: text, Parent: name,
	}
	over := open
	over.ID, over.State, over.ResolvedAt, over.Check, over.Workflow = "01a20606-35c0-7000-8000-00000000000b", runner.IncidentResolved, new(ago(time.Minute)), "", name
	w.answers["/incidents"] = api.Incidents{Incidents: []api.Incident{open}}
	w.answers["/incidents?state=resolved"] = api.Incidents{Incidents: []api.Incident{over}}
	pending := api.Notice{ID: "n1", Incident: deskIncident, Channel: name, Action: runner.NoticeOpen, State: runner.NoticePending, Attempts: 2, CreatedAt: ago(time.Hour), NextAt: new(now().Add(time.Minute)), Error: text}
	dead, sent := pending, pending
	dead.ID, dead.State, dead.EndedAt = "n2", runner.NoticeDead, new(ago(time.Minute))
	sent.ID, sent.State, sent.EndedAt, sent.Receipt = "n3", runner.NoticeSent, new(ago(time.Minute)), text
	w.answers["/notices"] = api.Notices{Notices: []api.Notice{pending, dead}}
	var timeline []api.Entry
	for _, kind := range []runner.EntryKind{
		runner.EntryOpened, runner.EntryEvidence, runner.EntryWorse, runner.EntryBetter, runner.EntryAcked, runner.EntryUnacked, runner.EntryNote, runner.EntrySuppressed,
		runner.EntryReleased, runner.EntryFlapping, runner.EntrySteady, runner.EntryResolved, "later",
	} {
		timeline = append(timeline, api.Entry{At: ago(time.Hour), Kind: kind, Name: name, Text: text, By: name})
	}
	timeline = append(timeline, api.Entry{At: ago(time.Hour), Kind: runner.EntryRunbook, Text: text, By: "restart-api"})
	w.answers["/incidents/"+deskIncident] = api.IncidentDetail{
		Incident: open, Timeline: timeline, Notices: []api.Notice{pending, dead, sent},
		Changes: []api.Happening{{ID: "e", Kind: "deploy", Subject: text, Text: text, By: name, At: ago(90 * time.Minute)}},
	}
	waiting := record(goodRun, "restart-api", runner.Queued, time.Minute)
	waiting.Approval = true
	w.answers["/runs"] = api.Runs{Runs: []api.RunRecord{waiting}}
	w.answers["/silences"] = api.Silences{Silences: []api.Silence{
		{ID: "s1", Workflow: name, Why: text, By: text, Since: ago(time.Hour), Until: now().Add(time.Hour)},
		{ID: "s2", Why: text, Since: now().Add(time.Hour), Until: now().Add(2 * time.Hour)},
		{ID: "s3", Check: name, Since: ago(2 * time.Hour), Until: ago(time.Hour)},
	}}
}

func deskSystem(w *world, name, text string) {
	w.answers["/health"] = api.Health{Status: "degraded", Checks: []api.StatusCheck{{Name: "ledger", OK: true, Text: "it answers"}, {Name: name, Text: text}, {Name: "disk", Fatal: true, Text: text}}}
	w.answers["/nodes"] = api.Nodes{Nodes: []api.Node{{Instance: "i", Name: name, Host: name, PID: 1, Command: text, Alive: true, Labels: []string{name}, RegisteredAt: ago(time.Hour)}, {Instance: "j", Name: "db-2", RegisteredAt: ago(time.Hour)}}}
	w.answers["/log/levels"] = api.LogLevels{Levels: []api.LogLevel{{Level: "info"}, {Logger: "http", Level: "debug", Configured: "info", Changed: true, Until: new(now().Add(time.Hour))}}}
	w.answers["/config"] = api.ConfigText{ConfigStatus: api.ConfigStatus{State: api.ConfigDegraded, Reason: text}, Project: name, Files: []string{text}, Text: "project: x\n# " + text, Warnings: []string{text, "use `upkeep validate`"}}
	w.answers["/tokens"] = api.Tokens{Tokens: []api.Token{{ID: "t1", Name: name, Role: "admin", InUse: true, CreatedAt: ago(time.Hour), By: text}, {ID: "t2", Name: "old", Role: "viewer", RevokedAt: new(ago(time.Hour)), CreatedAt: ago(2 * time.Hour)}}}
	w.answers["/audit"] = api.Actions{Actions: []api.Action{
		{ID: "a1", At: ago(time.Hour), Who: text, Role: "admin", Means: "token", From: name, Via: text, What: "cancel-run", Subject: text, End: "done", Status: 200, Count: 1},
		{ID: "a2", At: ago(time.Hour), What: "drain", End: "refused", Status: 403, Count: 12},
	}}
}
