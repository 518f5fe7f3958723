package executor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

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
	// Not even that the run failed can be recorded: it is somebody's again later.
	t.Run("RefusesAll", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, job("a", takes(time.Second)))
			b.ledger.onAdvance = func(s runner.Step) error {
				if len(s.Ended) > 0 || s.Finish != nil {
					return errors.New("permission denied")
				}
				return nil
			}
			var dropped []runner.Claim
			b.options.Drop = func(c runner.Claim) { dropped = append(dropped, c) }
			b.handle(t.Context())
			if len(dropped) != 1 || dropped[0].Run != b.ledger.run.ID || b.ledger.run.State != runner.Running {
				t.Errorf("dropped %v, the run is %s", dropped, b.ledger.run.State)
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
