package web_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// fake is a daemon with its ledger in memory. Its methods may be called from
// several goroutines.
type fake struct {
	mu        sync.Mutex
	runs      map[runner.RunID]runner.Run
	attempts  map[runner.RunID][]runner.Attempt
	outputs   map[runner.AttemptKey]runner.Output
	pauses    map[string]runner.Pause
	incidents []runner.Incident
	silences  []runner.Silence
	notices   []runner.Notice
	samples   []runner.Sample
	events    []runner.Happening
	nodes     []api.Node
	workflows []web.Workflow
	successes map[string]time.Time
	shares    []runner.Share
	cursors   []runner.Cursor
	checks    []api.StatusCheck
	plan      api.Plan
	why       api.Why
	// calls are what was asked for, in words.
	calls []string
	// fail makes every method that can fail do so.
	fail error
	// planned is what Plan was asked for.
	planned  [2]time.Time
	draining bool
	idle     chan struct{}
	// hold, when it is not nil, keeps Run waiting until it is closed.
	hold chan struct{}
	// waiting is how many do.
	waiting int
	monitor *monitor
	// backups are what the stores hold.
	backups []api.Backup
}

func newFake() *fake {
	return &fake{
		runs: map[runner.RunID]runner.Run{}, attempts: map[runner.RunID][]runner.Attempt{},
		outputs: map[runner.AttemptKey]runner.Output{}, pauses: map[string]runner.Pause{},
		successes: map[string]time.Time{}, idle: make(chan struct{}), monitor: &monitor{},
	}
}

func (f *fake) options() web.Options {
	return web.Options{
		Runs: f, Slots: f, Alerts: f, Facts: f, KPIs: kpis{f}, Commands: commands{f}, Desk: desk{f}, Timelines: desk{f}, Notices: notices{f}, Raiser: raiser{}, Custody: &custody{work: idle}, Reports: reporter{}, Runbooks: runbooks{}, Databases: databases{}, Service: f, Catalog: catalog{f}, Definitions: definitions{f}, Cluster: catalog{f}, Strips: f, Artifacts: shelf{f}, Hub: web.NewHub(), Monitor: f.monitor,
		Logs: &levels{list: []api.LogLevel{{Level: "info", Configured: "info"}, {Logger: "http", Level: "debug", Changed: true, Until: new(time.Now())}}},
		Poll: 10 * time.Millisecond, Heartbeat: 20 * time.Millisecond,
	}
}

// put records runs and attempts.
func (f *fake) put(run runner.Run, attempts ...runner.Attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs[run.ID] = run
	for i := range attempts {
		attempts[i].Run = run.ID
	}
	f.attempts[run.ID] = attempts
}

// note remembers a call, and fails if that is wanted.
func (f *fake) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.fail
}

func (f *fake) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fake) setFail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *fake) Runs(_ context.Context, filter runner.Filter) ([]runner.Run, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	out := slices.DeleteFunc(slices.Collect(maps.Values(f.runs)), func(r runner.Run) bool {
		return filter.Workflow != "" && r.Spec.Workflow != filter.Workflow ||
			len(filter.States) > 0 && !slices.Contains(filter.States, r.State) ||
			len(filter.Triggers) > 0 && !slices.Contains(filter.Triggers, r.Trigger) ||
			!filter.Since.IsZero() && r.QueuedAt.Before(filter.Since) ||
			!filter.Until.IsZero() && !r.QueuedAt.Before(filter.Until) ||
			filter.Before != "" && r.ID >= filter.Before
	})
	slices.SortFunc(out, func(a, b runner.Run) int { return -cmp.Compare(a.ID, b.ID) })
	return out[:min(len(out), filter.Limit)], nil
}

func (f *fake) Run(_ context.Context, id string) (runner.Run, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return runner.Run{}, f.fail
	}
	var fits []runner.RunID
	for known := range f.runs {
		if strings.HasPrefix(string(known), id) {
			fits = append(fits, known)
		}
	}
	slices.Sort(fits)
	switch len(fits) {
	case 0:
		return runner.Run{}, fmt.Errorf("run %q: %w", id, runner.ErrNotFound)
	case 1:
		return f.runs[fits[0]], nil
	}
	return runner.Run{}, &runner.AmbiguousError{Prefix: id, IDs: fits}
}

