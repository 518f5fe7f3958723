package metrics_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/metrics"
	"github.com/ghosteam/upkeep/storage/object"
)

var update = flag.Bool("update", os.Getenv("UPKEEP_TEST_UPDATE") != "", "write the golden files anew")

var t0 = time.Date(2026, 11, 23, 2, 30, 0, 0, time.UTC)

func inventory() metrics.Inventory {
	return metrics.Inventory{
		Workflows: []metrics.Workflow{
			{Name: "daily", Jobs: []string{"backup", "model"}, Scheduled: true, Next: func(after time.Time) time.Time { return after.Add(24 * time.Hour) }},
			{Name: "high-memory", Jobs: []string{"service"}, Runbook: true},
		},
		Checks: []string{"database", "system"}, Channels: []string{"ops", "pager"},
	}
}

func newSet(o metrics.Options) *metrics.Set {
	if o.Now == nil {
		o.Now = func() time.Time { return t0 }
	}
	s := metrics.New(o)
	s.Configure(inventory())
	return s
}

// failer is a test, or one attempt at a property.
type failer interface {
	Helper()
	Fatal(args ...any)
}

func metricsOptions() metrics.Options { return metrics.Options{SeedNames: true} }

func families(t failer, s *metrics.Set) map[string]*dto.MetricFamily {
	t.Helper()
	var text bytes.Buffer
	if err := s.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	found, err := parser.TextToMetricFamilies(&text)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// value returns what a series holds: of a histogram how often it was observed.
// It is -1 when there is no such series.
func value(t failer, s *metrics.Set, name string, labels ...string) float64 {
	t.Helper()
	for _, m := range families(t, s)[name].GetMetric() {
		var have []string
		for _, l := range m.GetLabel() {
			have = append(have, l.GetName()+"="+l.GetValue())
		}
		if !slices.Equal(have, labels) {
			continue
		}
		switch {
		case m.GetCounter() != nil:
			return m.GetCounter().GetValue()
		case m.GetHistogram() != nil:
			return float64(m.GetHistogram().GetSampleCount())
		}
		return m.GetGauge().GetValue()
	}
	return -1
}

// feed tells a set of one of everything.
func feed(s *metrics.Set) {
	ctx := context.Background()
	run := runner.Run{
		ID: "0191-run", Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}, Slot: t0, Trigger: runner.BySchedule},
		Epoch: 1, StartedAt: t0.Add(2 * time.Second), State: runner.Running,
	}
	s.Observe(ctx, runner.RunStarted{Run: run})
	attempt := runner.Attempt{
		Run: run.ID, Job: "backup", Kind: "pgbackup", Number: 1, State: runner.Succeeded, StartedAt: run.StartedAt, FinishedAt: t0.Add(time.Minute),
		Result: jobs.Result{
			Values:    map[string]float64{"verify_seconds": 2, "restore_seconds": 9},
			Artifacts: []object.Info{{Store: "local", Bytes: 700}, {Store: "local", Bytes: 300}, {Store: "offsite", Bytes: 900}},
			Events:    []jobs.Event{{Kind: "packages", Subject: "libc6", Text: "1 to 2"}},
		},
	}
	s.Observe(ctx, runner.AttemptEnded{Attempt: attempt})
	attempt.Job, attempt.Kind, attempt.State = "model", "script", runner.Warned
	attempt.Result = jobs.Result{Values: map[string]float64{
		"accuracy": 0.93, "samples": 500, "accuracy.fraud.v2": 0.91, "accuracy_low.fraud.v2": 0.9,
		"labelled.fraud.v2": 120,
	}}
	s.Observe(ctx, runner.AttemptEnded{Attempt: attempt})
	run.State, run.FinishedAt = runner.Warned, t0.Add(2*time.Minute)
	s.Observe(ctx, runner.RunEnded{Run: run})
	s.Due("daily")
	s.Due("high-memory")
	s.Stands("database", runner.HealthUnknown)
	s.Skipped("daily", runner.ReasonMissed, 3)
	s.Checked(ctx, runner.CheckReport{Name: "system", Kind: "system", Health: runner.HealthWarning, Answer: runner.HealthWarning, At: t0, Took: time.Millisecond, Values: map[string]float64{
		"cpu_percent": 12.5, "memory_percent": 83, "disk_percent": 91, "disk_percent.root": 40, "disk_percent.srv": 91,
	}})
	s.RequestBegan()
	s.RequestEnded(http.MethodGet, "/api/v1/runs/{id}", http.StatusOK, 150*time.Millisecond)
	s.Logged(slog.LevelWarn)
	s.LogLost()
	s.Happened(runner.Happening{Kind: "deploy", Subject: "api", Text: "1.4.2 rollback: errors"})
	s.Happened(runner.Happening{Kind: "failover", Subject: "db", Text: "by hand"})
	s.Loaded(t0, true)
	s.Remedied(runner.Remedy{Run: "r1", Workflow: "high-memory", Outcome: runner.OutcomeFixed})
	s.Remedied(runner.Remedy{Run: "r1", Workflow: "high-memory", Outcome: runner.OutcomeFixed})
	s.Figures(metrics.Figure{Name: "uptime", Value: 99.95, Target: 99.9, Known: true, Judged: true, Met: true})
	s.Sampled(runner.Sample{Series: "predictions.fraud", Value: 7}, runner.Sample{Series: "prediction_seconds.fraud", Value: 0.07})
}

