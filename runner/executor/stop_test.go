package executor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
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

func TestHandle_NotOurs(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]error{
		"NotClaimable": runner.ErrNotClaimable, "NotFound": runner.ErrNotFound, "LeaseLost": runner.ErrLeaseLost, "Broken": errors.New("disk I/O error"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				b := newBench(t, job("a", fine))
				b.options.Log = slog.New(slog.NewTextHandler(&log, nil))
				b.ledger.onClaim = func() error { return fmt.Errorf("claim: %w", answer) }
				start := time.Now()
				b.handle(t.Context())
				if len(b.ledger.steps) != 0 || len(b.seen.events) != 0 || time.Since(start) != 0 {
					t.Errorf("%d steps, %d events after %s", len(b.ledger.steps), len(b.seen.events), time.Since(start))
				}
				expected := errors.Is(answer, runner.ErrNotClaimable) || errors.Is(answer, runner.ErrNotFound)
				if (log.Len() == 0) != expected {
					t.Errorf("log: %s", log.String())
				}
			})
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := newBench(t, job("a", fine))
	b.handle(ctx)
	if b.ledger.claims != 0 {
		t.Error("a dead context claims runs")
	}
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

func TestHandle_Panics(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, want, text string
		run              doing
	}{
		{"Text", "failed/panic", "panic: oops", func(context.Context, *jobs.Env) (jobs.Result, error) { panic("oops") }},
		{"Nil", "failed/panic", "panic: runtime error: invalid memory address or nil pointer dereference", func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
			nothing := map[string]*jobs.Env{}[env.Job]
			return jobs.Result{Summary: nothing.Job}, nil
		}},
		{"Gone", "failed/error", "the job ended its goroutine without returning", func(context.Context, *jobs.Env) (jobs.Result, error) {
			runtime.Goexit()
			return jobs.Result{}, nil
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, job("a", test.run), job("b", fine))
				b.handle(t.Context())
				a := b.ledger.latest()["a"]
				if verdict(a.State, a.Reason) != test.want || a.Error != test.text {
					t.Errorf("attempt %s: %q", verdict(a.State, a.Reason), a.Error)
				}
				if a.Reason != runner.ReasonPanic {
					return
				}
				out := string(b.ledger.outputs[a.Key()].Head)
				if !strings.Contains(out, test.text) || !strings.Contains(out, "executor_test.TestHandle_Panics") || !strings.Contains(out, "stop_test.go:") {
					t.Errorf("the output shows no stack: %s", out)
				}
				if strings.Contains(out, "executor.guard") || strings.Contains(out, "runtime.goexit") {
					t.Errorf("the stack is not trimmed: %s", out)
				}
			})
		})
	}
}

func TestHandle_PanicsBeforeTheJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", fine, func(p *runner.PlannedJob) {
			p.Build = func(runner.HistoryReader) (jobs.Job, []string, error) { panic("while building") }
		}), job("b", fine))
		b.handle(t.Context())
		if diff := cmp.Diff(map[string]string{"a": "failed/panic", "b": "succeeded"}, b.ledger.states()); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
		if out := b.ledger.outputs[b.ledger.latest()["a"].Key()]; !strings.Contains(string(out.Head), "stop_test.go:") {
			t.Errorf("the output shows no stack: %s", out.Head)
		}
		b = newBench(t, job("a", fine))
		b.options.Compiler = panics{}
		b.handle(t.Context())
		if b.ledger.verdict() != "failed/spec" || b.ledger.run.Message != "panic: while loading" {
			t.Errorf("a loader that panics: run %s: %s", b.ledger.verdict(), b.ledger.run.Message)
		}
	})
}

type panics struct{}

func (panics) Compile(context.Context, runner.Spec, map[string]string) (runner.Plan, error) {
	panic("while loading")
}

