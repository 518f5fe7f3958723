package runbook_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/runner"
)

// world is a ledger, an executor and a monitor of checks in memory.
type world struct {
	mu       sync.Mutex
	book     runbook.Runbook
	reports  map[string]runner.CheckReport
	runs     []runner.Run // the newest last
	remedies map[runner.RunID]runner.Remedy
	pauses   []runner.Pause
	opened   []runner.Incident
	holders  []runner.LockHolder
	locks    []string
	held     error
	// elsewhere tells that another node asks the check.
	elsewhere bool
	told      []string
	asked     []runner.RunID
	raised    map[string]string
	samples   map[string][]runner.Stretch
	// fail makes the next so many writes of remedies fail.
	fail int

	engine *runbook.Engine
	stop   context.CancelFunc
	done   chan struct{}
}

func newWorld(b runbook.Runbook) *world {
	return &world{book: b, reports: map[string]runner.CheckReport{}, remedies: map[runner.RunID]runner.Remedy{}, raised: map[string]string{}, samples: map[string][]runner.Stretch{}}
}

// book is a runbook for tests.
func book() runbook.Runbook {
	return runbook.Runbook{
		Name: "mend", Mode: runbook.Auto, Trigger: runbook.Trigger{Check: "api", Is: runner.HealthCritical, For: time.Minute},
		Limits: runbook.Limits{Cooldown: 30 * time.Minute, Max: 2, Per: 24 * time.Hour, Grace: 2 * time.Minute},
	}
}

// start begins a process.
func (w *world) start(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w.stop, w.done = stop, make(chan struct{})
	w.engine = runbook.New(runbook.Options{
		Runbooks:  func() []runbook.Runbook { w.mu.Lock(); defer w.mu.Unlock(); return []runbook.Runbook{w.book} },
		Locks:     func(string) []string { w.mu.Lock(); defer w.mu.Unlock(); return w.locks },
		Held:      func() error { w.mu.Lock(); defer w.mu.Unlock(); return w.held },
		Elsewhere: func(string) bool { w.mu.Lock(); defer w.mu.Unlock(); return w.elsewhere },
		Records:   w, Remedies: w, Actions: w, Checks: w, Past: w,
	})
	engine, done := w.engine, w.done
	go func() {
		defer close(done)
		if err := engine.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
}

// kill ends a process and starts the next.
func (w *world) kill(t *testing.T) {
	t.Helper()
	w.stop()
	<-w.done
	w.start(t)
}

// answer is one answer of a check, judged; it returns when all that follows is
// done.
func (w *world) answer(name string, h runner.Health, change ...func(*runner.CheckReport)) {
	now := time.Now()
	phase := runner.CheckWell
	if h != runner.Healthy {
		phase = runner.CheckFailing
	}
	r := runner.CheckReport{
		Name: name, Kind: "tcp", Impact: runner.ImpactOutage, Health: h, Answer: h, Phase: phase, At: now, Since: now, Every: 30 * time.Second, Message: "it says " + string(h),
	}
	for _, c := range change {
		c(&r)
	}
	w.mu.Lock()
	w.reports[name] = r
	w.sample(name, "up", now, map[bool]float64{true: 0, false: 1}[h == runner.HealthCritical])
	if rank := slices.Index([]runner.Health{runner.Healthy, runner.HealthUnknown, runner.HealthWarning, runner.HealthCritical}, h); rank > 0 {
		if r.ErrorKind == "connect" {
			rank += 20
		}
		w.sample(name, "bad", now, float64(rank))
	}
	for value, v := range r.Values {
		w.sample(name, value, now, v)
	}
	w.mu.Unlock()
	w.engine.Checked(context.Background(), r)
	synctest.Wait()
}

func (w *world) sample(check, what string, at time.Time, v float64) {
	series := "check." + check + "." + what
	w.samples[series] = append(w.samples[series], runner.Stretch{At: at, Count: 1, Sum: v, Low: v, High: v})
}

func (w *world) Samples(_ context.Context, f runner.SampleFilter) ([]runner.Stretch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.samples[f.Series]), func(s runner.Stretch) bool { return s.At.Before(f.Since) || !s.At.Before(f.Until) }), nil
}

