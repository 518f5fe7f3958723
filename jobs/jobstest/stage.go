package jobstest

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
)

// stage is one arranged world with the job in it.
type stage struct {
	fixture Fixture
	root    string
	runID   string
	deps    *Deps
	job     jobs.Job
	build   func() jobs.Job
}

func (f Fixture) stage(t *testing.T, kind jobs.Kind) *stage {
	t.Helper()
	return f.stageAt(t, kind, t.TempDir())
}

func (f Fixture) stageAt(t *testing.T, kind jobs.Kind, root string) *stage {
	t.Helper()
	s := &stage{fixture: f, root: root, runID: "run-" + rand.Text(), deps: NewDeps(t)}
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

// outcome is what one Run of a job left behind.
type outcome struct {
	result  jobs.Result
	err     error
	output  string
	log     string
	effects []string
}

// env is the world of one attempt on the stage.
func (s *stage) env(t *testing.T, out *Buffer, hooks jobs.Hooks) *jobs.Env {
	t.Helper()
	return jobs.NewEnv(jobs.Env{
		RunID: s.runID, Workflow: "nightly", Job: "work", Attempt: 1,
		Trigger: "manual", Slot: time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC), Node: "node-1", Version: "v0",
		Root: s.root, WorkDir: t.TempDir(), KillGrace: time.Second, Out: out,
	}, hooks)
}

// run runs the job once and proves what holds for every run: it returns, it
// leaves neither goroutines nor processes behind, and it keeps its secrets.
func (s *stage) run(ctx context.Context, t *testing.T, hooks jobs.Hooks) outcome {
	t.Helper()
	out, log := &Buffer{}, &Buffer{}
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
	env := s.env(t, out, hooks)
	env.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	arguments := watchArguments(s.fixture.Secrets)
	type ended struct {
		result jobs.Result
		err    error
	}
	done := make(chan ended, 1)
	inside(s.runID, func() {
		r, err := s.job.Run(ctx, env)
		done <- ended{r, err}
	})
	select {
	case e := <-done:
		s.job = s.build()
		mu.Lock()
		defer mu.Unlock()
		o := outcome{result: e.result, err: e.err, output: out.String(), log: log.String(), effects: slices.Clone(effects)}
		for _, leak := range arguments.stop() {
			t.Errorf("a secret stands in the arguments of a child process: %s", leak)
		}
		s.leavesNothing(t)
		s.keepsSecrets(t, o)
		return o
	case <-time.After(2 * s.fixture.Patience):
		t.Fatalf("the job did not return within %s", 2*s.fixture.Patience)
		return outcome{}
	}
}

// keepsSecrets looks for the secrets, whole and encoded, in everything that
// was said.
func (s *stage) keepsSecrets(t *testing.T, o outcome) {
	t.Helper()
	places := map[string]string{"output": o.output, "log": o.log, "result": encode(t, o.result)}
	for _, what := range o.effects {
		places["effects"] += what + "\n"
	}
	if o.err != nil {
		places["error"] = o.err.Error()
		places["hint"] = jobs.HintOf(o.err)
	}
	r := secret.NewRedactor(s.fixture.Secrets)
	for place, text := range places {
		if r.Scrub(text) != text {
			t.Errorf("a secret shows in the %s", place)
		}
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
