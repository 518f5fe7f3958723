package executor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/retry"
)

// tries plans retries after exactly 1s, 2s, 4s and so on.
func tries(most int, codes ...int) func(*runner.PlannedJob) {
	return func(p *runner.PlannedJob) {
		p.Retry = retry.Policy{Max: most, Backoff: retry.Backoff{Min: time.Second, Max: time.Hour}, Jitter: retry.JitterNone}
		p.RetryExitCodes = codes
	}
}

// fate is a job that ends differently each time; the last error repeats.
func fate(errs ...error) doing {
	return func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
		return jobs.Result{}, errs[min(env.Attempt, len(errs))-1]
	}
}

func TestHandle_Retry(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection refused")
	tests := []struct {
		name  string
		job   runner.PlannedJob
		begun []time.Duration
		want  string // of the job
	}{
		{"Succeeds", job("a", fate(broken, broken, nil), tries(3)), []time.Duration{0, 1, 3}, "succeeded"},
		{"GivesUp", job("a", fate(broken), tries(2)), []time.Duration{0, 1, 3}, "failed/error"},
		{"None", job("a", fate(broken)), []time.Duration{0}, "failed/error"},
		{"Permanent", job("a", fate(broken, retry.Permanent(broken)), tries(5)), []time.Duration{0, 1}, "failed/permanent"},
		{"PermanentWithoutPolicy", job("a", fate(retry.Permanent(broken))), []time.Duration{0}, "failed/error"},
		{"Refused", job("a", fate(&jobs.RefusedError{Rail: "max_share", Why: "too much"}), tries(5)), []time.Duration{0}, "failed/refused"},
		{"After", job("a", fate(retry.After(broken, time.Minute), nil), tries(5)), []time.Duration{0, 60}, "succeeded"},
		{"ExitCode", job("a", fate(exitError(7), exitError(8), exitError(9)), tries(5, 7, 8)), []time.Duration{0, 1, 3}, "failed/error"},
		{"ExitCodeOfNoChild", job("a", fate(broken), tries(5, 7)), []time.Duration{0}, "failed/error"},
		{"Findings", job("a", finds(jobs.Critical), tries(5), func(p *runner.PlannedJob) { p.FailOn = jobs.Critical }), []time.Duration{0}, "failed/findings"},
		{"Timeout", job("a", takes(time.Hour), tries(1), timeout(10*time.Second)), []time.Duration{0, 11}, "failed/timeout"},
		{"Panic", job("a", func(context.Context, *jobs.Env) (jobs.Result, error) { panic("oops") }, tries(1)), []time.Duration{0, 1}, "failed/panic"},
		{"Build", job("a", fine, tries(2), func(p *runner.PlannedJob) {
			n := 0
			p.Build = func(runner.HistoryReader) (jobs.Job, []string, error) {
				if n++; n == 1 {
					return nil, nil, errors.New("read secret: no such file")
				}
				return work{run: fine}, nil, nil
			}
		}), []time.Duration{0, 1}, "succeeded"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, test.job, job("other", takes(500*time.Millisecond)), job("after", fine, needs("a")))
				start := time.Now()
				b.handle(t.Context())
				var begun []time.Duration
				for _, a := range b.ledger.attempts {
					if a.Job == "a" {
						begun = append(begun, a.StartedAt.Sub(start)/time.Second)
					}
				}
				if diff := cmp.Diff(test.begun, begun); diff != "" {
					t.Errorf("attempts began at seconds (-want +got):\n%s", diff)
				}
				states := b.ledger.states()
				if states["a"] != test.want {
					t.Errorf("the job is %s (%s), want %s", states["a"], b.ledger.latest()["a"].Error, test.want)
				}
				if want := map[bool]string{true: "succeeded", false: "skipped/condition"}[test.want == "succeeded"]; states["after"] != want {
					t.Errorf("what needs it is %s, want %s", states["after"], want)
				}
				waits := of[runner.AttemptWaiting](b.seen)
				if len(waits) != len(begun)-1 {
					t.Fatalf("%d waits told, want %d", len(waits), len(begun)-1)
				}
				for i, w := range waits {
					if w.Key.Number != i+2 || w.Error == "" || w.Until.Sub(start)/time.Second != begun[i+1] {
						t.Errorf("wait %d told as %+v", i, w)
					}
				}
			})
		})
	}
}