func (w *world) Series(context.Context, string) ([]runner.Series, error) { return nil, nil }

// answers asks a check every 30 seconds for a while.
func (w *world) answers(name string, h runner.Health, d time.Duration, change ...func(*runner.CheckReport)) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(30 * time.Second) {
		w.answer(name, h, change...)
	}
}

// end ends the newest run.
func (w *world) end(s runner.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	run := &w.runs[len(w.runs)-1]
	if run.StartedAt.IsZero() {
		run.StartedAt = time.Now()
	}
	run.State, run.FinishedAt = s, time.Now()
}

func (w *world) outcomes() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var words []string
	for _, run := range w.runs {
		r, ok := w.remedies[run.ID]
		if !ok {
			words = append(words, "none")
			continue
		}
		words = append(words, string(r.Outcome))
	}
	return strings.Join(words, " ")
}

func (w *world) story() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.told, "\n")
}

func (w *world) Start(_ context.Context, b runbook.Runbook, why string) (runner.Submission, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	run := runner.Run{
		ID: runner.RunID(fmt.Sprintf("run-%d", len(w.runs)+1)), State: runner.Running, QueuedAt: now, StartedAt: now,
		Request: runner.Request{Spec: runner.Spec{Workflow: b.Name}, Trigger: runner.ByCheck, By: why, DryRun: b.Mode == runbook.Observe, Approval: b.Mode == runbook.Approve},
	}
	if run.Approval {
		run.State, run.StartedAt = runner.Queued, time.Time{}
	}
	w.runs = append(w.runs, run)
	return runner.Submission{Run: run.ID, State: runner.Queued}, nil
}

func (w *world) Drop(_ context.Context, id runner.RunID, why string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.runs {
		if w.runs[i].ID == id {
			w.runs[i].State, w.runs[i].CanceledBy, w.runs[i].FinishedAt = runner.Canceled, why, time.Now()
		}
	}
	return nil
}

func (w *world) Disable(_ context.Context, b runbook.Runbook, _ runner.RunID, why string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pauses = []runner.Pause{{Workflow: b.Name, By: "upkeep", Why: why, Since: time.Now()}}
	w.raised[runbook.Fingerprint(b.Name)] = why
	return nil
}

func (w *world) Enable(_ context.Context, b runbook.Runbook) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.raised, runbook.Fingerprint(b.Name))
	return nil
}

func (w *world) Tell(_ context.Context, _ runbook.Runbook, text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, text)
	return nil
}

func (w *world) Ask(_ context.Context, _ runbook.Runbook, run runner.RunID, _ string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, run)
	return nil
}

func (w *world) Runs(_ context.Context, f runner.Filter) ([]runner.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []runner.Run
	for _, run := range slices.Backward(w.runs) {
		if len(f.States) > 0 && !slices.Contains(f.States, run.State) || len(f.Triggers) > 0 && !slices.Contains(f.Triggers, run.Trigger) || run.QueuedAt.Before(f.Since) {
			continue
		}
		list = append(list, run)
	}
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list, nil
}

func (w *world) Run(_ context.Context, id string) (runner.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, run := range w.runs {
		if string(run.ID) == id {
			return run, nil
		}
	}
	return runner.Run{}, runner.ErrNotFound
}

func (w *world) Pauses(context.Context) ([]runner.Pause, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.pauses), nil
}

func (w *world) Incidents(context.Context, runner.IncidentFilter) ([]runner.Incident, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.opened), nil
}

func (w *world) Locks(context.Context) ([]runner.LockHolder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.holders), nil
}

func (w *world) PutRemedy(_ context.Context, r runner.Remedy) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail > 0 {
		w.fail--
		return runner.ErrUnavailable
	}
	w.remedies[r.Run] = r
	return nil
}

func (w *world) Remedies(_ context.Context, f runner.RemedyFilter) ([]runner.Remedy, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []runner.Remedy
	for _, run := range slices.Backward(w.runs) {
		if r, ok := w.remedies[run.ID]; ok {
			list = append(list, r)
		}
	}
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list, nil
}

func (w *world) Reports(context.Context) []runner.CheckReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []runner.CheckReport
	for _, r := range w.reports {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b runner.CheckReport) int { return strings.Compare(a.Name, b.Name) })
	return list
}
