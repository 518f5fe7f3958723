package configs_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

func TestLoad_ServiceDefaults(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "workflows: {daily: {jobs: {health: {kind: health}}}}\n", nil)
	history := runner.History{Keep: 180 * 24 * time.Hour, Runs: 10_000, Bytes: 1 << 30}
	if c.DrainTimeout != 10*time.Minute || c.Ballast != 64<<20 || c.History != history || len(c.Channels) != 0 || len(c.Routes) != 0 {
		t.Errorf("got %+v", c)
	}
	w := c.Workflows[0]
	if w.History != history || w.FreshWithin != 0 || w.Approval || !cmp.Equal(w.Alert, alerts.WorkflowAlert{Severity: jobs.Critical}) {
		t.Errorf("got %+v", w)
	}
	if got := c.Alarm().Channels(jobs.Critical, "daily", alerts.ReasonFailed); len(got) > 0 {
		t.Errorf("without channels it tells %v", got)
	}
	for text, want := range map[string]int64{"off": 0, "0": 0, "1MiB": 1 << 20, "2GB": 2e9} {
		if got := mustLoad(t, "ballast: "+text+"\n", nil).Ballast; got != want {
			t.Errorf("ballast %s: got %d", text, got)
		}
	}
	if got := mustLoad(t, "drain_timeout: 0s\n", nil).DrainTimeout; got != 0 {
		t.Errorf("drain_timeout 0s: got %s", got)
	}
}

