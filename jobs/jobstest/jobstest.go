// Package jobstest is the harness that every kind of job passes: it proves
// what the contract in package jobs promises, on the real thing. It also holds
// the surroundings that kinds need in tests (Deps, a recording Env). Production
// code never imports it.
package jobstest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
)

// patience bounds what must happen "soon" by the contract. It is generous,
// because test machines are busy; only a hang exceeds it.
const patience = 30 * time.Second

// errStop is the cause with which the harness ends contexts.
var errStop = errors.New("jobstest: stop")

// Fixture is one configuration of a kind together with the world it acts on.
type Fixture struct {
	// Name names the subtest.
	Name string
	// Arrange makes the world of one run below root, an empty directory, and
	// fills in options, which is what Kind.Options returned. It is called for
	// every property of the contract with a new root.
	Arrange func(t *testing.T, root string, options any, deps *Deps)
	// World returns what the job may change beside the files below root and
	// the objects in the stores, in a form that cmp.Diff can compare; nil for
	// nothing.
	World func(t *testing.T) any
	// Effects tells that a run of this fixture changes something, so that a
	// dry run must announce at least one effect.
	Effects bool
	// Fails tells that the run must return an error that contains this text.
	Fails string
	// Refuses tells that the error must be a *jobs.RefusedError.
	Refuses bool
	// Secrets are texts that the job was given and that must never show.
	Secrets []string
	// Judge looks at the result of a successful run.
	Judge func(t *testing.T, root string, r jobs.Result)
}

// Exercise proves the contract on each fixture. The subtests are parallel.
func Exercise(t *testing.T, kind jobs.Kind, fixtures ...Fixture) {
	t.Helper()
	t.Run("Documented", func(t *testing.T) { t.Parallel(); checkDocumented(t, kind) })
	for _, f := range fixtures {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			t.Run("DryRunChangesNothing", func(t *testing.T) { t.Parallel(); f.dryRun(t, kind) })
			t.Run("CheckChangesNothing", func(t *testing.T) { t.Parallel(); f.check(t, kind) })
			t.Run("RunsAndConverges", func(t *testing.T) { t.Parallel(); f.runTwice(t, kind) })
			t.Run("DeadContextChangesNothing", func(t *testing.T) { t.Parallel(); f.deadContext(t, kind) })
			if f.Effects && f.Fails == "" && !f.Refuses {
				t.Run("StopsAtAnEffectAndConverges", func(t *testing.T) { t.Parallel(); f.stopAtEffect(t, kind) })
			}
		})
	}
}

// stage is one arranged world with the job in it.
type stage struct {
	fixture Fixture
	root    string
	deps    *Deps
	job     jobs.Job
	build   func() jobs.Job
}

func (f Fixture) stage(t *testing.T, kind jobs.Kind) *stage {
	t.Helper()
	s := &stage{fixture: f, root: t.TempDir(), deps: NewDeps(t)}
	options := kind.Options()
	f.Arrange(t, s.root, options, s.deps)
	s.build = func() jobs.Job {
		job, err := kind.Build(options, s.deps)
		if err != nil {
			t.Fatalf("build %s: %v", kind.Name, err)
		}
		return job
	}
	s.job = s.build()
	return s
}

// world is everything that a job could have changed.
type world struct {
	Files  map[string]string
	Stores map[string]map[string]string
	Other  any
}

func (s *stage) world(t *testing.T) world {
	t.Helper()
	w := world{Files: Tree(t, s.root), Stores: s.deps.contents(t)}
	if s.fixture.World != nil {
		w.Other = s.fixture.World(t)
	}
	return w
}

// outcome is what one Run of a job left behind.
type outcome struct {
	result  jobs.Result
	err     error
	output  string
	effects []string
}

// run runs the job once. onEffect is called before each effect.
func (s *stage) run(ctx context.Context, t *testing.T, hooks jobs.Hooks) outcome {
	t.Helper()
	out := &Buffer{}
	var mu sync.Mutex
	var effects []string
	outer := hooks.Effect
	hooks.Effect = func(what string) {
		mu.Lock()
		effects = append(effects, what)
		mu.Unlock()
		if outer != nil {
			outer(what)
		}
	}
	env := jobs.NewEnv(jobs.Env{
		RunID: "0197a0c0-0000-7000-8000-00000000000" + "1", Workflow: "nightly", Job: "work", Attempt: 1,
		Trigger: "manual", Slot: time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC), Node: "node-1",
		Root: s.root, WorkDir: t.TempDir(), KillGrace: time.Second, Out: out,
	}, hooks)
	type ended struct {
		result jobs.Result
		err    error
	}
	done := make(chan ended, 1)
	go func() {
		r, err := s.job.Run(ctx, env)
		done <- ended{r, err}
	}()
	select {
	case e := <-done:
		s.job = s.build()
		mu.Lock()
		defer mu.Unlock()
		o := outcome{result: e.result, err: e.err, output: out.String(), effects: effects}
		s.keepsSecrets(t, o)
		return o
	case <-time.After(2 * patience):
		t.Fatalf("the job did not return within %s", 2*patience)
		return outcome{}
	}
}