// What a set shows is what it was told.
func TestSet(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{Version: "1.2.3", Commit: "abc", SeedNames: true})
	feed(s)
	unix := float64(t0.Unix())
	for _, want := range []struct {
		name   string
		labels []string
		value  float64
	}{
		{"upkeep_runs_total", []string{"state=warned", "workflow=daily"}, 1},
		{"upkeep_runs_total", []string{"state=failed", "workflow=daily"}, 0},
		{"upkeep_runs_running", []string{"workflow=daily"}, 0},
		{"upkeep_run_last_success_timestamp_seconds", []string{"workflow=daily"}, unix + 120},
		{"upkeep_run_last_success_timestamp_seconds", []string{"workflow=high-memory"}, 0},
		{"upkeep_run_last_completion_timestamp_seconds", []string{"workflow=daily"}, unix + 120},
		{"upkeep_run_last_duration_seconds", []string{"workflow=daily"}, 118},
		{"upkeep_run_next_timestamp_seconds", []string{"workflow=daily"}, unix + 86400},
		{"upkeep_run_next_timestamp_seconds", []string{"workflow=high-memory"}, -1},
		{"upkeep_run_start_delay_seconds", nil, 1},
		{"upkeep_attempts_total", []string{"state=succeeded", "workflow=daily", "workflow_job=daily.backup"}, 1},
		{"upkeep_attempt_duration_seconds", []string{"kind=pgbackup"}, 1},
		{"upkeep_backup_size_bytes", []string{"workflow=daily", "workflow_job=daily.backup"}, 1000},
		{"upkeep_backup_last_verified_timestamp_seconds", []string{"workflow=daily", "workflow_job=daily.backup"}, unix + 60},
		{"upkeep_backup_last_restored_timestamp_seconds", []string{"workflow=daily", "workflow_job=daily.backup"}, unix + 60},
		{"upkeep_slots_skipped_total", []string{"reason=missed", "workflow=daily"}, 3},
		{"upkeep_slots_skipped_total", []string{"reason=missed", "workflow=high-memory"}, -1},
		{"upkeep_check_status", []string{"check=system", "status=warning"}, 1},
		{"upkeep_check_status", []string{"check=system", "status=unknown"}, 0},
		{"upkeep_check_status", []string{"check=database", "status=unknown"}, 1},
		{"upkeep_check_runs_total", []string{"check=system", "status=warning"}, 1},
		{"upkeep_check_runs_total", []string{"check=database", "status=critical"}, 0},
		{"upkeep_host_disk_usage_ratio", []string{"mount=srv"}, 0.91},
		{"system_cpu_percent", nil, 12.5},
		{"system_memory_percent", nil, 83},
		{"system_disk_percent", nil, 40},
		{"api_requests_total", []string{"endpoint=/api/v1/runs/{id}", "method=GET", "status=success"}, 1},
		{"api_requests_total", []string{"endpoint=/api/v1/runs/{id}", "method=GET", "status=error"}, 0},
		{"upkeep_http_requests_in_flight", nil, 0},
		{"upkeep_http_requests_total", []string{"code=2xx"}, 1},
		{"upkeep_log_records_total", []string{"level=warn"}, 1},
		{"upkeep_log_records_lost_total", nil, 1},
		{"upkeep_deployments_total", []string{"result=rollback"}, 1},
		{"upkeep_events_total", []string{"kind=other"}, 1},
		{"upkeep_events_total", []string{"kind=packages"}, 1},
		{"upkeep_runbook_runs_total", []string{"outcome=fixed", "runbook=high-memory"}, 1},
		{"upkeep_kpi_met", []string{"kpi=uptime"}, 1},
		{"model_accuracy", []string{"model_name=fraud", "version=v2"}, 0.91},
		{"model_accuracy", []string{"model_name=all", "version="}, 0.93},
		{"model_accuracy_samples", []string{"model_name=fraud", "version=v2"}, 120},
		{"predictions_total", []string{"model_name=fraud"}, 7},
		{"model_prediction_duration_seconds", []string{"model_name=fraud"}, 1},
		{"upkeep_notices_total", []string{"channel=pager", "result=dead"}, 0},
		{"upkeep_incidents_total", []string{"severity=critical", "source=check"}, 0},
		{"upkeep_config_last_reload_successful", nil, 1},
		{"upkeep_metrics_series_refused_total", nil, 0},
		{"upkeep_build_info", []string{"commit=abc", "version=1.2.3"}, 1},
	} {
		if got := value(t, s, want.name, want.labels...); got != want.value {
			t.Errorf("%s%v is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
}

// The names, the types and the labels of everything that is exposed stand in a
// file: changing one breaks people's rules and dashboards.
func TestSet_Names(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{SeedNames: true})
	feed(s)
	// What only incidents and notices bring is there from the beginning.
	var b strings.Builder
	found := families(t, s)
	for _, name := range slices.Sorted(mapKeys(found)) {
		f := found[name]
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		fmt.Fprintf(&b, "%s %s {%s}\n", strings.ToLower(f.GetType().String()), name, strings.Join(slices.Sorted(mapKeys(labels)), ","))
	}
	golden := filepath.Join("testdata", "names.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the names changed (UPKEEP_TEST_UPDATE=1 writes the file anew):\n%s", diff)
	}
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Without the names of the guide there is none of them.
func TestSet_NoSeedNames(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{})
	feed(s)
	for name := range families(t, s) {
		if !strings.HasPrefix(name, "upkeep_") {
			t.Errorf("%s is there", name)
		}
	}
}

