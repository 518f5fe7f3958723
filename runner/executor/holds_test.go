package executor_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// TestHolds_Gate: a job that is about to change something when its claim may no
// longer hold does not, also when nobody could tell it before, and the run ends
// without a word.
func TestHolds_Gate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		done, refused := false, error(nil)
		b := newBench(t, job("a", func(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
			if err := env.Effect(ctx, "do the first", func(context.Context) error { return nil }); err != nil {
				t.Errorf("with the claim: %v", err)
			}
			lost.Store(true) // it was stopped here for a while
			refused = env.Effect(ctx, "do the second", func(context.Context) error { done = true; return nil })
			return jobs.Result{}, refused
		}))
		b.options.Holds = func(c runner.Claim) error {
			if c.Run != runID || c.Epoch != 1 {
				t.Errorf("asked about %+v", c)
			}
			if lost.Load() {
				return runner.ErrLeaseLost
			}
			return nil
		}
		b.handle(t.Context())
		if done || !errors.Is(refused, runner.ErrLeaseLost) {
			t.Errorf("the effect happened (%t) or was refused with %v", done, refused)
		}
		if got := b.ledger.verdict(); got != "running" || b.ledger.stepCount() != 1 || b.ledger.releases != 0 {
			t.Errorf("the run is %s after %d steps, %d releases: something was written", got, b.ledger.stepCount(), b.ledger.releases)
		}
	})
}

// TestHolds_Watch: a job that changes nothing is ended within a second.
func TestHolds_Watch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := newBench(t, job("a", takes(time.Hour)))
		b.options.Holds = func(runner.Claim) error {
			if time.Since(began) > 5*time.Second {
				return runner.ErrLeaseLost
			}
			return nil
		}
		b.ledger.onWatch = func() error { return runner.ErrUnavailable }
		b.handle(t.Context())
		if took := time.Since(began); took > 7*time.Second || b.ledger.stepCount() != 1 {
			t.Errorf("ended after %s and %d steps", took, b.ledger.stepCount())
		}
	})
}
