package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/health/doctor"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/object"
)

// judged are findings as severity and ID.
func judged(list []doctor.Finding) string {
	var out []string
	for _, f := range list {
		out = append(out, string(f.Severity)+" "+f.ID)
		if f.Means == "" || f.Next == "" || f.Text == "" {
			out = append(out, fmt.Sprintf("incomplete: %+v", f))
		}
	}
	return strings.Join(out, ", ")
}

func TestJudge(t *testing.T) {
	t.Parallel()
	up := doctor.Daemon{Answers: true, Version: "1", Ours: "1"}
	with := func(change func(*doctor.Daemon)) doctor.Daemon { d := up; change(&d); return d }
	for name, tt := range map[string]struct {
		found []doctor.Finding
		want  string
	}{
		"service up":        {up.Judge(), ""},
		"service down":      {doctor.Daemon{Scheduled: 2, Served: true}.Judge(), "critical down"},
		"service never was": {doctor.Daemon{Scheduled: 2}.Judge(), "warning down"},
		"no service needed": {doctor.Daemon{}.Judge(), ""},
		"service silent":    {doctor.Daemon{Silent: true, Error: "x"}.Judge(), "critical silent"},
		"service of others": {doctor.Daemon{Error: "permission denied"}.Judge(), "warning unasked"},
		"service older":     {with(func(d *doctor.Daemon) { d.Ours = "2" }).Judge(), "warning version"},
		"service drained":   {with(func(d *doctor.Daemon) { d.Draining, d.Problems = true, []doctor.Trouble{{Name: "drain", Text: "x"}} }).Judge(), "warning drained"},
		"service degraded":  {with(func(d *doctor.Daemon) { d.Degraded = "line 3" }).Judge(), "critical degraded"},
		"service in trouble": {with(func(d *doctor.Daemon) {
			d.Problems = []doctor.Trouble{{Name: "ticker", Text: "x", Fatal: true}, {Name: "outbox", Text: "y"}}
		}).Judge(), "critical trouble:ticker, warning trouble:outbox"},

		"ledger well":        {doctor.Ledger{Dialect: "sqlite", BallastWanted: 5, Ballast: 5}.Judge(), ""},
		"ledger missing":     {doctor.Ledger{Missing: true, BallastWanted: 5, Dialect: "sqlite"}.Judge(), ""},
		"ledger damaged":     {doctor.Ledger{Damage: []string{"page 3"}}.Judge(), "critical damaged"},
		"ledger damaged too": {doctor.Ledger{Error: "the ledger's file is damaged: x"}.Judge(), "critical damaged"},
		"ledger unreadable":  {doctor.Ledger{Error: "no permission"}.Judge(), "critical unreadable"},
		"ledger log":         {doctor.Ledger{LogBytes: 2 << 30}.Judge(), "warning log"},
		"ballast given up":   {doctor.Ledger{Dialect: "sqlite", BallastWanted: 5}.Judge(), "info ballast"},

		"config well": {doctor.Config{Path: "x", Files: []doctor.ConfigFile{{Path: "x", Mode: 0o644}, {Path: "s", Mode: 0o600, Secret: true}}}.Judge(), ""},
		"config bad": {
			doctor.Config{Path: "x", Errors: []string{"a", "b"}, Unset: []string{"c"}, Warnings: []string{"d"}, Unopened: map[string]string{"store s": "y"}}.Judge(),
			"critical invalid, warning unset, warning unopened:store_s, info lint",
		},
		"secret for all":   {doctor.Config{Files: []doctor.ConfigFile{{Path: "s", Mode: 0o644, Secret: true}}}.Judge(), "warning mode:s"},
		"config of all":    {doctor.Config{Files: []doctor.ConfigFile{{Path: "x", Mode: 0o666}}}.Judge(), "critical mode:x"},
		"secret not there": {doctor.Config{Files: []doctor.ConfigFile{{Path: "s", Secret: true, Error: "x"}}}.Judge(), ""},

		"unit active":     {doctor.Unit{Name: "a.service", Active: "active"}.Judge(), ""},
		"unit looping":    {doctor.Unit{Name: "a.service", Active: "activating", Sub: "auto-restart"}.Judge(), "critical unit:a.service"},
		"unit stopped":    {doctor.Unit{Name: "a.service", Active: "inactive"}.Judge(), "warning unit:a.service"},
		"unit unknown":    {doctor.Unit{Name: "a.service", Load: "not-found", Active: "inactive"}.Judge(), "warning unit:a.service"},
		"unit restarting": {doctor.Unit{Name: "a.service", Active: "active", Restarts: 9}.Judge(), "warning unit:a.service"},

		"sessions": {doctor.Activity{Name: "main", Sessions: []doctor.Session{
			{PID: 1, State: "idle in transaction", StateSeconds: 400, Database: "d"},
			{PID: 2, State: "active", StateSeconds: 60, BlockedBy: []int64{1}},
			{PID: 3, State: "active", StateSeconds: 60, BlockedBy: []int64{2}},
			{PID: 4, State: "active", StateSeconds: 1, BlockedBy: []int64{5}},
			{PID: 5, State: "idle in transaction", StateSeconds: 400},
		}}.Judge(), "critical blocking:main, warning idle:main"},

		"memory at the limit": {doctor.Memory{UsedPercent: 80}.Judge(), ""},
		"memory above":        {doctor.Memory{UsedPercent: 80.1}.Judge(), "warning memory"},
		"clock a little off":  {doctor.ClockState{Synchronized: true, Skews: map[string]float64{"x": -2.5}}.Judge(), "warning skew:x"},
	} {
		if got := judged(tt.found); got != tt.want {
			t.Errorf("%s: %s; want %s", name, got, tt.want)
		}
	}
}