// Prometheus' own linter has nothing to say, as a library and as promtool.
func TestSet_Lint(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{SeedNames: true})
	feed(s)
	var text bytes.Buffer
	if err := s.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(bytes.NewReader(text.Bytes())).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v: %v", err, problems)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	promtool := exec.Command("promtool", "check", "metrics")
	promtool.Stdin = w.Body
	if out, err := promtool.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// The text has no timestamps, and Prometheus gets OpenMetrics when it asks.
func TestSet_Forms(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{SeedNames: true})
	feed(s)
	path := filepath.Join(t.TempDir(), "upkeep.prom")
	if err := s.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	for _, f := range families(t, s) {
		for _, m := range f.GetMetric() {
			if m.TimestampMs != nil {
				t.Errorf("%s has a timestamp", f.GetName())
			}
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"\ngo_", "\nprocess_"} {
		if bytes.Contains(written, []byte(other)) {
			t.Errorf("the textfile holds %s metrics, which its reader has too", strings.TrimSpace(other))
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
	if err := s.WriteFile(filepath.Join(t.TempDir(), "missing", "upkeep.prom")); err == nil {
		t.Error("a folder that is not there was made")
	}
	for accept, want := range map[string][2]string{
		"":                               {"text/plain; version=0.0.4", "go_goroutines"},
		"application/openmetrics-text":   {"application/openmetrics-text", "# EOF\n"},
		"text/plain;version=0.0.4;q=0.5": {"text/plain; version=0.0.4", "process_start_time_seconds"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), want[0]) || !strings.Contains(w.Body.String(), want[1]) {
			t.Errorf("accept %q: %d %s", accept, w.Code, w.Header().Get("Content-Type"))
		}
	}
}

// A reload removes the series of what is gone, keeps those of what stays, and
// makes those of what is new.
func TestSet_Configure(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{SeedNames: true})
	feed(s)
	s.Configure(metrics.Inventory{
		Workflows: []metrics.Workflow{{Name: "daily", Jobs: []string{"prune"}, Scheduled: true}}, Checks: []string{"api", "system"}, Channels: []string{"ops"},
	})
	var text bytes.Buffer
	if err := s.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{`"high-memory"`, `"database"`, `"pager"`, `daily.backup`} {
		if strings.Contains(text.String(), gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	if got := value(t, s, "upkeep_runs_total", "state=warned", "workflow=daily"); got != 1 {
		t.Errorf("the runs of daily were forgotten: %v", got)
	}
	if got := value(t, s, "upkeep_check_status", "check=system", "status=warning"); got != 1 {
		t.Errorf("the status of system was forgotten: %v", got)
	}
	if got := value(t, s, "upkeep_check_status", "check=api", "status=unknown"); got != 1 {
		t.Errorf("the new check is not there: %v", got)
	}
}

// A dry run changes nothing that people trust.
func TestSet_DryRun(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{SeedNames: true})
	run := runner.Run{ID: "r", Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}, DryRun: true}, StartedAt: t0}
	s.Observe(t.Context(), runner.RunStarted{Run: run})
	s.Observe(t.Context(), runner.AttemptEnded{Attempt: runner.Attempt{Run: "r", Job: "backup", Kind: "pgbackup", State: runner.Succeeded, StartedAt: t0, FinishedAt: t0.Add(1)}})
	run.State, run.FinishedAt = runner.Succeeded, t0.Add(time.Second)
	s.Observe(t.Context(), runner.RunEnded{Run: run})
	for name, labels := range map[string][]string{
		"upkeep_runs_total":                         {"state=succeeded", "workflow=daily"},
		"upkeep_run_last_success_timestamp_seconds": {"workflow=daily"},
		"upkeep_attempts_total":                     {"state=succeeded", "workflow=daily", "workflow_job=daily.backup"},
	} {
		if got := value(t, s, name, labels...); got != 0 {
			t.Errorf("%s is %v", name, got)
		}
	}
	// Neither does a run of some of the jobs count as a success of the workflow.
	run.DryRun, run.Jobs, run.ID = false, []string{"backup"}, "r2"
	s.Observe(t.Context(), runner.RunEnded{Run: run})
	if got := value(t, s, "upkeep_run_last_success_timestamp_seconds", "workflow=daily"); got != 0 {
		t.Errorf("a part is the whole: %v", got)
	}
}

