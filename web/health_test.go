package web_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// monitor is one with some checks.
type monitor struct {
	mu     sync.Mutex
	checks []api.Check
	fresh  int
	pings  map[string]api.PingRequest
}

func (m *monitor) Checks(_ context.Context, fresh bool, names ...string) ([]api.Check, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if fresh {
		m.fresh++
	}
	var list []api.Check
	for _, c := range m.checks {
		if len(names) == 0 || slices.Contains(names, c.Name) {
			list = append(list, c)
		}
	}
	if len(names) > len(list) {
		return nil, api.NewProblem(api.CodeNotFound, "", "there is no such check")
	}
	return list, nil
}

// Public knows one slug.
func (m *monitor) Public(slug string) bool { return slug == "open-3f9c1d7e5b2a8064" }

func (m *monitor) Ping(_ context.Context, slug string, p api.PingRequest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slug == "nobody" {
		return api.NewProblem(api.CodeNotFound, "", "there is no heartbeat")
	}
	if m.pings == nil {
		m.pings = map[string]api.PingRequest{}
	}
	m.pings[slug] = p
	return nil
}

// checked is the health of the guide's five components, as reports.
func checked(at time.Time) []api.Check {
	reports := []runner.CheckReport{
		{
			Name: "system", Kind: "system", Impact: runner.ImpactDegraded, Health: runner.HealthWarning, Answer: runner.HealthWarning, Phase: runner.CheckFailing,
			Message: "memory at 83.1 %", At: at, Values: map[string]float64{"cpu_percent": 12.5, "memory_percent": 83.1, "disk_percent": 40, "available_memory_bytes": 3 << 30},
		},
		{Name: "database", Kind: "pgping", Impact: runner.ImpactOutage, Health: runner.Healthy, Answer: runner.Healthy, Phase: runner.CheckWell, At: at, Took: time.Second, Values: map[string]float64{"total_seconds": 0.0021}},
		{
			Name: "redis", Kind: "redisping", Impact: runner.ImpactDegraded, Health: runner.HealthCritical, Answer: runner.HealthCritical, Phase: runner.CheckFailing,
			At: at, Took: 1500 * time.Microsecond, Message: "refused", ErrorKind: "connect",
		},
		{Name: "mlflow", Kind: "http", Impact: runner.ImpactNone, Health: runner.HealthUnknown, Phase: runner.CheckWell},
		{Name: "api", Kind: "http", Impact: runner.ImpactOutage, Health: runner.Healthy, Answer: runner.Healthy, Phase: runner.CheckWell, At: at, Values: map[string]float64{"status": 200, "total_seconds": 0.014}},
	}
	var list []api.Check
	for _, r := range reports {
		list = append(list, api.NewCheck(r, time.Minute))
	}
	return list
}

// get asks a handler as somebody, or nobody.
func get(t *testing.T, m *monitor, who *web.Identity, method, target string, header http.Header, body string) *httptest.ResponseRecorder {
	t.Helper()
	o := newFake().options()
	o.Monitor = nil
	if m != nil {
		o.Monitor = m
	}
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	maps.Copy(r.Header, header)
	if who != nil {
		r = r.WithContext(web.Identify(r.Context(), *who))
	}
	w := httptest.NewRecorder()
	web.New(o).Handler().ServeHTTP(w, r)
	return w
}

var friend = &web.Identity{Name: "anna", Role: web.Admin}