func TestLoad_Alerting(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
channels:
  ops:  {kind: page, rate: 20/5m, group_wait: 0s, template: "{{.Title}}"}
  desk: {kind: page, fallback: ops, fallback_after: 3m, send: open}
  boss: {kind: page}
routes:
  - {to: [desk], repeat: 4h, escalate: [{after: 15m, to: [boss]}]}
heartbeat: {url: "http://localhost/x"}
digest: {weekly: "mon 08:00", to: ops}
workflows:
  daily: {alert: {after: 3}, jobs: {one: {kind: script, with: {run: "true"}}}}
`, nil)
	want := []alerts.Settings{
		{FallbackAfter: 10 * time.Minute, Rate: alerts.Rate{Most: 20, Within: 5 * time.Minute}},
		{FallbackAfter: 3 * time.Minute, Fallback: "ops", GroupWait: 20 * time.Second, Send: []runner.NoticeAction{runner.NoticeOpen}},
		{FallbackAfter: 10 * time.Minute, GroupWait: 20 * time.Second},
	}
	for i, s := range want {
		got := c.Channels[i].Settings
		if (got.Template != nil) != (i == 0) {
			t.Errorf("%s has the template %v", c.Channels[i].Name, got.Template)
		}
		got.Template = nil
		if diff := cmp.Diff(s, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.Channels[i].Name, diff)
		}
	}
	routes := []alerts.Route{{
		To: unit.Names{"desk"}, Repeat: unit.Duration(4 * time.Hour),
		Escalate: []alerts.Escalation{{After: unit.Duration(15 * time.Minute), To: unit.Names{"boss"}}},
	}}
	if diff := cmp.Diff(routes, c.Routes); diff != "" {
		t.Error(diff)
	}
	if c.Heartbeat.URL.Reveal() != "http://localhost/x" || c.Heartbeat.Every != time.Minute || c.Weekly.Schedule.IsZero() || !cmp.Equal(c.Weekly.To, []string{"ops"}) {
		t.Errorf("heartbeat %+v, digest %+v", c.Heartbeat, c.Weekly)
	}
	if c.Workflows[0].Alert.After != 3 {
		t.Errorf("alert %+v", c.Workflows[0].Alert)
	}
	for _, w := range c.Warnings {
		if w.Rule == "unused" {
			t.Errorf("a channel that is used is said to be unused: %s", w)
		}
	}
}

func TestLoad_Service(t *testing.T) {
	t.Parallel()
	c, err := configs.Load("testdata/good/full.yaml", testCatalog(testEnv()))
	if err != nil {
		t.Fatal(err)
	}
	if c.DrainTimeout != 2*time.Minute || c.Ballast != 16<<20 || c.History != (runner.History{Keep: 90 * 24 * time.Hour, Runs: 500, Bytes: 256 << 20}) {
		t.Errorf("got %+v", c)
	}
	usual := alerts.Settings{FallbackAfter: 10 * time.Minute, GroupWait: 20 * time.Second}
	channels := []configs.Channel{{Name: "ops", Kind: "email", Settings: usual}, {Name: "pager", Kind: "page", Settings: usual}, {Name: "chat", Kind: "email", Settings: usual}}
	if diff := cmp.Diff(channels, c.Channels); diff != "" {
		t.Error(diff)
	}
	routes := []alerts.Route{
		{
			Match: alerts.Match{Severity: alerts.Severities{jobs.Critical}, Workflow: unit.Names{"daily*", "by-hand"}, Reason: unit.Names{"failed", "lost"}},
			To:    unit.Names{"pager"}, Continue: true,
		},
		{Match: alerts.Match{Workflow: unit.Names{"cron"}}, To: unit.Names{}},
		{To: unit.Names{"ops"}},
	}
	if diff := cmp.Diff(routes, c.Routes); diff != "" {
		t.Error(diff)
	}
	daily, weekly := c.Workflows[0], c.Workflows[1]
	// The other limits are those of the top.
	if daily.History != (runner.History{Keep: 7 * 24 * time.Hour, Runs: 500, Bytes: 256 << 20, AtLeast: 12 * time.Hour}) {
		t.Errorf("history %+v", daily.History)
	}
	if daily.FreshWithin != 26*time.Hour || !daily.Approval || weekly.Approval {
		t.Errorf("got %+v", daily)
	}
	if diff := cmp.Diff(alerts.WorkflowAlert{Severity: jobs.Warning, To: []string{"chat"}}, weekly.Alert); diff != "" {
		t.Error(diff)
	}
	for _, tc := range []struct {
		severity         jobs.Severity
		workflow, reason string
		want             []string
	}{
		{jobs.Critical, "daily", alerts.ReasonFailed, []string{"pager", "ops"}},
		{jobs.Critical, "daily", alerts.ReasonStale, []string{"ops"}},
		{jobs.Warning, "weekly", alerts.ReasonFailed, []string{"chat"}},
		{jobs.Critical, "often", alerts.ReasonFailed, nil},
		{jobs.Critical, "cron", alerts.ReasonFailed, nil},
		{jobs.Critical, "", alerts.ReasonDiskFull, []string{"ops"}},
	} {
		if diff := cmp.Diff(tc.want, c.Alarm().Channels(tc.severity, tc.workflow, tc.reason)); diff != "" {
			t.Errorf("%+v: %s", tc, diff)
		}
	}
}

// Without routes every channel hears everything; with an empty list none does.
// A check may say who is told of its faults, and how grave they are at most.
func TestLoad_AlertsOfChecks(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
channels: {ops: {kind: page}, desk: {kind: page}}
routes: [{to: [ops]}]
checks:
  plain: {kind: system, impact: outage}
  mild:  {kind: system, impact: outage, alert: {severity: warning, to: desk}}
  mute:  {kind: system, impact: outage, alert: {off: true}}
`, nil)
	type told struct {
		Severity jobs.Severity
		Channels []string
	}
	got := map[string]told{}
	for _, check := range c.Checks {
		f := c.Alarm().Unhealthy(runner.CheckReport{Name: check.Name, Impact: check.Impact, Health: runner.HealthCritical})
		got[check.Name] = told{f.Severity, f.Channels}
	}
	want := map[string]told{"plain": {jobs.Critical, []string{"ops"}}, "mild": {jobs.Warning, []string{"desk"}}, "mute": {jobs.Critical, nil}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
}

