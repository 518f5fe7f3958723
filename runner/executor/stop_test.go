package executor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

func TestHandle_Cancel(t *testing.T) {
	t.Parallel()
	ways := map[string]func(b *bench, interrupt context.CancelCauseFunc){
		"Flag":      func(b *bench, _ context.CancelCauseFunc) { b.ledger.cancel("anna@db-1 (cli)") },
		"Interrupt": func(_ *bench, end context.CancelCauseFunc) { end(&runner.CanceledError{By: "anna@db-1 (cli)"}) },
	}
	for name, cancel := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				always := when(runner.Always)
				b := newBench(t, job("done", fine), job("a", takes(time.Hour)), job("b", fine, needs("a")), job("f", fine, needs("a"), when(runner.OnFailure)),
					job("w", takes(3*time.Second), needs("b"), always), job("if", fine, always, needs("a"), onlyIf(`jobs.a.reason == "user"`)),
					job("runs", takes(30*time.Second), always, needs("done")), job("waits", fate(errors.New("busy")), tries(5)))
				ctx, interrupt := context.WithCancelCause(t.Context())
				start := time.Now()
				time.AfterFunc(10*time.Second, func() { cancel(b, interrupt) })
				b.handle(ctx)
				want := map[string]string{
					"done": "succeeded", "a": "canceled/user", "b": "skipped/user", "f": "skipped/user", "w": "succeeded",
					"if": "succeeded", "runs": "succeeded", "waits": "failed/error",
				}
				if diff := cmp.Diff(want, b.ledger.states()); diff != "" {
					t.Errorf("jobs (-want +got):\n%s", diff)
				}
				if took := b.ledger.latest()["a"].FinishedAt.Sub(start); took > 12*time.Second {
					t.Errorf("the running job ended %s after the cancel", took-10*time.Second)
				}
				if b.ledger.verdict() != "canceled/user" || b.ledger.run.Message != "canceled by anna@db-1 (cli)" {
					t.Errorf("run %s: %s", b.ledger.verdict(), b.ledger.run.Message)
				}
				if took := time.Since(start); took != 30*time.Second {
					t.Errorf("took %s: a when: always job that runs goes on", took)
				}
			})
		})
	}
}

// TestHandle_CancelAfterShutdown: the weaker request does not undo the stronger.
func TestHandle_CancelAfterShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stop, force := context.WithCancel(t.Context())
		b := newBench(t, job("a", func(ctx context.Context, _ *jobs.Env) (jobs.Result, error) {
			<-ctx.Done()
			time.Sleep(5 * time.Second)
			return jobs.Result{}, context.Cause(ctx)
		}), job("w", fine, when(runner.Always), needs("a")))
		b.options.Stop = stop
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, force)
		time.AfterFunc(2*time.Second, func() { cancel(&runner.CanceledError{By: "anna"}) })
		b.handle(ctx)
		if diff := cmp.Diff(map[string]string{"a": "canceled/shutdown"}, b.ledger.states()); diff != "" || b.ledger.releases != 1 {
			t.Errorf("%d releases, jobs (-want +got):\n%s", b.ledger.releases, diff)
		}
	})
}

// TestHandle_ShutdownNever: what must not be repeated is lost with the process
// that is told to end, and not left to the next one.
func TestHandle_ShutdownNever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stop, force := context.WithCancel(t.Context())
		b := newBench(t, job("a", func(ctx context.Context, _ *jobs.Env) (jobs.Result, error) {
			<-ctx.Done()
			return jobs.Result{}, context.Cause(ctx)
		}, func(p *runner.PlannedJob) { p.OnCrash = runner.Never }))
		b.options.Stop = stop
		time.AfterFunc(time.Second, force)
		b.handle(t.Context())
		if diff := cmp.Diff(map[string]string{"a": "lost/shutdown"}, b.ledger.states()); diff != "" || b.ledger.releases != 0 || b.ledger.verdict() != "failed/crash" {
			t.Errorf("%d releases, run %s, jobs (-want +got):\n%s", b.ledger.releases, b.ledger.verdict(), diff)
		}
	})
}

