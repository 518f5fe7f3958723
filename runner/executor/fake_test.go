package executor_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
)

const runID runner.RunID = "01930000-0000-7000-8000-000000000001"

// memory is a ledger of one run in memory. The fields in front arrange faults;
// they are called without the lock, before the real thing.
type memory struct {
	onAdvance func(runner.Step) error
	onWatch   func() error
	// hang makes Advance wait until its context ends.
	hang    func(runner.Step) bool
	onClaim func() error
	// afterAdvance turns a committed step into an error: a lost answer.
	afterAdvance func(runner.Step) error

	mu       sync.Mutex
	run      runner.Run
	attempts []runner.Attempt
	outputs  map[runner.AttemptKey]runner.Output
	locks    map[string]runner.LockHolder
	steps    []runner.Step
	claims   int
	releases int
	past     []runner.Attempt
}

func newMemory() *memory {
	return &memory{
		run: runner.Run{
			ID: runID, State: runner.Queued,
			Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}, Trigger: runner.ByManual, Slot: time.Now().UTC()},
		},
		outputs: map[runner.AttemptKey]runner.Output{}, locks: map[string]runner.LockHolder{},
	}
}

func (m *memory) Claim(_ context.Context, id runner.RunID) (runner.Claim, runner.Run, error) {
	if m.onClaim != nil {
		if err := m.onClaim(); err != nil {
			return runner.Claim{}, runner.Run{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if id != m.run.ID {
		return runner.Claim{}, runner.Run{}, runner.ErrNotFound
	}
	if m.run.State.Final() {
		return runner.Claim{}, runner.Run{}, runner.ErrNotClaimable
	}
	m.claims++
	if len(m.attempts) > 0 { // of an earlier claim
		m.run.Epoch = max(m.run.Epoch, 1)
	}
	m.run.Epoch++
	m.run.State, m.run.Owner, m.run.Node = runner.Running, "me", "here"
	if m.run.StartedAt.IsZero() {
		m.run.StartedAt = time.Now().UTC()
	}
	for i, a := range m.attempts {
		if a.State == runner.Running && a.Planned == "" {
			m.attempts[i].State, m.attempts[i].Reason = runner.Lost, runner.ReasonCrash
			m.attempts[i].FinishedAt = time.Now().UTC()
		}
	}
	maps.DeleteFunc(m.locks, func(_ string, h runner.LockHolder) bool { return h.Run == id && !m.planned(h.Job) })
	return runner.Claim{Run: id, Owner: "me", Epoch: m.run.Epoch}, m.run, nil
}

func (m *memory) Advance(ctx context.Context, c runner.Claim, s runner.Step) ([]runner.Blocked, error) {
	if m.onAdvance != nil {
		if err := m.onAdvance(s); err != nil {
			return nil, err
		}
	}
	if m.hang != nil && m.hang(s) {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.Finish != nil && c.Epoch == m.run.Epoch && m.run.State == s.Finish.State {
		return nil, nil // repeated after a lost answer
	}
	if c.Epoch != m.run.Epoch || m.run.State != runner.Running {
		return nil, runner.ErrStale
	}
	m.steps = append(m.steps, s)
	for _, e := range s.Ended {
		if !e.Attempt.State.Final() {
			return nil, fmt.Errorf("attempt %v ended in state %s", e.Attempt.Key(), e.Attempt.State)
		}
		m.put(e.Attempt)
		m.outputs[e.Attempt.Key()] = e.Output
		maps.DeleteFunc(m.locks, func(_ string, h runner.LockHolder) bool { return h.Job == e.Attempt.Job && h.Run == m.run.ID })
	}
	var blocked []runner.Blocked
	for _, b := range s.Begun {
		if i := slices.IndexFunc(b.Locks, func(l string) bool {
			h, held := m.locks[l]
			return held && (h.Run != m.run.ID || h.Job != b.Attempt.Job)
		}); i >= 0 {
			blocked = append(blocked, runner.Blocked{Job: b.Attempt.Job, Lock: b.Locks[i], Holder: m.locks[b.Locks[i]]})
			continue
		}
		if i := slices.IndexFunc(m.attempts, func(a runner.Attempt) bool { return a.Key() == b.Attempt.Key() }); i >= 0 {
			if old := m.attempts[i]; old.State != runner.Running || old.Epoch != b.Attempt.Epoch {
				return nil, fmt.Errorf("attempt %v begins twice", b.Attempt.Key())
			}
		}
		for _, l := range b.Locks {
			m.locks[l] = runner.LockHolder{Lock: l, Run: m.run.ID, Job: b.Attempt.Job, Owner: "me"}
		}
		m.put(b.Attempt)
	}
	for job, what := range s.Planned {
		i := slices.IndexFunc(m.attempts, func(a runner.Attempt) bool { return a.Job == job && a.State == runner.Running })
		if i < 0 {
			return nil, fmt.Errorf("job %s plans a restart and does not run", job)
		}
		m.attempts[i].Planned = what
	}
	if s.Finish != nil {
		m.run.State, m.run.Reason, m.run.Message = s.Finish.State, s.Finish.Reason, s.Finish.Message
		m.run.FinishedAt = time.Now().UTC()
	}
	if m.afterAdvance != nil {
		return nil, m.afterAdvance(s)
	}
	return blocked, nil
}

// planned tells whether a job's running attempt planned a restart.
func (m *memory) planned(job string) bool {
	return slices.ContainsFunc(m.attempts, func(a runner.Attempt) bool {
		return a.Job == job && a.State == runner.Running && a.Planned != ""
	})
}

func (m *memory) put(a runner.Attempt) {
	at := slices.IndexFunc(m.attempts, func(b runner.Attempt) bool { return a.Key() == b.Key() })
	if at < 0 {
		m.attempts = append(m.attempts, a)
		return
	}
	m.attempts[at] = a
}

func (m *memory) Release(_ context.Context, c runner.Claim) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Epoch != m.run.Epoch || m.run.State != runner.Running {
		return runner.ErrStale
	}
	m.releases++
	m.run.Epoch++
	m.run.State = runner.Queued
	return nil
}

func (m *memory) Watch(_ context.Context, claims ...runner.Claim) ([]error, error) {
	if m.onWatch != nil {
		if err := m.onWatch(); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	causes := make([]error, len(claims))
	for i, c := range claims {
		switch {
		case c.Epoch != m.run.Epoch:
			causes[i] = runner.ErrStale
		case m.run.CanceledBy != "":
			causes[i] = &runner.CanceledError{By: m.run.CanceledBy}
		}
	}
	return causes, nil
}

func (m *memory) Attempts(context.Context, ...runner.RunID) ([]runner.Attempt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedStableFunc(slices.Values(m.attempts), func(a, b runner.Attempt) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.Job, b.Job), cmp.Compare(a.Number, b.Number))
	}), nil
}

func (m *memory) Past(_ context.Context, workflow, job string, except runner.RunID, limit int) ([]runner.Attempt, error) {
	if workflow != "daily" || job == "" || except != runID {
		return nil, fmt.Errorf("past of %s.%s without %s", workflow, job, except)
	}
	return m.past[:min(limit, len(m.past))], nil
}

// cancel sets the flag as Ledger.Cancel does.
func (m *memory) cancel(by string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run.CanceledBy = by
}

// take makes somebody else the owner.
func (m *memory) take() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run.Epoch++
	m.run.Owner = "somebody else"
}