// memory is a ledger in memory.
type memory struct {
	runner.Reader
	runner.AlertReader

	latest   map[string]runner.Run
	attempts []runner.Attempt
	good     map[string]runner.Run
	notices  []runner.Notice
	open     []runner.Incident
}

func (m memory) Latest(context.Context, []string) (map[string]runner.Run, error) {
	return m.latest, nil
}

func (m memory) Attempts(context.Context, ...runner.RunID) ([]runner.Attempt, error) {
	return m.attempts, nil
}

func (m memory) Runs(_ context.Context, f runner.Filter) ([]runner.Run, error) {
	if run, ok := m.good[f.Workflow]; ok {
		return []runner.Run{run}, nil
	}
	return nil, nil
}

func (m memory) Notices(context.Context, runner.NoticeFilter) ([]runner.Notice, error) {
	return m.notices, nil
}

func (m memory) Incidents(context.Context, runner.IncidentFilter) ([]runner.Incident, error) {
	return m.open, nil
}

func TestRecord(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	before := func(d time.Duration) time.Time { return now.Add(-d) }
	m := memory{
		latest: map[string]runner.Run{
			"daily":  {ID: "r1", State: runner.Failed, FinishedAt: before(time.Hour), Message: "job backup failed"},
			"weekly": {ID: "r2", State: runner.Succeeded, FinishedAt: before(10 * 24 * time.Hour)},
		},
		attempts: []runner.Attempt{
			{Job: "health", Kind: "health", State: runner.Succeeded},
			{Job: "backup", Kind: "pgbackup", State: runner.Failed, Error: "connect postgres://u:pl4nted@h: refused\nmore"},
		},
		good: map[string]runner.Run{"weekly": {FinishedAt: before(10 * 24 * time.Hour)}},
		notices: []runner.Notice{
			{ID: "n1", Channel: "pager", State: runner.NoticeSending, CreatedAt: before(time.Hour), Attempts: 7, Error: "451 later"},
			{ID: "n2", Channel: "chat", State: runner.NoticeDead, CreatedAt: before(2 * time.Hour), Error: "404"},
			{ID: "n3", Channel: "chat", State: runner.NoticeDead, CreatedAt: before(99 * time.Hour)},
		},
		open: []runner.Incident{{ID: "i1", Fault: runner.Fault{Fingerprint: "check/api", Title: "api is down", Severity: jobs.Critical}, OpenedAt: before(time.Minute), Count: 3, AckedBy: "ana"}},
	}
	open := func(context.Context) (*doctor.Record, error) {
		return &doctor.Record{
			Runs: m, Alerts: m,
			Happenings: func(_ context.Context, f runner.HappeningFilter) ([]runner.Happening, error) {
				return []runner.Happening{{Kind: "deploy", Subject: "api", Text: "1.2 ok", At: f.Since.Add(time.Hour), By: "ci"}}, nil
			},
			Pauses: func(context.Context) ([]runner.Pause, error) {
				return []runner.Pause{{Workflow: "weekly", By: "ana", Why: "move"}}, nil
			},
			Locks: func(context.Context) ([]runner.LockHolder, error) {
				return []runner.LockHolder{{Lock: "database/main", Workflow: "daily", Job: "backup"}}, nil
			},
		}, nil
	}
	clock := func() time.Time { return now }
	r := steps{
		doctor.LastRuns(open, []doctor.Workflow{{Name: "daily", FreshWithin: 26 * time.Hour}, {Name: "weekly", FreshWithin: 8 * 24 * time.Hour}, {Name: "monthly"}}, clock),
		doctor.Owing(open, 24*time.Hour, clock), doctor.OpenIncidents(open, clock), doctor.Changes(open, 24*time.Hour, clock),
	}.run(t, nil)
	want := []string{
		"critical runs run:daily", "critical runs stale:daily", "critical runs stale:weekly", "critical outbox stuck", "critical incidents incident:check/api",
		"warning outbox dead", "info runs paused:weekly",
	}
	if diff := cmp.Diff(want, brief(r)); diff != "" {
		t.Error(diff)
	}
	if f := r.Findings[0]; f.Text != "daily failed 1h0m ago: backup (pgbackup): connect postgres://u:<redacted>@h: refused" || f.Next != "upkeep show r1" {
		t.Errorf("%+v", f)
	}
	if f := r.Findings[4]; f.Text != "api is down, open for 1m, 3 times, acknowledged by ana" || f.Next != "upkeep incident show i1" {
		t.Errorf("%+v", f)
	}
	if r.Sections[3].Summary != "1 events in 1d0h, the last one: deploy of api" {
		t.Error(r.Sections[3].Summary)
	}
	if lines := strings.Join(r.Sections[0].Lines, "\n"); !strings.Contains(lines, "monthly: has never run") || !strings.Contains(lines, "lock database/main: daily.backup") {
		t.Error(lines)
	}
}