// TestHandle_CleanupWaits: what cleans up does not begin while the canceled job
// still stops, also when only a skipped job stands between them.
func TestHandle_CleanupWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", func(ctx context.Context, _ *jobs.Env) (jobs.Result, error) {
			<-ctx.Done()
			time.Sleep(5 * time.Second)
			return jobs.Result{}, context.Cause(ctx)
		}), job("b", fine, needs("a")), job("w", fine, needs("b"), when(runner.Always)))
		time.AfterFunc(time.Second, func() { b.ledger.cancel("anna") })
		b.handle(t.Context())
		latest := b.ledger.latest()
		if latest["w"].StartedAt.Before(latest["a"].FinishedAt) {
			t.Errorf("w began at %s, a ended at %s", latest["w"].StartedAt, latest["a"].FinishedAt)
		}
		if diff := cmp.Diff(map[string]string{"a": "canceled/user", "b": "skipped/user", "w": "succeeded"}, b.ledger.states()); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
	})
}

func TestHandle_CancelTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", takes(1500*time.Millisecond), when(runner.Always)))
		b.ledger.cancel("anna")
		b.handle(t.Context())
		if got := b.ledger.verdict(); got != "succeeded" {
			t.Errorf("the run is %s, although the cancel stopped nothing", got)
		}
	})
}

func TestHandle_Shutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("done", fine), job("a", takes(time.Hour)), job("b", fine, needs("a")), job("w", fine, needs("a"), when(runner.Always)))
		ctx, end := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Second, func() { end(runner.ErrShutdown) })
		b.handle(ctx)
		if b.ledger.run.State != runner.Queued || b.ledger.releases != 1 {
			t.Fatalf("the run is %s after %d releases", b.ledger.run.State, b.ledger.releases)
		}
		if diff := cmp.Diff(map[string]string{"done": "succeeded", "a": "canceled/shutdown"}, b.ledger.states()); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
		if n := len(of[runner.RunEnded](b.seen)); n != 0 {
			t.Errorf("%d ends of the run told", n)
		}

		b.plan(func(p *runner.Plan) { p.Jobs[1] = job("a", fine) })
		b.handle(t.Context())
		want := map[string]string{"done": "succeeded", "a": "succeeded", "b": "succeeded", "w": "succeeded"}
		if diff := cmp.Diff(want, b.ledger.states()); diff != "" {
			t.Errorf("jobs after the next start (-want +got):\n%s", diff)
		}
		latest := b.ledger.latest()
		if latest["a"].Number != 2 || latest["done"].Number != 1 || b.ledger.verdict() != "succeeded" {
			t.Errorf("a has %d attempts, done %d, run %s", latest["a"].Number, latest["done"].Number, b.ledger.verdict())
		}
		started := of[runner.RunStarted](b.seen)
		if len(started) != 2 || len(started[1].Done) != 1 || started[1].Done[0].Job != "done" {
			t.Errorf("starts told: %+v", started)
		}
	})
}

func TestHandle_ForcedStopWhileAlwaysJobsRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stop, force := context.WithCancelCause(t.Context())
		b := newBench(t, job("a", takes(time.Hour)), job("w", takes(5*time.Minute), needs("a"), when(runner.Always)))
		b.options.Stop = stop
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Second, func() { b.ledger.cancel("anna"); cancel(&runner.CanceledError{By: "anna"}) })
		time.AfterFunc(20*time.Second, func() { force(runner.ErrShutdown) })
		start := time.Now()
		b.handle(ctx)
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("took %s", took)
		}
		if diff := cmp.Diff(map[string]string{"a": "canceled/user", "w": "canceled/shutdown"}, b.ledger.states()); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
		b.options.Stop = nil
		b.handle(t.Context())
		if diff := cmp.Diff(map[string]string{"a": "canceled/user", "w": "succeeded"}, b.ledger.states()); diff != "" {
			t.Errorf("jobs after the next start (-want +got):\n%s", diff)
		}
		if got := b.ledger.verdict(); got != "canceled/user" {
			t.Errorf("the run is %s", got)
		}
	})
}