func (m *memory) hold(lock string, h runner.LockHolder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locks[lock] = h
}

func (m *memory) free(lock string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.locks, lock)
}

func (m *memory) stepCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.steps)
}

// latest returns each job's latest attempt.
func (m *memory) latest() map[string]runner.Attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]runner.Attempt{}
	for _, a := range m.attempts {
		if a.Number >= out[a.Job].Number {
			out[a.Job] = a
		}
	}
	return out
}

// states writes latest as "state" or "state/reason".
func (m *memory) states() map[string]string {
	out := map[string]string{}
	for name, a := range m.latest() {
		out[name] = verdict(a.State, a.Reason)
	}
	return out
}

func (m *memory) verdict() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return verdict(m.run.State, m.run.Reason)
}

func verdict(s runner.State, r runner.Reason) string {
	if r == "" {
		return string(s)
	}
	return string(s) + "/" + string(r)
}

// compiler returns a plan that a test wrote.
type compiler struct {
	plan runner.Plan
	err  error
}

func (c compiler) Compile(context.Context, runner.Spec, map[string]string) (runner.Plan, error) {
	return c.plan, c.err
}

// work is a job whose code a test wrote.
type work struct {
	run   func(ctx context.Context, env *jobs.Env) (jobs.Result, error)
	locks []string
}

