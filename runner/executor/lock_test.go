package executor_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
)

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
	t.Run("Woken", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, locked("a", fine, []string{"l"}))
			b.options.Limit = func(lock string) int { return len(lock) + 1 }
			b.ledger.hold("l", runner.LockHolder{Lock: "l"})
			e := executor.New(b.options)
			time.AfterFunc(1234*time.Millisecond, func() {
				b.ledger.free("l")
				e.Wake()
			})
			start := time.Now()
			e.Handle(t.Context(), runID)
			if took := time.Since(start); took != 1234*time.Millisecond {
				t.Errorf("took %s, want the lock to be taken when it is free", took)
			}
			if diff := cmp.Diff(map[string]int{"l": 2}, b.ledger.steps[0].Begun[0].Limits); diff != "" {
				t.Errorf("limits (-want +got):\n%s", diff)
			}
		})
	})
	t.Run("KeepsItsPlace", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, locked("a", fine, []string{"l"}), job("b", takes(time.Second)), job("c", fine, needs("b")))
			b.ledger.hold("l", runner.LockHolder{Lock: "l"})
			time.AfterFunc(10*time.Second, func() { b.ledger.free("l") })
			b.handle(t.Context())
			for i, step := range b.ledger.steps {
				asks := slices.ContainsFunc(step.Begun, func(s runner.Start) bool { return s.Attempt.Job == "a" })
				if len(step.Begun) > 0 && !asks {
					t.Errorf("step %d begins something and does not ask again for the lock: %+v", i, step)
				}
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