func TestHandle_Superseded(t *testing.T) {
	t.Parallel()
	ways := map[string]func(b *bench, interrupt context.CancelCauseFunc){
		"Watch":     func(b *bench, _ context.CancelCauseFunc) { b.ledger.take() },
		"Interrupt": func(b *bench, end context.CancelCauseFunc) { b.ledger.take(); end(runner.ErrSuperseded) },
		"Lease":     func(b *bench, end context.CancelCauseFunc) { b.ledger.take(); end(runner.ErrLeaseLost) },
		// The write itself finds out: the watch is too late.
		"Advance": func(b *bench, _ context.CancelCauseFunc) { b.ledger.take() },
	}
	for name, take := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var cause error
				b := newBench(t, job("short", takes(12*time.Second)), job("next", fine, needs("short")), job("a", func(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
					env.Printf("working")
					<-ctx.Done()
					cause = context.Cause(ctx)
					err := env.Effect(ctx, "delete everything", func(context.Context) error { t.Error("an effect after the takeover"); return nil })
					return jobs.Result{}, err
				}), job("w", fine, when(runner.Always), needs("a")))
				if name == "Advance" {
					b.ledger.onWatch = func() error { return errors.New("away") }
				}
				ctx, interrupt := context.WithCancelCause(t.Context())
				var steps, events int
				time.AfterFunc(10*time.Second+time.Millisecond, func() {
					steps, events = b.ledger.stepCount(), b.seen.count()
					take(b, interrupt)
				})
				b.handle(ctx)
				if !errors.Is(cause, runner.ErrSuperseded) && !errors.Is(cause, runner.ErrLeaseLost) {
					t.Errorf("the job's context ended by %v", cause)
				}
				if got := b.ledger.stepCount(); got != steps || b.ledger.releases != 0 {
					t.Errorf("%d steps and %d releases written after the takeover", got-steps, b.ledger.releases)
				}
				if got := len(b.seen.events); got != events {
					t.Errorf("events after the takeover: %+v", b.seen.events[events:])
				}
			})
		})
	}
}

// TestHandle_IgnoresContext: a kind that does not watch its context.
func TestHandle_IgnoresContext(t *testing.T) {
	t.Parallel()
	deaf := func(release chan struct{}) doing {
		return func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
			env.Printf("before")
			<-release
			env.Printf("after")
			return jobs.Result{Summary: "late"}, nil
		}
	}
	t.Run("Timeout", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			b := newBench(t, job("a", deaf(release), timeout(time.Minute)), job("b", fine, needs("a"), when(runner.Always)))
			start := time.Now()
			b.handle(t.Context())
			if took := time.Since(start); took != time.Minute+time.Second+10*time.Second {
				t.Errorf("took %s, want the timeout, kill_grace and 10s", took)
			}
			a := b.ledger.latest()["a"]
			if verdict(a.State, a.Reason) != "failed/timeout" || !strings.Contains(a.Error, "ignored the request to stop for 11s") || a.Hint == "" {
				t.Errorf("attempt %+v", a)
			}
			if b.ledger.states()["b"] != "succeeded" {
				t.Error("the run did not go on")
			}
			close(release)
			synctest.Wait()
			if out := b.ledger.outputs[a.Key()]; string(out.Head) != "before\n" {
				t.Errorf("output %q", out.Head)
			}
		})
	})
	t.Run("Shutdown", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			b := newBench(t, job("a", deaf(release)), job("b", takes(time.Hour)))
			ctx, end := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { end(runner.ErrShutdown) })
			b.handle(ctx)
			if diff := cmp.Diff(map[string]string{"a": "running", "b": "canceled/shutdown"}, b.ledger.states()); diff != "" {
				t.Errorf("jobs (-want +got):\n%s", diff)
			}
			if b.ledger.releases != 0 {
				t.Error("the run was given back while a job of it still runs here")
			}
			close(release)
		})
	})
}