// TestRecord_Unreadable: a ledger that cannot be opened makes what stands in it
// unknown, and not well.
func TestRecord_Unreadable(t *testing.T) {
	t.Parallel()
	broken := func(context.Context) (*doctor.Record, error) { return nil, errors.New("the ledger's file is damaged") }
	r := steps{doctor.LastRuns(broken, nil, time.Now), doctor.Owing(broken, 1, time.Now), doctor.OpenIncidents(broken, time.Now), doctor.Changes(broken, 1, time.Now)}.run(t, nil)
	for _, s := range r.Sections {
		if s.State != doctor.Unknown {
			t.Errorf("%s is %s", s.Name, s.State)
		}
	}
	if len(r.Unseen) != 4 || r.Verdict != doctor.Warnings {
		t.Errorf("%+v", r.Unseen)
	}
}

// answering is a job that answers.
type answering func(ctx context.Context, env *jobs.Env) (jobs.Result, error)

func (a answering) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) { return a(ctx, env) }

func TestProbes(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	hung := make(chan struct{})
	probe := func(name, impact string, within time.Duration, a answering) doctor.Probe {
		return doctor.Probe{
			Name: name, Kind: "pgping", Impact: impact, Within: within, Next: "next",
			Open: func() (jobs.Job, []string, error) { return a, []string{"s3cret-" + name}, nil },
			Env: func(out *bytes.Buffer, scrub func(string) string) *jobs.Env {
				return jobs.NewEnv(jobs.Env{Job: name, Out: out}, jobs.Hooks{DryRun: true, Scrub: scrub})
			},
		}
	}
	critical := func(kind string, values map[string]float64) answering {
		return func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
			env.Printf("said with s3cret-auth")
			return jobs.Result{Summary: "no: s3cret-auth", Values: values, Outputs: map[string]string{"error_kind": kind}, Findings: []jobs.Finding{{ID: "x", Severity: jobs.Critical, Text: "t"}}}, nil
		}
	}
	var secrets doctor.Secrets
	r := steps{doctor.Probes("checks", "all checks", []doctor.Probe{
		probe("well", "outage", 0, func(context.Context, *jobs.Env) (jobs.Result, error) { return jobs.Result{Summary: "fine"}, nil }),
		probe("auth", "outage", 0, critical("auth", map[string]float64{"dns_seconds": 0.001, "auth_seconds": 1.25, "total_seconds": 1.3})),
		probe("dns", "none", 0, critical("dns", nil)),
		probe("broken", "degraded", 0, func(context.Context, *jobs.Env) (jobs.Result, error) {
			return jobs.Result{}, jobs.WithHint(errors.New("no"), "try")
		}),
		probe("deaf", "degraded", 50*time.Millisecond, func(context.Context, *jobs.Env) (jobs.Result, error) {
			close(hung)
			<-release
			return jobs.Result{}, nil
		}),
		{Name: "unmade", Kind: "http", Open: func() (jobs.Job, []string, error) {
			return nil, []string{"s3cret-unmade"}, errors.New("no s3cret-unmade")
		}},
	}, &secrets)}.run(t, &secrets)
	select {
	case <-hung:
	default:
		t.Error("nothing hung")
	}
	want := []string{"critical checks probe:auth", "critical checks probe:broken", "critical checks probe:deaf", "warning checks probe:dns"}
	if diff := cmp.Diff(want, brief(r)); diff != "" {
		t.Error(diff)
	}
	if got := r.Findings[0].Text; got != "auth (pgping): no: <redacted>; most of the time went into auth (1.250 s)" {
		t.Error(got)
	}
	if r.Findings[0].Means != "the server is there and does not accept user and password" || r.Findings[1].Text != "broken (pgping): no (try)" || !strings.Contains(r.Findings[2].Text, "no answer within 50ms") {
		t.Errorf("%+v", r.Findings)
	}
	if len(r.Unseen) != 1 || r.Unseen[0].What != "unmade" || r.Sections[0].Summary != "1 of 6 well" {
		t.Errorf("%+v, %s", r.Unseen, r.Sections[0].Summary)
	}
	text, err := r.JSON()
	if err != nil || strings.Contains(text, "s3cret") || !strings.Contains(text, `"phases":{"auth":1.25,"dns":0.001,"total":1.3}`) {
		t.Errorf("%v: %s", err, text)
	}
}

