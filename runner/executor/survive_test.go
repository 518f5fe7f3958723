package executor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
)

// survivor is a job that ends upkeep.
type survivor struct {
	work

	judge func(ctx context.Context, env *jobs.Env, since time.Time) (jobs.Result, error)
}

func (s survivor) Judge(ctx context.Context, env *jobs.Env, since time.Time) (jobs.Result, error) {
	return s.judge(ctx, env, since)
}

// surviving plans a job that ends upkeep.
func surviving(name string, run doing, judge func(context.Context, *jobs.Env, time.Time) (jobs.Result, error), change ...func(*runner.PlannedJob)) runner.PlannedJob {
	p := job(name, run, change...)
	p.Build = func(runner.HistoryReader) (jobs.Job, []string, error) {
		return survivor{work{run: run}, judge}, nil, nil
	}
	return p
}

// restarts is a job that plans a restart and then waits for its end, which
// must not come by its context.
func restarts(t *testing.T, planned chan<- *jobs.Env, gone <-chan struct{}) doing {
	return func(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
		env.Printf("before")
		if err := os.WriteFile(filepath.Join(env.WorkDir, "kept"), nil, 0o600); err != nil {
			t.Error(err)
		}
		if err := env.PlanRestart(ctx, "restart"); err != nil {
			return jobs.Result{}, err
		}
		planned <- env
		select {
		case <-ctx.Done():
			t.Error("the attempt was ended")
		case <-gone:
		}
		return jobs.Result{}, errors.New("nobody listens")
	}
}

func TestHandle_PlannedRestart(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *bench, x *executor.Executor, stop context.CancelCauseFunc){
		"Drain": func(_ *bench, x *executor.Executor, _ context.CancelCauseFunc) { x.Drain() },
		"Stop":  func(_ *bench, _ *executor.Executor, stop context.CancelCauseFunc) { stop(runner.ErrShutdown) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				planned, gone := make(chan *jobs.Env, 1), make(chan struct{})
				var since time.Time
				judged := 0
				judge := func(_ context.Context, env *jobs.Env, at time.Time) (jobs.Result, error) {
					since = at
					judged++
					if _, err := os.Stat(filepath.Join(env.WorkDir, "kept")); err != nil {
						t.Errorf("the private folder did not survive: %v", err)
					}
					env.Printf("after")
					return jobs.Result{Summary: "all is well"}, nil
				}
				b := newBench(t, surviving("up", restarts(t, planned, gone), judge), job("beside", takes(time.Minute)), job("next", fine, needs("up")))
				stopping, stop := context.WithCancelCause(context.Background())
				b.options.Stop = stopping
				began := time.Now().UTC()
				x := executor.New(b.options)
				over := make(chan struct{})
				go func() { x.Handle(t.Context(), runID); close(over) }()
				env := <-planned
				time.Sleep(time.Second)
				end(b, x, stop)
				<-over
				want := map[string]string{"up": "running", "beside": "succeeded"}
				if name == "Stop" {
					want["beside"] = "canceled/shutdown"
				} else if took := time.Since(began); took != time.Minute {
					t.Errorf("drained after %s, want that only the other job was waited for", took)
				}
				if diff := cmp.Diff(want, b.ledger.states()); diff != "" || b.ledger.verdict() != "queued" || b.ledger.latest()["up"].Planned != "restart" {
					t.Errorf("given back as %s, %+v (-want +got):\n%s", b.ledger.verdict(), b.ledger.latest()["up"], diff)
				}
				if _, err := os.Stat(env.WorkDir); err != nil {
					t.Errorf("the private folder is gone: %v", err)
				}

				close(gone) // the process ends
				synctest.Wait()
				b.options.Stop = nil
				b.handle(t.Context())
				want = map[string]string{"up": "succeeded", "beside": "succeeded", "next": "succeeded"}
				if diff := cmp.Diff(want, b.ledger.states()); diff != "" || b.ledger.verdict() != "succeeded" {
					t.Errorf("judged as %s (-want +got):\n%s", b.ledger.verdict(), diff)
				}
				up := b.ledger.latest()["up"]
				if up.Number != 1 || up.Result.Summary != "all is well" || !since.Equal(up.StartedAt) || judged != 1 {
					t.Errorf("attempt %+v, judged %d times since %s", up, judged, since)
				}
				out := b.ledger.outputs[up.Key()]
				if got := string(out.Head); got != "before\n-- upkeep has been started again; the job had planned to restart\nafter\n" || up.OutputBytes != int64(len(got)) {
					t.Errorf("output %q of %d bytes", got, up.OutputBytes)
				}
				if _, err := os.Stat(env.WorkDir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the private folder is still there: %v", err)
				}
				if left, err := os.ReadDir(b.options.LiveDir); err != nil || len(left) > 0 {
					t.Errorf("live output is left: %v, %v", left, err)
				}
			})
		})
	}
}