// No label ever holds the ID of a run, the text of an error, or anything else
// that somebody outside made up; and there are never too many series.
func TestSet_Labels(t *testing.T) {
	t.Parallel()
	const poison = "poison"
	rapid.Check(t, func(rt *rapid.T) {
		const most = 600
		s := newSet(metrics.Options{SeedNames: true, Series: most})
		word := func(name string) string { return poison + rapid.StringN(0, 12, 40).Draw(rt, name) }
		workflow := rapid.SampledFrom([]string{"daily", word("workflow")})
		for range rapid.IntRange(1, 30).Draw(rt, "n") {
			id := runner.RunID(word("id"))
			run := runner.Run{
				ID: id, Request: runner.Request{Spec: runner.Spec{Workflow: workflow.Draw(rt, "w")}, By: word("by"), Trigger: runner.BySchedule},
				State: rapid.SampledFrom(runner.States()).Draw(rt, "state"), Reason: runner.ReasonError, Message: word("message"), StartedAt: t0, FinishedAt: t0,
			}
			s.Observe(rt.Context(), runner.RunStarted{Run: run})
			s.Observe(rt.Context(), runner.AttemptEnded{Attempt: runner.Attempt{
				Run: id, Job: rapid.SampledFrom([]string{"backup", word("job")}).Draw(rt, "j"), Kind: "script", State: runner.Failed, Error: word("error"),
				StartedAt: t0, FinishedAt: t0, Result: jobs.Result{Summary: word("summary"), Events: []jobs.Event{{Kind: word("kind"), Text: word("text")}}},
			}})
			s.Observe(rt.Context(), runner.RunEnded{Run: run})
			s.Skipped(run.Spec.Workflow, runner.Reason(word("reason")), 1)
			s.Checked(rt.Context(), runner.CheckReport{Name: word("check"), Kind: "system", Message: word("answer"), ErrorKind: word("kind")})
			s.Checked(rt.Context(), runner.CheckReport{Name: "system", Health: runner.Health(word("health")), Answer: runner.Health(word("answer"))})
			s.RequestBegan()
			s.RequestEnded(word("method"), "", rapid.IntRange(-1, 700).Draw(rt, "status"), time.Second)
			s.Happened(runner.Happening{Kind: word("kind"), Subject: word("subject"), Text: word("text")})
			s.Remedied(runner.Remedy{Run: id, Workflow: workflow.Draw(rt, "w"), Outcome: runner.Outcome(word("outcome"))})
			s.Logged(slog.Level(rapid.IntRange(-20, 20).Draw(rt, "level")))
			s.Sampled(runner.Sample{Series: fmt.Sprintf("accuracy.model%d.%d", rapid.IntRange(0, 100).Draw(rt, "m"), rapid.Int().Draw(rt, "v")), Value: 1})
		}
		n := 0
		for name, f := range families(rt, s) {
			for _, m := range f.GetMetric() {
				n++
				if h := m.GetHistogram(); h != nil {
					n += len(h.GetBucket()) + 1
				}
				for _, l := range m.GetLabel() {
					if strings.Contains(l.GetValue(), poison) {
						rt.Fatalf("%s has the label %s=%q", name, l.GetName(), l.GetValue())
					}
				}
			}
		}
		if n > most+1 {
			rt.Fatalf("%d series", n)
		}
		if got := value(rt, s, "upkeep_check_status", "check=system", "status=unknown"); got != 1 {
			rt.Fatalf("a word that is no health makes the check %v", got)
		}
	})
}