// shelf is a store that answers a question about one key.
type shelf struct {
	object.Store

	err error
}

func (s shelf) Stat(context.Context, string) (object.Info, error) { return object.Info{}, s.err }

func TestStores(t *testing.T) {
	t.Parallel()
	store := func(name string, err error) doctor.Shelf {
		return doctor.Shelf{Name: name, Kind: "s3", Open: func() (object.Store, []string, error) { return shelf{err: err}, []string{"s3cret"}, nil }}
	}
	var secrets doctor.Secrets
	r := steps{doctor.Stores([]doctor.Shelf{store("well", object.ErrNotFound), store("down", errors.New("403 for s3cret"))}, &secrets)}.run(t, &secrets)
	if got := brief(r); len(got) != 1 || got[0] != "critical stores store:down" || !strings.HasSuffix(r.Findings[0].Text, "403 for <redacted>") {
		t.Errorf("%v: %+v", got, r.Findings)
	}
	if r.Sections[0].Summary != "1 of 2 reached" {
		t.Error(r.Sections[0].Summary)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "upkeep.log")
	var b strings.Builder
	for i := range 100_000 { // more than is read at once
		fmt.Fprintf(&b, "level=INFO msg=line n=%d\n", i)
	}
	b.WriteString("level=ERROR msg=\"cannot reach postgres://u:pl4nted@h\"\nthe last line without an end")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(file, unit string) func(context.Context) (string, string) {
		return func(context.Context) (string, string) { return file, unit }
	}
	h := sick()
	r := steps{h.Log(in(path, ""))}.run(t, nil)
	if got := brief(r); len(got) != 1 || got[0] != "info log errors" || strings.Contains(r.Findings[0].Text, "pl4nted") || r.Verdict != doctor.Well {
		t.Errorf("%v, %+v", got, r.Findings)
	}
	content := r.Sections[0].Files[0].Content
	if !strings.HasPrefix(content, "level=INFO msg=line n=99702\n") || !strings.HasSuffix(content, "without an end") || strings.Contains(content, "pl4nted") {
		t.Errorf("%.60s … %s", content, content[len(content)-100:])
	}
	if _, err := h.Log(in(dir, "")).Alone(t.Context()); err == nil {
		t.Error("a folder was read")
	}
	if _, err := h.Log(in(filepath.Join(dir, "none"), "")).Alone(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	found, err := h.Log(in("", "")).Alone(t.Context())
	if err != nil || len(found.Unseen) != 1 {
		t.Errorf("%+v, %v", found, err)
	}
}
