package configs_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/reports"
)

func TestLoad_KPIs(t *testing.T) {
	t.Parallel()
	c, err := configs.Load(filepath.Join("testdata", "good", "kpis.yaml"), testCatalog(testEnv()))
	if err != nil {
		t.Fatal(err)
	}
	model := reports.JobName{Workflow: "weekly", Job: "model"}
	const week = 7 * 24 * time.Hour
	want := reports.Plan{
		Window: week, Zone: time.UTC, UptimeTarget: 0.9995, UptimeChecks: []string{"system"}, Planned: []string{"weekly"},
		Response: reports.LatencyAim{Target: 250 * time.Millisecond, Histogram: "scrape.web.http_seconds"},
		Model:    reports.LatencyAim{Target: 50 * time.Millisecond, Histogram: "scrape.web.model_prediction_duration_seconds", Job: model, Value: "p95", StaleAfter: 2 * week},
		Errors:   reports.RateAim{Target: 0.005, All: "scrape.web.http_total", Bad: "scrape.web.http_total.errors", Checks: []string{"system"}},
		Demand:   reports.RateAim{Target: 500, All: "scrape.web.http_total", Capacity: "capacity_per_minute"},
		Accuracy: reports.ResultAim{Target: 0.95, Job: model, Value: "f1", Count: "rows", Cautious: true, StaleAfter: 2 * week},
		Drift:    reports.JobAim{Job: model, Target: 8 * 24 * time.Hour}, Retraining: reports.JobAim{Job: model},
		MTTD: 10 * time.Minute, MTTR: time.Hour, DeployTarget: 0.2, FailureTarget: 0.15, SuspectWithin: time.Hour, LeastDeploys: 10,
		Checks: c.KPIs.Checks,
	}
	if diff := cmp.Diff(want, c.KPIs, cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if len(c.KPIs.Checks) != 1 || c.KPIs.Checks[0].Every != 30*time.Second || c.KPIs.Checks[0].Worst != c.Checks[0].WorstDetection() {
		t.Errorf("checks: %v", c.KPIs.Checks)
	}
	s := c.Scrapes[0]
	if s.Every != 15*time.Second || s.Timeout != 5*time.Second || s.URL.Reveal() != "http://localhost:8081/metrics" {
		t.Errorf("scrape every %s within %s", s.Every, s.Timeout)
	}
	if diff := cmp.Diff([][]string{{"http_seconds", "model_prediction_duration_seconds"}, {"http_total"}, {"code=5??"}, {"predictions_*"}},
		[][]string{s.Histograms, s.Counters, s.Errors, s.Keep}); diff != "" {
		t.Errorf("what is kept (-want +got):\n%s", diff)
	}
}

// Nobody has to write anything down: the targets are those of the guide, and the
// jobs are known by their scripts.
func TestLoad_KPIsByDefault(t *testing.T) {
	t.Parallel()
	c, err := configs.Load(write(t, `
timezone: UTC
checks: {api: {kind: system, impact: outage}, other: {kind: system}}
workflows:
  daily:
    schedule: {daily: "02:30"}
    jobs:
      performance: {kind: script, with: {run: [python3, scripts/check_model_performance.py]}}
      drift: {kind: script, with: {run: "python3 scripts/check_model_drift.py"}}
      retrain: {kind: script, with: {run: [python3, scripts/evaluate_retraining_needs.py]}}
`), testCatalog(testEnv()))
	if err != nil {
		t.Fatal(err)
	}
	want := reports.Guide()
	want.Checks, want.Zone = c.KPIs.Checks, c.KPIs.Zone
	want.UptimeChecks, want.Errors.Checks = []string{"api"}, []string{"api"}
	performance := reports.JobName{Workflow: "daily", Job: "performance"}
	want.Accuracy.Job, want.Accuracy.StaleAfter = performance, 48*time.Hour
	want.Model.Job, want.Model.Value, want.Model.StaleAfter = performance, "latency_p95_seconds", 48*time.Hour
	want.Drift.Job = reports.JobName{Workflow: "daily", Job: "drift"}
	want.Retraining.Job = reports.JobName{Workflow: "daily", Job: "retrain"}
	if diff := cmp.Diff(want, c.KPIs, cmp.Comparer(func(a, b *time.Location) bool { return a == b })); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}