// TestSystemHealth shows the guide's shape.
func TestSystemHealth(t *testing.T) {
	t.Parallel()
	m := &monitor{checks: checked(time.Now().Add(-4 * time.Second))}
	w := get(t, m, friend, http.MethodGet, "/health?fresh=1", nil, "")
	if w.Code != http.StatusServiceUnavailable || m.fresh != 1 {
		t.Errorf("status %d, asked anew %d times", w.Code, m.fresh)
	}
	var got struct {
		Timestamp     float64                   `json:"timestamp"`
		OverallStatus string                    `json:"overall_status"`
		Components    map[string]map[string]any `json:"components"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if age := float64(time.Now().Unix()) - got.Timestamp; age < -2 || age > 60 || got.OverallStatus != "critical" {
		t.Errorf("%s", w.Body)
	}
	want := map[string]map[string]any{
		"system":   {"status": "warning", "cpu_percent": 12.5, "memory_percent": 83.1, "disk_percent": 40.0, "available_memory_gb": 3.0, "error": nil},
		"database": {"status": "healthy", "response_time_ms": 2.1, "connection": "active"},
		"redis":    {"status": "critical", "response_time_ms": 1.5, "connection": "failed", "error": "refused", "error_kind": "connect"},
		"mlflow":   {"status": "unknown", "age_seconds": nil},
		"api":      {"status": "healthy", "response_time_ms": 14.0, "status_code": 200.0},
	}
	for name, fields := range want {
		for field, value := range fields {
			if diff := cmp.Diff(value, got.Components[name][field]); diff != "" {
				t.Errorf("%s.%s: %s", name, field, diff)
			}
		}
	}
	if age, _ := got.Components["api"]["age_seconds"].(float64); age < 4 || age > 60 {
		t.Errorf("the age is %v", age)
	}
}

func TestSystemHealth_Anonymous(t *testing.T) {
	t.Parallel()
	m := &monitor{checks: checked(time.Now())}
	w := get(t, m, nil, http.MethodGet, "/health?fresh=1", nil, "")
	if w.Code != http.StatusServiceUnavailable || m.fresh != 0 || strings.Contains(w.Body.String(), "redis") || !strings.Contains(w.Body.String(), `"overall_status":"critical"`) {
		t.Errorf("nobody in particular gets %d %s", w.Code, w.Body)
	}
}

func TestSystemHealth_Standard(t *testing.T) {
	t.Parallel()
	m := &monitor{checks: checked(time.Now())}
	w := get(t, m, friend, http.MethodGet, "/health", http.Header{"Accept": {"text/html, application/health+json"}}, "")
	var d api.HealthDocument
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Header().Get("Content-Type") != "application/health+json" || w.Code != 503 {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	words := map[string]string{}
	for name, items := range d.Checks {
		words[name] = items[0].Status
		if (items[0].Status == "pass") != (items[0].Output == "") && items[0].Status == "pass" {
			t.Errorf("%s passes with output %q", name, items[0].Output)
		}
	}
	want := map[string]string{
		"system:cpu": "warn", "system:memory": "warn", "system:disk": "warn", "database:responseTime": "pass", "redis:responseTime": "fail", "mlflow": "warn", "api:responseTime": "pass",
	}
	if diff := cmp.Diff(want, words); diff != "" || d.Status != "fail" {
		t.Errorf("status %s, checks (-want +got):\n%s", d.Status, diff)
	}
	// What is not critical is answered with 200.
	m.checks = slices.DeleteFunc(m.checks, func(c api.Check) bool { return c.Name == "redis" })
	if w = get(t, m, friend, http.MethodGet, "/health", http.Header{"Accept": {"application/health+json"}}, ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"status":"warn"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOverall(t *testing.T) {
	t.Parallel()
	one := func(impact string, h runner.Health) api.Check { return api.Check{Impact: impact, Health: h} }
	tests := map[string]struct {
		checks []api.Check
		want   runner.Health
	}{
		"nothing":              {nil, runner.Healthy},
		"all well":             {[]api.Check{one("outage", runner.Healthy), one("none", runner.Healthy)}, runner.Healthy},
		"warning":              {[]api.Check{one("outage", runner.Healthy), one("none", runner.HealthWarning)}, runner.HealthWarning},
		"critical":             {[]api.Check{one("degraded", runner.HealthCritical), one("outage", runner.Healthy)}, runner.HealthCritical},
		"without impact":       {[]api.Check{one("none", runner.HealthCritical)}, runner.HealthWarning},
		"unknown and required": {[]api.Check{one("outage", runner.HealthUnknown), one("outage", runner.HealthWarning)}, runner.HealthUnknown},
		"unknown":              {[]api.Check{one("degraded", runner.HealthUnknown)}, runner.HealthWarning},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := api.Overall(test.checks); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, target, body string
		status               int
		want                 api.PingRequest
	}{
		"get":           {http.MethodGet, "/ping/nightly", "", 200, api.PingRequest{}},
		"below the API": {http.MethodGet, "/api/v1/ping/nightly", "", 200, api.PingRequest{}},
		"post":          {http.MethodPost, "/ping/nightly", "saved 3 tables\nin 4 s", 200, api.PingRequest{Text: "saved 3 tables\nin 4 s"}},
		"start":         {http.MethodGet, "/ping/nightly/start", "", 200, api.PingRequest{Start: true}},
		"fail":          {http.MethodPost, "/ping/nightly/fail", "no space", 200, api.PingRequest{Code: 1, Text: "no space"}},
		"code":          {http.MethodGet, "/ping/nightly/137", "", 200, api.PingRequest{Code: 137}},
		"zero":          {http.MethodGet, "/ping/nightly/0", "", 200, api.PingRequest{}},
		"no code":       {http.MethodGet, "/ping/nightly/256", "", 422, api.PingRequest{}},
		"no word":       {http.MethodGet, "/ping/nightly/begin", "", 422, api.PingRequest{}},
		"nobody":        {http.MethodGet, "/ping/nobody", "", 404, api.PingRequest{}},
		"long":          {http.MethodPost, "/ping/nightly", strings.Repeat("x", 20<<10), 200, api.PingRequest{Text: strings.Repeat("x", 10<<10)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &monitor{}
			w := get(t, m, friend, test.method, test.target, nil, test.body)
			if w.Code != test.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(test.want, m.pings["nightly"]); diff != "" {
				t.Errorf("ping (-want +got):\n%s", diff)
			}
		})
	}
	if w := get(t, &monitor{}, nil, http.MethodGet, "/ping/nightly", nil, ""); w.Code != http.StatusUnauthorized {
		t.Errorf("nobody in particular may ping: %d", w.Code)
	}
}

// A command in the foreground watches nothing, and says so.
func TestNoMonitor(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/health", "/api/v1/checks", "/ping/x"} {
		if w := get(t, nil, friend, http.MethodGet, target, nil, ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "unavailable") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// What a client reads is what the monitor said.
func TestChecks_RoundTrip(t *testing.T) {
	t.Parallel()
	f := newFake()
	m, d := f.monitor, start(t, f)
	rapid.Check(t, func(t *rapid.T) {
		healths := []runner.Health{runner.Healthy, runner.HealthWarning, runner.HealthUnknown, runner.HealthCritical}
		at := func(name string) time.Time { return times().Draw(t, name) }
		want := runner.CheckReport{
			Name: "c", Kind: texts().Draw(t, "kind"), Impact: pick(t, "impact", "outage", "degraded", "none"),
			Health: pick(t, "health", healths...), Answer: pick(t, "answer", healths...),
			Phase:   pick(t, "phase", runner.CheckWell, runner.CheckSuspect, runner.CheckFailing, runner.CheckRecovering),
			Message: texts().Draw(t, "message"), ErrorKind: texts().Draw(t, "error"), Cause: texts().Draw(t, "cause"),
			Values: map[string]float64{"a": rapid.Float64().Draw(t, "value")},
			At:     at("at"), Since: at("since"), LastGood: at("good"), FirstBad: at("bad"),
			Took: time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "took")), Every: time.Duration(rapid.Int64Range(1, 1e6).Draw(t, "every")) * time.Second,
		}
		m.checks = []api.Check{api.NewCheck(want, time.Minute)}
		got, err := d.client.Checks(context.Background(), true, "c")
		if err != nil || len(got.Checks) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if diff := cmp.Diff(want, got.Checks[0].Runner()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
