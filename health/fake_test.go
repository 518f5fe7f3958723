package health_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// record is a ledger in memory, as far as a monitor knows one.
type record struct {
	runner.AlertReader

	mu      sync.Mutex
	open    map[string]runner.Fault
	log     []string // what was raised and cleared, with the seconds since the start
	faults  []runner.Fault
	cleared []time.Time
	start   time.Time
	series  map[string][]runner.Sample
	writes  int
	// broken is what every write answers.
	broken error
	// full makes new series be refused.
	full bool
}

func newRecord() *record {
	return &record{open: map[string]runner.Fault{}, series: map[string][]runner.Sample{}, start: time.Now()}
}

func (r *record) note(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf("%ds ", int(time.Since(r.start).Seconds()))+fmt.Sprintf(format, args...))
}

func (r *record) Raise(_ context.Context, f runner.Fault) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return false, r.broken
	}
	_, known := r.open[f.Fingerprint]
	r.open[f.Fingerprint] = f
	r.faults = append(r.faults, f)
	under := ""
	if f.Parent != "" {
		under = " under " + f.Parent
	}
	r.note("raise %s %s%s", f.Fingerprint, f.Severity, under)
	return !known, nil
}

func (r *record) Clear(_ context.Context, fingerprint string, at time.Time) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return false, r.broken
	}
	_, known := r.open[fingerprint]
	delete(r.open, fingerprint)
	r.note("clear %s", fingerprint)
	r.cleared = append(r.cleared, at)
	return known, nil
}

func (r *record) Owe(context.Context, ...runner.Notice) error {
	return errors.New("a monitor owes nothing")
}

func (r *record) Incidents(_ context.Context, f runner.IncidentFilter) ([]runner.Incident, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(f.States, []runner.IncidentState{runner.IncidentOpen}) {
		return nil, errors.New("only open ones matter")
	}
	var list []runner.Incident
	for _, fault := range r.open {
		list = append(list, runner.Incident{Fault: fault, State: runner.IncidentOpen, OpenedAt: fault.At})
	}
	return list, nil
}

func (r *record) Observe(_ context.Context, samples ...runner.Sample) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return r.broken
	}
	for _, s := range samples {
		if _, known := r.series[s.Series]; !known && r.full {
			return &jobs.RefusedError{Rail: "the number of series", Why: "enough"}
		}
	}
	r.writes++
	for _, s := range samples {
		r.series[s.Series] = append(r.series[s.Series], s)
	}
	return nil
}

func (r *record) Series(_ context.Context, prefix string) ([]runner.Series, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []runner.Series
	for name, samples := range r.series {
		if strings.HasPrefix(name, prefix) {
			last := samples[len(samples)-1]
			list = append(list, runner.Series{Name: name, First: samples[0].At, Last: last.At, Value: last.Value})
		}
	}
	return list, nil
}

func (r *record) Samples(_ context.Context, f runner.SampleFilter) ([]runner.Stretch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []runner.Stretch
	for _, s := range r.series[f.Series] {
		if !s.At.Before(f.Since) && s.At.Before(f.Until) {
			list = append(list, runner.Stretch{At: s.At, Count: 1, Sum: s.Value, Low: s.Value, High: s.Value})
		}
	}
	return list[max(0, len(list)-f.Limit):], nil
}

func (r *record) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

func (r *record) values(series string) []float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []float64
	for _, s := range r.series[series] {
		list = append(list, s.Value)
	}
	return list
}

// probe answers as a test says.
type probe func(ctx context.Context, env *jobs.Env) (jobs.Result, error)

func (p probe) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) { return p(ctx, env) }

func good(context.Context, *jobs.Env) (jobs.Result, error) {
	return jobs.Result{Summary: "fine", Values: map[string]float64{"load": 1}}, nil
}

func bad(_ context.Context, env *jobs.Env) (jobs.Result, error) {
	env.Printf("dialing with hunter2hunter2")
	return jobs.Result{
		Summary: "refused for hunter2hunter2", Outputs: map[string]string{"error_kind": "tcp"}, Values: map[string]float64{"connect_seconds": 0.1},
		Findings: []jobs.Finding{{ID: "tcp:tcp", Severity: jobs.Critical, Text: "refused for hunter2hunter2"}},
	}, nil
}

func slow(context.Context, *jobs.Env) (jobs.Result, error) {
	return jobs.Result{Summary: "slow", Findings: []jobs.Finding{{ID: "tcp:latency", Severity: jobs.Warning, Text: "slow"}}}, nil
}

// world is what the probes of a test find, and may change at any time.
type world struct {
	mu     sync.Mutex
	probes map[string]probe
	asked  map[string]int
	opened error
}

func newWorld() *world { return &world{probes: map[string]probe{}, asked: map[string]int{}} }

func (w *world) is(name string, p probe) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes[name] = p
}

func (w *world) times(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[name]
}

func (w *world) Open(name string) (jobs.Job, []string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[name]++
	if w.opened != nil {
		return nil, []string{"hunter2hunter2"}, w.opened
	}
	return w.probes[name], []string{"hunter2hunter2"}, nil
}

// check is one with the guide's numbers.
func check(name string, needs ...string) health.Check {
	return health.Check{
		Name: name, Kind: "tcp", Impact: runner.ImpactOutage, Every: 30 * time.Second, RetryEvery: 10 * time.Second, Timeout: 6 * time.Second,
		FailAfter: 3, OKAfter: 2, DependsOn: needs, Digest: name,
	}
}

// fault is what the policy of alerts makes of a report, in short.
func fault(r runner.CheckReport, evidence ...runner.Evidence) runner.Fault {
	f := runner.Fault{
		Fingerprint: "check/" + r.Name, Check: r.Name, Severity: jobs.Warning, Title: r.Message, At: r.At,
		LastGood: r.LastGood, FirstBad: r.FirstBad, Evidence: evidence,
	}
	if r.Health == runner.HealthCritical {
		f.Severity = jobs.Critical
	}
	if r.Cause != "" {
		f.Parent = "check/" + r.Cause
	}
	return f
}

// start runs a monitor until the test or stop ends it.
func start(t *testing.T, w *world, r *record, change func(*health.Options), checks ...health.Check) (m *health.Monitor, stop func()) {
	t.Helper()
	for _, c := range checks {
		if _, known := w.probes[c.Name]; !known {
			w.is(c.Name, good)
		}
	}
	o := health.Options{
		Checks: checks, Prober: w, Incidents: r, Known: r, Samples: r, Past: r, Fault: fault, Env: jobs.Env{Node: "n", WorkDir: t.TempDir()},
	}
	if change != nil {
		change(&o)
	}
	m = health.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return m, stop
}

// of returns the report of a check.
func of(t *testing.T, m *health.Monitor, name string) runner.CheckReport {
	t.Helper()
	for _, r := range m.Reports(t.Context()) {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("there is no report of %s", name)
	return runner.CheckReport{}
}

// raised returns every fault that was raised.
func (r *record) raised() []runner.Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.faults)
}

// opened returns the faults that are open.
func (r *record) opened() map[string]runner.Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.open)
}

// ends returns as of when incidents were cleared.
func (r *record) ends() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.cleared)
}

// forget begins to note anew.
func (r *record) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = nil
}