func timeout(d time.Duration) func(*runner.PlannedJob) {
	return func(p *runner.PlannedJob) { p.Timeout = d }
}

func TestHandle_RetryWaitHoldsNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", fate(errors.New("busy"), nil), tries(1), func(p *runner.PlannedJob) { p.Locks = []string{"l"} }), job("b", takes(300*time.Millisecond), func(p *runner.PlannedJob) { p.Locks = []string{"l"} }))
		b.plan(func(p *runner.Plan) { p.Parallel = 1 })
		start := time.Now()
		b.handle(t.Context())
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %s: b did not run while a waited for its retry", took)
		}
		if got := b.ledger.verdict(); got != "succeeded" {
			t.Errorf("the run is %s", got)
		}
	})
}

func TestHandle_JobTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", func(ctx context.Context, _ *jobs.Env) (jobs.Result, error) {
			<-ctx.Done()
			var named *runner.TimeoutError
			if !errors.As(context.Cause(ctx), &named) || named.What != "job a" || named.After != time.Minute {
				t.Errorf("cause %v", context.Cause(ctx))
			}
			return jobs.Result{Summary: "half"}, fmt.Errorf("dump: %w: %w", errors.New("pg_dump ended by SIGTERM"), context.Cause(ctx))
		}, timeout(time.Minute)))
		b.handle(t.Context())
		a := b.ledger.latest()["a"]
		if verdict(a.State, a.Reason) != "failed/timeout" || a.FinishedAt.Sub(a.StartedAt) != time.Minute || a.Result.Summary != "half" {
			t.Errorf("attempt %+v", a)
		}
		if want := "job a timed out after 1m0s: dump: pg_dump ended by SIGTERM"; a.Error != want {
			t.Errorf("error %q, want %q", a.Error, want)
		}
		if b.ledger.verdict() != "failed/timeout" || b.ledger.run.Message != "a failed: "+a.Error {
			t.Errorf("run %s: %s", b.ledger.verdict(), b.ledger.run.Message)
		}
	})
}

func TestHandle_RunTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		always := when(runner.Always)
		b := newBench(
			t, job("a", takes(time.Hour)), job("b", fine, needs("a")), job("f", fine, needs("a"), when(runner.OnFailure)),
			job("quick", takes(time.Second), needs("a"), always),
			job("own", takes(time.Hour), needs("a"), always, timeout(20*time.Minute)),
			job("endless", takes(time.Hour), needs("a"), always),
			job("waits", fate(errors.New("busy")), tries(5)),
		)
		b.plan(func(p *runner.Plan) { p.Timeout = 10 * time.Second })
		start := time.Now()
		b.handle(t.Context())
		want := map[string]string{
			"a": "failed/timeout", "b": "skipped/timeout", "f": "skipped/timeout", "quick": "succeeded",
			"own": "failed/timeout", "endless": "failed/timeout", "waits": "failed/error",
		}
		if diff := cmp.Diff(want, b.ledger.states()); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
		if b.ledger.verdict() != "failed/timeout" || b.ledger.run.Message != "workflow daily timed out after 10s" {
			t.Errorf("run %s: %s", b.ledger.verdict(), b.ledger.run.Message)
		}
		if got := b.ledger.latest()["endless"].Error; got != "job endless after the end of its run timed out after 10m0s: work" {
			t.Errorf("endless: %s", got)
		}
		if took := time.Since(start); took != 10*time.Second+20*time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

func TestHandle_RunTimeoutCountsFromTheFirstClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", takes(time.Hour)), job("w", fine, when(runner.Always)))
		b.plan(func(p *runner.Plan) { p.Timeout = time.Minute })
		b.ledger.run.StartedAt = time.Now().UTC().Add(-50 * time.Second)
		start := time.Now()
		b.handle(t.Context())
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("the rest of the timeout took %s, want 10s", took)
		}
		if diff := cmp.Diff(map[string]string{"a": "failed/timeout", "w": "succeeded"}, b.ledger.states()); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
	})
}
