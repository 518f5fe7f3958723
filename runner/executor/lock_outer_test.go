package executor_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// keeper keeps the lock "outer" in memory, and each use of it.
type keeper struct {
	// after is how long the lock is somebody else's; lose how long it is held
	// before it is lost, 0 for never; refuse is an error for ever.
	after, lose time.Duration
	refuse      error

	mu  sync.Mutex
	log []string
}

func (k *keeper) note(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.log = append(k.log, text)
}

func (k *keeper) Hold(ctx context.Context, who runner.AttemptKey, locks []string, tell func(string), lost func(*runner.LockLostError)) (runner.HeldLocks, error) {
	if !slices.Contains(locks, "outer") {
		return nil, nil
	}
	if k.refuse != nil {
		return nil, k.refuse
	}
	tell("outer is held by somebody")
	select {
	case <-time.After(k.after):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	k.note("hold " + who.Job)
	if k.lose > 0 {
		time.AfterFunc(k.lose, func() { lost(&runner.LockLostError{Lock: "outer", Why: "it is somebody else's"}) })
	}
	return k, nil
}

func (k *keeper) Fences() map[string]int64 { return map[string]int64{"outer": 7} }

func (k *keeper) Release(context.Context) error {
	k.note("release")
	return nil
}

func TestHandle_OuterLocks(t *testing.T) {
	t.Parallel()
	try := func(t *testing.T, k *keeper, run doing, change ...func(*runner.PlannedJob)) *bench {
		t.Helper()
		b := newBench(t, job("a", run, append(change, func(p *runner.PlannedJob) { p.Locks = []string{"outer"} })...))
		b.options.Locker = k
		b.handle(t.Context())
		return b
	}
	fenced := func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
		if diff := cmp.Diff(map[string]int64{"outer": 7}, env.Fences); diff != "" {
			return jobs.Result{}, errors.New(diff)
		}
		return jobs.Result{}, nil
	}
	for name, c := range map[string]struct {
		keeper *keeper
		run    doing
		state  string
		log    []string
	}{
		"Held":    {&keeper{after: time.Minute}, fenced, "succeeded", []string{"hold a", "release"}},
		"Lost":    {&keeper{lose: time.Minute}, takes(time.Hour), "failed/lock_lost", []string{"hold a", "release"}},
		"Refused": {&keeper{refuse: errors.New("no such server")}, fine, "failed/error", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := try(t, c.keeper, c.run)
				if got := b.ledger.states()["a"]; got != c.state {
					t.Errorf("the job is %s (%s), want %s", got, b.ledger.latest()["a"].Error, c.state)
				}
				if diff := cmp.Diff(c.log, c.keeper.log); diff != "" {
					t.Errorf("the lock was used (-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("TimeoutBeginsWithTheLock", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := try(t, &keeper{after: time.Hour}, takes(time.Second), func(p *runner.PlannedJob) { p.Timeout = time.Minute })
			if got := b.ledger.states()["a"]; got != "succeeded" {
				t.Errorf("the job is %s", got)
			}
		})
	})
	t.Run("CanceledWhileWaiting", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, job("a", fine, func(p *runner.PlannedJob) { p.Locks = []string{"outer"} }))
			k := &keeper{after: time.Hour}
			b.options.Locker = k
			time.AfterFunc(time.Minute, func() { b.ledger.cancel("anna") })
			b.handle(t.Context())
			if got := b.ledger.states()["a"]; got != "canceled/user" || len(k.log) > 0 {
				t.Errorf("the job is %s, the lock was used: %v", got, k.log)
			}
		})
	})
}