func TestLoad_NoRoutes(t *testing.T) {
	t.Parallel()
	const channels = "channels: {a: {kind: page}, b: {kind: page}}\n"
	for text, want := range map[string][]string{channels: {"a", "b"}, channels + "routes:\n": {"a", "b"}, channels + "routes: []\n": nil} {
		c := mustLoad(t, text, nil)
		if diff := cmp.Diff(want, c.Alarm().Channels(jobs.Warning, "", alerts.ReasonReload)); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

// Catching up wins over what history.keep says.
func TestLoad_HistoryReachesBack(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
history: {keep: 1d}
workflows:
  a: {schedule: {daily: "02:30"}, catch_up: {run: all, within: 3d}, jobs: {a: {kind: health}}}
  b: {schedule: {daily: "02:30"}, catch_up: {run: none, within: 3d}, jobs: {a: {kind: health}}}
`, nil)
	day := 24 * time.Hour
	if got := c.Workflows[0].History; got.Keep != 3*day || got.AtLeast != 3*day {
		t.Errorf("got %+v", got)
	}
	if got := c.Workflows[1].History; got.Keep != day || got.AtLeast != 0 {
		t.Errorf("with run: none got %+v", got)
	}
}

func TestOpenChannel(t *testing.T) {
	t.Parallel()
	env := map[string]string{"API_TOKEN": "first-token"}
	c := mustLoad(t, `channels: {ops: {kind: email, smtp_server: m, from: a, to: b, password: "${env:API_TOKEN}"}}`, env)
	if diff := cmp.Diff([]string{"first-token"}, c.Secrets()); diff != "" {
		t.Error(diff)
	}
	env["API_TOKEN"] = "second-token"
	channel, secrets, err := c.OpenChannel("ops")
	if err != nil {
		t.Fatal(err)
	}
	box, ok := channel.(*mailbox)
	if !ok || box.name != "ops" || box.options.Password.Reveal() != "second-token" || box.options.Port != 587 {
		t.Errorf("got %+v", channel)
	}
	if diff := cmp.Diff([]string{"second-token"}, secrets); diff != "" {
		t.Error(diff)
	}
	delete(env, "API_TOKEN")
	if _, _, err = c.OpenChannel("ops"); err == nil || !strings.Contains(err.Error(), `channel "ops" cannot be used: the environment variable API_TOKEN is not set`) || jobs.HintOf(err) == "" {
		t.Errorf("got %v, hint %q", err, jobs.HintOf(err))
	}
	_, _, err = c.OpenChannel("opps")
	unknown, ok := errors.AsType[*configs.UnknownError](err)
	if !ok || unknown.Family != "channel" || jobs.HintOf(err) != `did you mean "ops"?` {
		t.Errorf("got %v, hint %q", err, jobs.HintOf(err))
	}
}

// A run goes on when the channels that its workflow names, or its limits, are
// no longer what they were.
func TestCompile_AlertsAreNotPartOfThePlan(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "workflows: {daily: {jobs: {a: {kind: health}}}}\n", nil)
	spec := specOf("alert: {to: [gone]}\nhistory: {keep: 1m}\nfresh_within: 1s\nmode: approve\njobs:\n  a:\n    kind: health\n")
	if _, err := c.Compile(t.Context(), spec, nil); err != nil {
		t.Error(err)
	}
}

// TestLoad_Disabled: a channel that is not enabled needs no secrets and is told
// nothing; its fallback stands in for it.
func TestLoad_Disabled(t *testing.T) {
	t.Parallel()
	const text = `
channels:
  ops:   {kind: page}
  chat:  {kind: email, smtp_server: m, from: a, to: b, enabled: "${env:CHAT:-false}", password: "${env:API_TOKEN}", fallback: pager}
  pager: {kind: page, enabled: false, fallback: ops}
  other: {kind: page, fallback: chat}
  alone: {kind: page, enabled: false}
routes:
  - {match: {severity: critical}, to: [chat, other], escalate: [{after: 15m, to: [pager]}], continue: true}
  - {match: {severity: warning}, to: [alone]}
  - {to: [ops, chat]}
digest: {weekly: "mon 08:00", to: [chat]}
workflows:
  daily: {alert: {to: [chat]}, schedule: {daily: "02:00"}, jobs: {one: {kind: script, with: {run: "true"}}}}
`
	c := mustLoad(t, text, map[string]string{})
	if got := c.Alarm().Channels(jobs.Critical, "", alerts.ReasonDiskFull); !cmp.Equal(got, []string{"ops", "other"}) {
		t.Errorf("a critical fault is told to %q", got)
	}
	if got := c.Alarm().Channels(jobs.Critical, "daily", alerts.ReasonFailed); !cmp.Equal(got, []string{"ops"}) {
		t.Errorf("a fault of daily is told to %q", got)
	}
	if got := c.Weekly.To; !cmp.Equal(got, []string{"ops"}) {
		t.Errorf("the digest of the week goes to %q", got)
	}
	if c.Channels[3].Settings.Fallback != "ops" || !c.Channels[1].Settings.Disabled {
		t.Errorf("channels %+v", c.Channels)
	}
	if _, _, err := c.OpenChannel("chat"); err == nil || !strings.Contains(err.Error(), "is not enabled") {
		t.Errorf("opening it: %v", err)
	}
	var found []string
	for _, w := range c.Warnings {
		if w.Rule == "disabled" || w.Rule == "unused" {
			found = append(found, w.Path)
		}
	}
	if diff := cmp.Diff([]string{"routes[1].to"}, found); diff != "" {
		t.Errorf("warnings (-want +got):\n%s\n%v", diff, c.Warnings)
	}
	c = mustLoad(t, text, map[string]string{"CHAT": "true", "API_TOKEN": "x"})
	if got := c.Alarm().Channels(jobs.Critical, "daily", alerts.ReasonFailed); !cmp.Equal(got, []string{"chat"}) {
		t.Errorf("enabled, a fault of daily is told to %q", got)
	}
	// How it is written is checked all the same.
	for wrong, want := range map[string]string{
		`{kind: email, enabled: false, smtp_sever: m}`: "smtp_sever", `{kind: pigeon, enabled: false}`: "pigeon", `{kind: page, enabled: maybe}`: "true or false",
	} {
		if _, err := load(t, "channels: {chat: "+wrong+"}\n", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// TestLint_NarrowFallback: a fallback that leaves out what the channel tells of is
// no fallback for that.
func TestLint_NarrowFallback(t *testing.T) {
	t.Parallel()
	for terms, want := range map[string]bool{
		`ops: {kind: page, fallback: grave}`:                       true,
		`ops: {kind: grave, fallback: grave}`:                      false,
		`ops: {kind: page, fallback: other}, other: {kind: page}`:  false,
		`ops: {kind: page, enabled: false, fallback: grave}`:       false,
		`ops: {kind: grave, fallback: other}, other: {kind: page}`: false,
		`ops: {kind: page, fallback: other}, other: {kind: grave}`: true,
	} {
		catalog := testCatalog(nil)
		catalog.Channels = alerts.NewRegistry(
			alerts.Define("page", "Wakes somebody.", struct{}{}, func(string, struct{}) (alerts.Channel, error) { return &mailbox{}, nil }),
			alerts.Define("grave", "Wakes somebody if need be.", struct{}{}, func(string, struct{}) (alerts.Channel, error) { return picky{&mailbox{}}, nil }),
		)
		c, err := configs.Load(write(t, "channels: {grave: {kind: grave}, "+terms+"}\n"), catalog)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(c.Warnings, func(w configs.Problem) bool { return w.Rule == "narrow-fallback" })
		if got != want {
			t.Errorf("%s: warned %t, want %t; %v", terms, got, want, c.Warnings)
		}
	}
}

// picky tells of what is critical only.
type picky struct{ *mailbox }

func (picky) Takes() []jobs.Severity { return []jobs.Severity{jobs.Critical} }

// TestWindow_Quiet: what a window and a job of the file keep quiet reaches the
// incidents.
func TestWindow_Quiet(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
timezone: UTC
checks:
  api: {kind: system}
  db:  {kind: system}
channels: {ops: {kind: page}}
workflows:
  weekly:
    window: {allow: ["03:00-05:00"], quiet: ["a*"]}
    schedule: {daily: "03:30"}
    jobs: {restart: {kind: script, quiets: [db], with: {run: "true"}}, other: {kind: script, needs: [restart], with: {run: "false"}}}
`, nil)
	l := ledgertest.Open(t, ledgertest.SQLite(t), func(o *ledger.Options) { o.Alarm = c.Alarm() })
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	opens := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	raise := func(check string, at time.Time) {
		t.Helper()
		if _, err := l.Raise(t.Context(), runner.Fault{
			Fingerprint: "check/" + check, Check: check, Severity: jobs.Critical, Reason: alerts.ReasonCheck, Title: check, At: at, Channels: []string{"ops"},
		}); err != nil {
			t.Fatal(err)
		}
	}
	state := func(check string) string {
		t.Helper()
		list, err := l.Incidents(t.Context(), runner.IncidentFilter{Fingerprint: "check/" + check, Limit: 1})
		if err != nil || len(list) != 1 {
			t.Fatalf("%d incidents of %s: %v", len(list), check, err)
		}
		return list[0].Suppressed
	}
	settle := func(at, want time.Time) {
		t.Helper()
		if next, err := l.Settle(t.Context(), at); err != nil || !next.Equal(want) {
			t.Fatalf("at %s next is %s (%v), want %s", at, next, err, want)
		}
	}
	raise("api", opens.Add(-time.Hour)) // open before the window
	raise("db", opens.Add(-time.Hour))
	settle(opens.Add(-time.Hour), opens)
	if api, db := state("api"), state("db"); api != "" || db != "" {
		t.Errorf("before the window: %q and %q", api, db)
	}
	settle(opens, opens.Add(2*time.Hour))
	if api, db := state("api"), state("db"); api != "window weekly" || db != "" {
		t.Errorf("in the window: %q and %q", api, db)
	}
	owed, _, err := l.Take(t.Context(), "ops", time.Now().Add(time.Minute), time.Minute, 10)
	if err != nil || len(owed) != 1 {
		t.Errorf("%d notices are sent in the window (%v), want that of db alone", len(owed), err)
	}
	settle(opens.Add(2*time.Hour), opens.Add(24*time.Hour))
	if owed, _, err = l.Take(t.Context(), "ops", time.Now().Add(time.Minute), time.Minute, 10); err != nil || len(owed) != 1 {
		t.Errorf("%d notices are sent after it (%v)", len(owed), err)
	}

	// The job, once it runs.
	answers, err := l.Submit(t.Context(), runner.Request{Spec: c.Workflows[0].Spec, Slot: opens, Trigger: runner.BySchedule, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	claim, _, err := l.Claim(t.Context(), answers[0].Run)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	for _, job := range []string{"other", "restart"} {
		attempt := ledgertest.Attempt(job, 1)
		attempt.StartedAt = now
		if _, err := l.Advance(t.Context(), claim, runner.Step{Begun: []runner.Start{{Attempt: attempt}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Settle(t.Context(), now.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"other": "", "restart": "job weekly.restart in run " + string(answers[0].Run)}[job]
		if got := state("db"); got != want {
			t.Errorf("while %s runs, db is suppressed by %q, want %q", job, got, want)
		}
	}
}

// TestLoad_PublicHeartbeat: whoever knows the slug of a public heartbeat may tell
// it, so nobody may guess it.
func TestLoad_PublicHeartbeat(t *testing.T) {
	t.Parallel()
	const text = "checks: {nightly: {kind: heartbeat, every: 1d, with: {public: true, slug: \"%s\"}}}\n"
	c := mustLoad(t, strings.Replace(text, "%s", "${env:SLUG}", 1), map[string]string{"SLUG": "9f86d081884c7d659a2feaa0"})
	if got := c.Checks[0]; !got.Public || got.Slug != "9f86d081884c7d659a2feaa0" {
		t.Errorf("got %+v", got)
	}
	for _, slug := range []string{"", "nightly", "9f86d081884c7d659a2", strings.Repeat("ab", 20)} {
		if _, err := load(t, strings.Replace(text, "%s", slug, 1), nil); err == nil || !strings.Contains(err.Error(), "whoever guesses it") {
			t.Errorf("%q: %v", slug, err)
		}
	}
}