func (w work) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) { return w.run(ctx, env) }
func (w work) LockKeys() []string                                          { return w.locks }

type doing = func(ctx context.Context, env *jobs.Env) (jobs.Result, error)

// job plans a job.
func job(name string, run doing, change ...func(*runner.PlannedJob)) runner.PlannedJob {
	p := runner.PlannedJob{
		Name: name, Kind: "test",
		Build: func(runner.HistoryReader) (jobs.Job, []string, error) { return work{run: run}, nil, nil },
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

func needs(names ...string) func(*runner.PlannedJob) {
	return func(p *runner.PlannedJob) { p.Needs = names }
}

func when(w runner.When) func(*runner.PlannedJob) {
	return func(p *runner.PlannedJob) { p.When = w }
}

func onlyIf(text string) func(*runner.PlannedJob) {
	return func(p *runner.PlannedJob) { p.If = text }
}

func may(p *runner.PlannedJob) { p.ContinueOnError = true }

func fine(context.Context, *jobs.Env) (jobs.Result, error) { return jobs.Result{Summary: "fine"}, nil }

func fails(context.Context, *jobs.Env) (jobs.Result, error) {
	return jobs.Result{}, errors.New("it broke")
}

func finds(severities ...jobs.Severity) doing {
	return func(context.Context, *jobs.Env) (jobs.Result, error) {
		r := jobs.Result{}
		for i, s := range severities {
			r.Findings = append(r.Findings, jobs.Finding{ID: fmt.Sprintf("f%d", i), Severity: s, Text: "look at this"})
		}
		return r, nil
	}
}

// takes is a cooperative job that needs some time.
func takes(d time.Duration) doing {
	return func(ctx context.Context, _ *jobs.Env) (jobs.Result, error) {
		select {
		case <-time.After(d):
			return jobs.Result{}, nil
		case <-ctx.Done():
			return jobs.Result{}, fmt.Errorf("work: %w", context.Cause(ctx))
		}
	}
}

// witness keeps events.
type witness struct {
	mu     sync.Mutex
	events []runner.Event
}

func (w *witness) Observe(_ context.Context, e runner.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *witness) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events)
}

// of returns the events of one type.
func of[E runner.Event](w *witness) []E {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []E
	for _, e := range w.events {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

// bench is one run with everything around it.
type bench struct {
	ledger  *memory
	seen    *witness
	options executor.Options
}

func newBench(t *testing.T, planned ...runner.PlannedJob) *bench {
	t.Helper()
	b := &bench{ledger: newMemory(), seen: &witness{}}
	b.options = executor.Options{
		Ledger: b.ledger, Observer: b.seen, Node: "here", WorkDir: t.TempDir(), LiveDir: t.TempDir(),
		Compiler: compiler{plan: runner.Plan{Parallel: 4, KillGrace: time.Second, Root: "/", Jobs: planned}},
	}
	return b
}

// plan changes the plan.
func (b *bench) plan(change func(*runner.Plan)) {
	c := b.options.Compiler.(compiler)
	change(&c.plan)
	b.options.Compiler = c
}

func (b *bench) handle(ctx context.Context) { b.handleRun(ctx, runID) }

func (b *bench) handleRun(ctx context.Context, id runner.RunID) {
	executor.New(b.options).Handle(ctx, id)
}