func TestHandle_Locks(t *testing.T) {
	t.Parallel()
	locked := func(name string, run doing, planned []string, own ...string) runner.PlannedJob {
		return job(name, run, func(p *runner.PlannedJob) {
			p.Locks = planned
			p.Build = func(runner.HistoryReader) (jobs.Job, []string, error) { return work{run: run, locks: own}, nil, nil }
		})
	}
	t.Run("Foreign", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, locked("a", fine, []string{"z", "db/main"}, "db/main", "a"), job("b", fine))
			b.plan(func(p *runner.Plan) { p.Parallel = 1 })
			holder := runner.LockHolder{Lock: "db/main", Run: "other", Workflow: "weekly", Job: "vacuum", Owner: "x", Node: "db-2"}
			b.ledger.hold("db/main", holder)
			time.AfterFunc(10*time.Second, func() { b.ledger.free("db/main") })
			start := time.Now()
			b.handle(t.Context())
			if diff := cmp.Diff([]string{"a", "db/main", "z"}, b.ledger.steps[0].Begun[0].Locks); diff != "" {
				t.Errorf("locks (-want +got):\n%s", diff)
			}
			took := time.Since(start)
			if took < 10*time.Second || took > 12*time.Second {
				t.Errorf("took %s: a lock that is free for 10s is taken within 2s", took)
			}
			if at := b.ledger.latest()["b"].FinishedAt.Sub(start); at > time.Second {
				t.Errorf("b ended after %s: the blocked job held the only slot", at)
			}
			waits := of[runner.AttemptWaiting](b.seen)
			if len(waits) != 1 || waits[0].Holder == nil || *waits[0].Holder != holder || waits[0].Key.Number != 1 {
				t.Errorf("waits told: %+v", waits)
			}
			if tries := len(b.ledger.steps); tries > 14 {
				t.Errorf("%d steps: the lock is asked for too often", tries)
			}
		})
	})
	t.Run("OfThisRun", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, locked("a", takes(10*time.Second), nil, "x", "y"), locked("b", takes(10*time.Second), nil, "y", "x"), locked("c", takes(10*time.Second), []string{"y"}))
			start := time.Now()
			b.handle(t.Context())
			if took := time.Since(start); took != 30*time.Second {
				t.Errorf("took %s, want 30s: a lock is handed over at once", took)
			}
		})
	})
	t.Run("DryRunTakesNone", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, locked("a", fine, []string{"l"}))
			b.ledger.run.DryRun = true
			b.ledger.hold("l", runner.LockHolder{Lock: "l"})
			start := time.Now()
			b.handle(t.Context())
			if time.Since(start) != 0 {
				t.Error("a dry run waits for locks")
			}
		})
	})
	t.Run("CanceledWhileBlocked", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, locked("a", fine, []string{"l"}))
			b.ledger.hold("l", runner.LockHolder{Lock: "l"})
			time.AfterFunc(5*time.Second, func() { b.ledger.cancel("anna") })
			b.handle(t.Context())
			if b.ledger.states()["a"] != "skipped/user" || b.ledger.verdict() != "canceled/user" {
				t.Errorf("job %s, run %s", b.ledger.states()["a"], b.ledger.verdict())
			}
		})
	})
}