func TestHandle_PlannedRestartEndsOtherwise(t *testing.T) {
	t.Parallel()
	running := func() runner.Attempt {
		a := before("up", 1, runner.Running, "")
		a.Planned, a.FinishedAt = "reboot", time.Time{}
		return a
	}
	broken := func(context.Context, *jobs.Env, time.Time) (jobs.Result, error) {
		return jobs.Result{}, errors.New("it does not answer")
	}
	never := func(p *runner.PlannedJob) { p.OnCrash = runner.Never }
	slow := func(ctx context.Context, _ *jobs.Env, _ time.Time) (jobs.Result, error) {
		<-ctx.Done()
		return jobs.Result{}, context.Cause(ctx)
	}
	tests := []struct {
		name    string
		job     runner.PlannedJob
		arrange func(*bench)
		number  int
		want    string
		says    string
	}{
		{name: "JudgedBad", job: surviving("up", fails, broken, never), number: 1, want: "failed/error", says: "it does not answer"},
		{name: "JudgedBadAndRetried", job: surviving("up", fine, broken, tries(1)), number: 2, want: "succeeded"},
		{name: "NoSurvivor", job: job("up", fine, tries(3)), number: 1, want: "failed/crash", says: "planned to reboot"},
		{name: "Timeout", job: surviving("up", fails, slow, func(p *runner.PlannedJob) { p.Timeout = time.Minute }), number: 1, want: "failed/timeout"},
		{name: "Canceled", job: surviving("up", fails, slow), number: 1, want: "canceled/user", arrange: func(b *bench) { b.ledger.run.CanceledBy = "anna" }},
		{name: "NotBuilt", job: func() runner.PlannedJob {
			p := job("up", fine)
			p.Build = func(runner.HistoryReader) (jobs.Job, []string, error) { return nil, nil, errors.New("no such secret") }
			return p
		}(), number: 1, want: "failed/error", says: "no such secret"},
		{name: "NotLoaded", job: job("up", fine), number: 1, want: "failed/spec", says: "no such kind", arrange: func(b *bench) {
			b.options.Compiler = compiler{err: errors.New("no such kind")}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, test.job)
				a := running()
				a.StartedAt = time.Now().UTC().Add(-time.Hour)
				b.ledger.attempts = []runner.Attempt{a}
				b.ledger.run.Epoch, b.ledger.run.State = 1, runner.Running
				if test.arrange != nil {
					test.arrange(b)
				}
				b.handle(t.Context())
				got := b.ledger.latest()["up"]
				if got.Number != test.number || verdict(got.State, got.Reason) != test.want || !strings.Contains(got.Error, test.says) {
					t.Errorf("attempt %d is %s: %s, want %d, %s", got.Number, verdict(got.State, got.Reason), got.Error, test.number, test.want)
				}
				if !b.ledger.run.State.Final() {
					t.Errorf("the run is %s", b.ledger.verdict())
				}
			})
		})
	}
}

func TestHandle_PlanIsOnRecordFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b *bench
		refused := errors.New("the plan is refused")
		b = newBench(t, job("up", func(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
			if err := env.PlanRestart(ctx, "reboot"); err != nil {
				return jobs.Result{}, err
			}
			t.Error("a plan that is not on record was taken for one")
			return jobs.Result{}, nil
		}))
		b.ledger.onAdvance = func(s runner.Step) error {
			if len(s.Planned) > 0 {
				return refused
			}
			return nil
		}
		b.handle(t.Context())
		if got := b.ledger.latest()["up"]; got.State != runner.Failed || !strings.Contains(got.Error, refused.Error()) {
			t.Errorf("attempt %+v", got)
		}
	})
}

func TestPlanned(t *testing.T) {
	t.Parallel()
	planned := func(job string, s runner.State, what string) runner.Attempt {
		return runner.Attempt{Job: job, State: s, Planned: what}
	}
	got := executor.Planned([]runner.Attempt{planned("a", runner.Running, "reboot"), planned("b", runner.Running, ""), planned("c", runner.Failed, "reboot")})
	if diff := cmp.Diff([]string{"a"}, got); diff != "" {
		t.Error(diff)
	}
}
