package reports_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// aLedger opens a ledger of its own.
func aLedger(t *testing.T) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Options{DSN: secret.New("sqlite:" + filepath.Join(t.TempDir(), "upkeep.db")), Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// runOnce records a run of one job that found something.
func runOnce(t *testing.T, l *ledger.Ledger, workflow, job string, result jobs.Result) runner.RunID {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	text := "jobs: {" + job + ": {kind: script}}"
	sum := sha256.Sum256([]byte(text))
	submitted, err := l.Submit(ctx, runner.Request{Spec: runner.Spec{Workflow: workflow, Text: text, Digest: hex.EncodeToString(sum[:])}, Slot: now, Trigger: runner.BySchedule, Overlap: runner.OverlapAllow})
	if err != nil {
		t.Fatal(err)
	}
	id := submitted[0].Run
	claim, _, err := l.Claim(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	a := runner.Attempt{Run: id, Job: job, Kind: "script", Number: 1, Epoch: claim.Epoch, State: runner.Running, StartedAt: now, ExitCode: -1}
	if _, err := l.Advance(ctx, claim, runner.Step{Begun: []runner.Start{{Attempt: a}}}); err != nil {
		t.Fatal(err)
	}
	a.State, a.FinishedAt, a.Result = runner.Succeeded, now.Add(time.Second), result
	if _, err := l.Advance(ctx, claim, runner.Step{Ended: []runner.End{{Attempt: a}}, Finish: &runner.Finish{State: runner.Succeeded}}); err != nil {
		t.Fatal(err)
	}
	return id
}

// On a real ledger the figures are the same before and after old samples were
// folded, and the documents can be written.
func TestMeasure_OnALedger(t *testing.T) {
	t.Parallel()
	ctx, l := t.Context(), aLedger(t)
	now := time.Now().UTC().Truncate(time.Minute).Add(2 * time.Minute) // behind all that is recorded
	from := now.Add(-day)
	down := stretch{from.Add(6 * time.Hour), from.Add(6*time.Hour + 60*time.Second)}
	var samples []runner.Sample
	errors, requests := 0.0, 0.0
	for at := from; at.Before(now); at = at.Add(30 * time.Second) {
		up := 1.0
		if !at.Before(down.from) && at.Before(down.until) {
			up = 0
		}
		samples = append(samples, runner.Sample{Series: "check.api.up", At: at, Value: up}, runner.Sample{Series: "check.api.seconds", At: at, Value: 0.05})
		if at.Second() != 0 {
			continue
		}
		n := float64(600 + at.Minute())
		requests, errors = requests+n, errors+1
		samples = append(samples,
			runner.Sample{Series: "scrape.api.requests", At: at, Value: n}, runner.Sample{Series: "scrape.api.requests.errors", At: at, Value: 1},
			runner.Sample{Series: "scrape.api.seconds_hist.le_0.1", At: at, Value: n / 2}, runner.Sample{Series: "scrape.api.seconds_hist.le_0.2", At: at, Value: math.Floor(n * 0.96)},
			runner.Sample{Series: "scrape.api.seconds_hist.le_inf", At: at, Value: n})
	}
	for len(samples) > 0 {
		n := min(len(samples), 5000)
		if err := l.Observe(ctx, samples[:n]...); err != nil {
			t.Fatal(err)
		}
		samples = samples[n:]
	}
	runOnce(t, l, "daily", "model", jobs.Result{Values: map[string]float64{"accuracy": 0.93, reports.CountValue: 1000, "latency_p95_seconds": 0.08}})
	runOnce(t, l, "daily", "drift", jobs.Result{})
	if _, err := l.Raise(ctx, runner.Fault{
		Fingerprint: "check/api", Check: "api", Severity: jobs.Critical, Reason: "check", Title: "api is away", At: down.from.Add(56 * time.Second),
		LastGood: down.from.Add(-30 * time.Second), FirstBad: down.from, Evidence: []runner.Evidence{{Name: "memory", Text: "free: none"}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Clear(ctx, "check/api", down.until.Add(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(ctx, runner.Happening{Kind: "deploy", Subject: "api", Text: "1.0 ok", At: down.from.Add(-10 * time.Minute)}); err != nil {
		t.Fatal(err)
	}

	p := watched("api")
	p.Window, p.Response.Histogram, p.Errors.All, p.Errors.Bad, p.Demand.All = day, "scrape.api.seconds_hist", "scrape.api.requests", "scrape.api.requests.errors", "scrape.api.requests"
	p.Accuracy.Job, p.Drift.Job = reports.JobName{Workflow: "daily", Job: "model"}, reports.JobName{Workflow: "daily", Job: "drift"}
	source := reports.Source{Runs: l, Samples: l, Incidents: l, Events: l}
	check := func() {
		t.Helper()
		list, err := reports.Measure(ctx, source, p, now)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]reports.Figure{}
		for _, f := range list {
			got[f.Name] = f
		}
		want := map[string]float64{
			reports.Uptime: 1 - 60/p.Window.Seconds(), reports.ErrorRate: errors / requests, reports.Accuracy: 0.93,
			reports.MTTD: 86, reports.MTTR: got[reports.MTTR].Value, reports.ChangeFailure: 1,
		}
		for name, v := range want {
			if math.Abs(got[name].Value-v) > 1e-3*v && name != reports.Uptime || math.Abs(got[name].Value-v) > 1e-6 {
				t.Errorf("%s is %v, want %v (%s, %s)", name, got[name].Value, v, got[name].Verdict, got[name].Why)
			}
		}
		if f := got[reports.Uptime]; f.Verdict != reports.Met || f.Coverage < 0.999 {
			t.Errorf("uptime %s of %v", f.Verdict, f.Coverage)
		}
		if f := got[reports.ResponseTime]; f.Verdict != reports.Missed && f.Verdict != reports.Met || f.Low != 0.1 || f.High != 0.2 || math.Abs(float64(f.N)-requests) > 1e-3*requests {
			t.Errorf("response time %s, %v to %v of %d, want %v requests", f.Verdict, f.Low, f.High, f.N, requests)
		}
		if f := got[reports.MTTR]; f.Value != 60 && f.Value != 90 { // to the first good answer, or to the end of the incident
			t.Errorf("mttr is %v", f.Value)
		}
		if f := got[reports.Throughput]; math.Abs(f.Value-629.5) > 3 || !strings.Contains(f.Text, "peak 659/min") {
			t.Errorf("throughput %v, %s", f.Value, f.Text)
		}
	}
	check()
	pruned, err := l.PruneRuns(ctx, runner.Retention{Now: now, Grains: []runner.Grain{{After: 6 * time.Hour, Length: 5 * time.Minute}}})
	if err != nil || pruned.Folded < 5_000 {
		t.Fatalf("folded %d: %v", pruned.Folded, err)
	}
	check()
	writeAll(ctx, t, l, source, p, now)
}

// stretch is a span of time.
type stretch struct{ from, until time.Time }

// writeAll writes both documents in both forms.
func writeAll(ctx context.Context, t *testing.T, l *ledger.Ledger, source reports.Source, p reports.Plan, now time.Time) {
	t.Helper()
	week, err := reports.Review{Project: "x", Plan: p, Now: now}.Document(ctx, source)
	if err != nil {
		t.Fatal(err)
	}
	incidents, err := l.Incidents(ctx, runner.IncidentFilter{})
	if err != nil || len(incidents) != 1 {
		t.Fatalf("%d incidents: %v", len(incidents), err)
	}
	story, err := reports.PostMortem(ctx, source, l, incidents[0].ID[:8], now)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []reports.Document{week, story} {
		var text, page bytes.Buffer
		if err := d.Markdown(&text); err != nil {
			t.Fatal(err)
		}
		if err := d.HTML(&page); err != nil {
			t.Fatal(err)
		}
		if elements, _ := parseHTML(t, page.Bytes()); elements["svg"] == 0 {
			t.Errorf("%s has no chart", d.Title)
		}
		if d.Title != week.Title && (!strings.Contains(text.String(), "free: none") || !strings.Contains(text.String(), "1.0 ok")) {
			t.Errorf("no evidence or no change in:\n%s", text.String())
		}
	}
}