func (s *stage) keepsSecrets(t *testing.T, o outcome) {
	t.Helper()
	places := map[string]string{"output": o.output, "effects": strings.Join(o.effects, "\n"), "result": encode(t, o.result)}
	if o.err != nil {
		places["error"] = o.err.Error() + jobs.HintOf(o.err)
	}
	for _, secret := range s.fixture.Secrets {
		for place, text := range places {
			if strings.Contains(text, secret) {
				t.Errorf("the secret shows in the %s", place)
			}
		}
	}
}

func (f Fixture) dryRun(t *testing.T, kind jobs.Kind) {
	s := f.stage(t, kind)
	before := s.world(t)
	o := s.run(t.Context(), t, jobs.Hooks{DryRun: true})
	if diff := cmp.Diff(before, s.world(t)); diff != "" {
		t.Errorf("a dry run changed the world (-before +after):\n%s", diff)
	}
	if len(o.effects) > 0 {
		t.Errorf("a dry run did effects: %q", o.effects)
	}
	if f.Effects && f.Fails == "" && !f.Refuses && !strings.Contains(o.output, "would ") {
		t.Errorf("a dry run announced nothing; output:\n%s", o.output)
	}
}

func (f Fixture) check(t *testing.T, kind jobs.Kind) {
	s := f.stage(t, kind)
	checker, ok := s.job.(jobs.Checker)
	if !ok {
		return
	}
	before := s.world(t)
	env := jobs.NewEnv(jobs.Env{Root: s.root, WorkDir: t.TempDir(), Workflow: "nightly", Job: "work"}, jobs.Hooks{DryRun: true})
	if err := checker.Check(t.Context(), env); err != nil && f.Fails == "" {
		t.Errorf("check: %v", err)
	}
	if diff := cmp.Diff(before, s.world(t)); diff != "" {
		t.Errorf("a check changed the world (-before +after):\n%s", diff)
	}
}

func (f Fixture) runTwice(t *testing.T, kind jobs.Kind) {
	s := f.stage(t, kind)
	first := s.run(t.Context(), t, jobs.Hooks{})
	if f.judgeError(t, first) {
		return
	}
	checkResult(t, first.result)
	if f.Effects && len(first.effects) == 0 {
		t.Error("the run did no effect through Env.Effect")
	}
	if kind.Probe && len(first.effects) > 0 {
		t.Errorf("a probe did effects: %q", first.effects)
	}
	if f.Judge != nil {
		f.Judge(t, s.root, first.result)
	}
	second := s.run(t.Context(), t, jobs.Hooks{})
	if second.err != nil {
		t.Errorf("the second run failed, so repeating is not safe: %v", second.err)
	}
}

// judgeError compares the outcome with what the fixture wants and tells
// whether the story ends here.
func (f Fixture) judgeError(t *testing.T, o outcome) bool {
	t.Helper()
	switch {
	case f.Fails == "" && !f.Refuses:
		if o.err != nil {
			t.Fatalf("run: %v\noutput:\n%s", o.err, o.output)
		}
		return false
	case o.err == nil:
		t.Fatalf("the run succeeded, want an error; summary %q", o.result.Summary)
	case !strings.Contains(o.err.Error(), f.Fails):
		t.Errorf("error %q does not contain %q", o.err, f.Fails)
	}
	_, refused := errors.AsType[*jobs.RefusedError](o.err)
	if refused != f.Refuses {
		t.Errorf("refused by a rail = %v, want %v (%v)", refused, f.Refuses, o.err)
	}
	return true
}

func (f Fixture) deadContext(t *testing.T, kind jobs.Kind) {
	s := f.stage(t, kind)
	before := s.world(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStop)
	o := s.run(ctx, t, jobs.Hooks{})
	if o.err == nil {
		t.Error("the run succeeded under a dead context")
	} else if f.Fails == "" && !f.Refuses && !errors.Is(o.err, errStop) {
		t.Errorf("error %q does not wrap the context's cause", o.err)
	}
	if diff := cmp.Diff(before, s.world(t)); diff != "" {
		t.Errorf("a run under a dead context changed the world (-before +after):\n%s", diff)
	}
}

func (f Fixture) stopAtEffect(t *testing.T, kind jobs.Kind) {
	s := f.stage(t, kind)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	stopped := s.run(ctx, t, jobs.Hooks{Effect: func(string) { cancel(errStop) }})
	if len(stopped.effects) == 0 {
		t.Fatal("no effect was reached, so nothing was stopped")
	}
	if stopped.err != nil && !errors.Is(stopped.err, errStop) {
		t.Errorf("error %q does not wrap the context's cause", stopped.err)
	}
	if again := s.run(t.Context(), t, jobs.Hooks{}); again.err != nil {
		t.Errorf("after a stop the next run fails, so it does not converge: %v", again.err)
	}
}

// Buffer is a bytes.Buffer that several goroutines may write to.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