// What would be too many is refused and counted, and removing makes room.
func TestSet_Ceiling(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{SeedNames: true, Series: 400})
	for i := range 100 {
		s.RequestBegan()
		s.RequestEnded(http.MethodGet, fmt.Sprintf("/api/v1/%d", i), http.StatusOK, time.Millisecond)
	}
	refused := value(t, s, "upkeep_metrics_series_refused_total")
	if refused == 0 {
		t.Fatal("nothing was refused")
	}
	if got := value(t, s, "upkeep_http_requests_total", "code=2xx"); got != 100 {
		t.Errorf("of 100 requests %v were counted", got)
	}
	s.Configure(metrics.Inventory{Channels: []string{"late"}})
	if got := value(t, s, "upkeep_outbox_pending", "channel=late"); got != 0 {
		t.Errorf("there was no room after much was removed: %v", got)
	}
}

// Versions of models come and go: the three that were heard of last are shown.
func TestSet_Versions(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{SeedNames: true})
	for _, v := range []string{"1", "2", "3", "1", "4"} {
		s.Sampled(runner.Sample{Series: "accuracy.fraud." + v, Value: 0.9, At: t0})
	}
	var have []string
	for _, m := range families(t, s)["model_accuracy"].GetMetric() {
		have = append(have, m.GetLabel()[1].GetValue())
	}
	if diff := cmp.Diff([]string{"1", "3", "4"}, have); diff != "" {
		t.Error(diff)
	}
}

// scrape asks once; the answer must be whole.
func scrape(t *testing.T, url string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	_, err = parser.TextToMetricFamilies(r.Body)
	if closed := r.Body.Close(); err != nil || closed != nil || r.StatusCode != http.StatusOK {
		t.Errorf("%s: %v %v", r.Status, err, closed)
	}
}

// A thousand scrapes while runs go on: every answer is whole, and in the end
// nothing was lost.
func TestSet_Scrapes(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{SeedNames: true})
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	const workers, each, perScrape = 4, 250, 10
	// Each scrape makes work for the others, so that runs go on all the time.
	wanted := make(chan int, workers*each)
	var work, scrapes sync.WaitGroup
	for range workers {
		work.Go(func() {
			for n := range wanted {
				for i := range perScrape {
					run := runner.Run{ID: runner.RunID(fmt.Sprintf("%d-%d", n, i)), Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}}, StartedAt: t0}
					s.Observe(t.Context(), runner.RunStarted{Run: run})
					s.Observe(t.Context(), runner.AttemptEnded{Attempt: runner.Attempt{Run: run.ID, Job: "backup", Kind: "pgbackup", State: runner.Succeeded, StartedAt: t0, FinishedAt: t0.Add(1)}})
					run.State, run.FinishedAt = runner.Succeeded, t0.Add(time.Second)
					s.Observe(t.Context(), runner.RunEnded{Run: run})
				}
				if n%50 == 0 {
					s.Configure(inventory())
				}
			}
		})
	}
	for w := range workers {
		scrapes.Go(func() {
			for i := range each {
				wanted <- w*each + i
				scrape(t, server.URL)
			}
		})
	}
	scrapes.Wait()
	close(wanted)
	work.Wait()
	const total = workers * each * perScrape
	if got := value(t, s, "upkeep_runs_total", "state=succeeded", "workflow=daily"); got != total {
		t.Errorf("%v runs were counted of %d", got, total)
	}
	if got := value(t, s, "upkeep_runs_running", "workflow=daily"); got != 0 {
		t.Errorf("%v run", got)
	}
}