func (f *fake) Attempts(_ context.Context, ids ...runner.RunID) ([]runner.Attempt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []runner.Attempt
	for _, id := range slices.Sorted(slices.Values(ids)) {
		out = append(out, f.attempts[id]...)
	}
	return out, f.fail
}

func (f *fake) Output(_ context.Context, key runner.AttemptKey) (runner.Output, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.outputs[key]
	if f.fail == nil && !ok {
		return o, fmt.Errorf("output: %w", runner.ErrNotFound)
	}
	return o, f.fail
}

func (f *fake) Past(_ context.Context, workflow, job string, except runner.RunID, limit int) ([]runner.Attempt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []runner.Attempt
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(f.runs))) {
		for _, a := range f.attempts[id] {
			if f.runs[id].Spec.Workflow == workflow && a.Job == job && id != except && a.State.Done() && len(out) < limit {
				out = append(out, a)
			}
		}
	}
	return out, f.fail
}

func (f *fake) Latest(_ context.Context, workflows []string) (map[string]runner.Run, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]runner.Run{}
	for _, id := range slices.Sorted(maps.Keys(f.runs)) {
		if r := f.runs[id]; slices.Contains(workflows, r.Spec.Workflow) {
			out[r.Spec.Workflow] = r
		}
	}
	return out, f.fail
}

func (f *fake) Slots(_ context.Context, workflow string, from, until time.Time, limit int) ([]runner.Run, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []runner.Run
	for _, id := range slices.Sorted(maps.Keys(f.runs)) {
		if r := f.runs[id]; r.Spec.Workflow == workflow && !r.Slot.Before(from) && r.Slot.Before(until) && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, f.fail
}

func (f *fake) Usual(_ context.Context, workflows []string) (map[string]runner.Usual, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]runner.Usual{}
	for _, name := range workflows {
		if len(f.runs) > 0 && name == "daily" {
			out[name] = runner.Usual{Runs: 3, Median: time.Minute, P95: 2 * time.Minute, Longest: 3 * time.Minute}
		}
	}
	return out, f.fail
}

func (f *fake) Recent(ctx context.Context, workflows []string, each int) (map[string][]runner.Run, error) {
	out := map[string][]runner.Run{}
	for _, name := range workflows {
		list, err := f.Runs(ctx, runner.Filter{Workflow: name, Limit: each})
		if err != nil {
			return nil, err
		}
		out[name] = list
	}
	return out, nil
}

func (f *fake) Successes(context.Context, []string) (map[string]time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.successes), f.fail
}

func (f *fake) Shares(context.Context, []string) ([]runner.Share, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.shares), f.fail
}

func (f *fake) Pauses(context.Context) ([]runner.Pause, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.Collect(maps.Values(f.pauses))
	slices.SortFunc(out, func(a, b runner.Pause) int { return cmp.Compare(a.Workflow, b.Workflow) })
	return out, f.fail
}

func (f *fake) Cursors(context.Context, string) ([]runner.Cursor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.cursors), f.fail
}

func (f *fake) Incidents(_ context.Context, filter runner.IncidentFilter) ([]runner.Incident, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(f.incidents), func(i runner.Incident) bool {
		return filter.Fingerprint != "" && i.Fingerprint != filter.Fingerprint ||
			len(filter.States) > 0 && !slices.Contains(filter.States, i.State) || filter.Before != "" && i.ID >= filter.Before
	})
	slices.SortFunc(out, func(a, b runner.Incident) int { return -cmp.Compare(a.ID, b.ID) })
	return out[:min(len(out), filter.Limit)], f.fail
}

func (f *fake) Incident(_ context.Context, id string) (runner.Incident, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.incidents {
		if strings.HasPrefix(i.ID, id) {
			return i, f.fail
		}
	}
	return runner.Incident{}, cmp.Or(f.fail, fmt.Errorf("incident %q: %w", id, runner.ErrNotFound))
}

func (f *fake) Notices(_ context.Context, filter runner.NoticeFilter) ([]runner.Notice, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(f.notices), func(n runner.Notice) bool {
		return filter.Incident != "" && n.Incident != filter.Incident || filter.Channel != "" && n.Channel != filter.Channel ||
			len(filter.States) > 0 && !slices.Contains(filter.States, n.State) || filter.Before != "" && n.ID >= filter.Before
	})
	slices.SortFunc(out, func(a, b runner.Notice) int { return -cmp.Compare(a.ID, b.ID) })
	return out[:min(len(out), filter.Limit)], f.fail
}