func TestHandle_LedgerAway(t *testing.T) {
	t.Parallel()
	t.Run("ComesBack", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, job("a", takes(time.Second)), job("b", takes(2*time.Second)), job("c", fine, needs("a", "b")))
			start, failed := time.Now(), 0
			b.ledger.onAdvance = func(runner.Step) error {
				if gone := time.Since(start); gone > 0 && gone < time.Hour {
					failed++
					return fmt.Errorf("record: %w", runner.ErrUnavailable)
				}
				return nil
			}
			b.handle(t.Context())
			if failed == 0 {
				t.Fatal("the fault never fired")
			}
			if b.ledger.verdict() != "succeeded" || len(b.ledger.attempts) != 3 {
				t.Errorf("run %s with %d attempts", b.ledger.verdict(), len(b.ledger.attempts))
			}
			if took := time.Since(start); took < time.Hour || took > time.Hour+15*time.Second {
				t.Errorf("took %s", took)
			}
		})
	})
	t.Run("AnswerLost", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, job("a", takes(time.Second)), job("b", takes(2*time.Second), needs("a")), job("l", fine, func(p *runner.PlannedJob) { p.Locks = []string{"l"} }))
			b.ledger.hold("l", runner.LockHolder{Lock: "l"})
			time.AfterFunc(30*time.Second, func() { b.ledger.free("l") })
			lost := 0
			b.ledger.afterAdvance = func(s runner.Step) error {
				if lost < 4 || s.Finish != nil && lost < 5 {
					lost++
					return fmt.Errorf("connection reset by peer: %w", runner.ErrUnavailable)
				}
				return nil
			}
			b.handle(t.Context())
			if lost != 5 {
				t.Fatalf("the fault fired %d times", lost)
			}
			if b.ledger.verdict() != "succeeded" || len(b.ledger.attempts) != 3 {
				t.Errorf("run %s with %d attempts: %v", b.ledger.verdict(), len(b.ledger.attempts), b.ledger.states())
			}
		})
	})
	t.Run("DuringShutdown", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, job("a", takes(time.Hour)))
			start := time.Now()
			b.ledger.onAdvance = func(runner.Step) error {
				if time.Since(start) > 0 {
					return runner.ErrUnavailable
				}
				return nil
			}
			ctx, end := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Minute, func() { end(runner.ErrShutdown) })
			b.handle(ctx)
			if took := time.Since(start); took != time.Minute+10*time.Second {
				t.Errorf("took %s: a shutdown does not wait longer than 10s for the ledger", took)
			}
			if b.ledger.states()["a"] != "running" || b.ledger.releases != 0 {
				t.Errorf("job %s, %d releases", b.ledger.states()["a"], b.ledger.releases)
			}
		})
	})
	t.Run("AtTheClaim", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, job("a", fine))
			calls := 0
			b.ledger.onClaim = func() error {
				if calls++; calls < 3 {
					return runner.ErrUnavailable
				}
				return nil
			}
			b.handle(t.Context())
			if calls != 3 || b.ledger.verdict() != "succeeded" {
				t.Errorf("%d claims, run %s", calls, b.ledger.verdict())
			}
		})
	})
	// The ledger refuses the step for good, as it would refuse an impossible one.
	t.Run("Refuses", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, job("a", takes(time.Second)), job("b", takes(time.Hour)))
			b.ledger.onAdvance = func(s runner.Step) error {
				if len(s.Ended) > 0 {
					return errors.New("an attempt with this number is on record already")
				}
				return nil
			}
			start := time.Now()
			b.handle(t.Context())
			if b.ledger.verdict() != "failed/error" || !strings.Contains(b.ledger.run.Message, "with this number") {
				t.Errorf("run %s: %s", b.ledger.verdict(), b.ledger.run.Message)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %s", took)
			}
		})
	})
	// The server hangs until the write is given up: it neither answers nor
	// refuses. Handle must not.
	t.Run("HangsForGood", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, job("a", takes(time.Second)), job("b", takes(time.Hour)))
			b.ledger.hang = func(s runner.Step) bool { return len(s.Ended) > 0 }
			ctx, end := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Minute, func() { end(runner.ErrLeaseLost) })
			start := time.Now()
			b.handle(ctx)
			if took := time.Since(start); took != time.Minute {
				t.Errorf("took %s, want to end with the lease", took)
			}
		})
	})
	t.Run("Hangs", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var ended time.Duration
			start := time.Now()
			b := newBench(t, job("a", takes(time.Second)), job("b", func(ctx context.Context, _ *jobs.Env) (jobs.Result, error) {
				<-ctx.Done()
				ended = time.Since(start)
				return jobs.Result{}, context.Cause(ctx)
			}))
			b.ledger.onAdvance = func(runner.Step) error {
				if time.Since(start) > 0 {
					time.Sleep(time.Hour)
				}
				return nil
			}
			ctx, end := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Minute, func() { end(runner.ErrLeaseLost) })
			b.handle(ctx)
			if ended != time.Minute {
				t.Errorf("the job ended after %s, want at once when the lease is lost", ended)
			}
		})
	})
}
