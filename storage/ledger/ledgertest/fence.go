package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// writes are all writes that a claim allows.
func writes(s *site) map[string]func(runner.Claim) error {
	advance := func(step runner.Step) func(runner.Claim) error {
		return func(c runner.Claim) error {
			_, err := s.Advance(s.ctx, c, step)
			return err
		}
	}
	return map[string]func(runner.Claim) error{
		"empty step":  advance(runner.Step{}),
		"begin":       advance(runner.Step{Begun: []runner.Start{{Attempt: Attempt("late", 1)}}}),
		"begin again": advance(runner.Step{Begun: []runner.Start{{Attempt: Attempt("x", 1), Locks: []string{"held"}}}}),
		"lock":        advance(runner.Step{Begun: []runner.Start{{Attempt: Attempt("late", 1), Locks: []string{"free"}}}}),
		"end":         advance(runner.Step{Ended: []runner.End{{Attempt: Ended(Attempt("x", 1), runner.Succeeded), Output: runner.Output{Head: []byte("late")}}}}),
		"skip":        advance(runner.Step{Ended: []runner.End{{Attempt: Ended(Attempt("late", 1), runner.Skipped)}}}),
		"finish":      advance(runner.Step{Finish: &runner.Finish{State: runner.Succeeded}}),
		"release":     func(c runner.Claim) error { return s.Release(s.ctx, c) },
		"watch": func(c runner.Claim) error {
			causes, err := s.Watch(s.ctx, c)
			return errors.Join(append(causes, err)...)
		},
	}
}

// state is everything that a write could change.
type state struct {
	Run      runner.Run
	Attempts []runner.Attempt
	Locks    []runner.LockHolder
	Output   string
}

func (s *site) state(id runner.RunID) state {
	s.t.Helper()
	locks, err := s.Locks(s.ctx)
	if err != nil {
		s.t.Fatalf("Locks: %v", err)
	}
	output, err := s.Output(s.ctx, runner.AttemptKey{Run: id, Job: "x", Number: 1})
	if err != nil && !errors.Is(err, runner.ErrNotFound) {
		s.t.Fatalf("Output: %v", err)
	}
	return state{Run: s.run(id), Attempts: s.attempts(id), Locks: locks, Output: string(output.Head)}
}

func testFencing(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	stale := map[string]func(c runner.Claim) runner.Claim{
		"earlier epoch": func(c runner.Claim) runner.Claim { c.Epoch--; return c },
		"later epoch":   func(c runner.Claim) runner.Claim { c.Epoch++; return c },
		"other owner":   func(c runner.Claim) runner.Claim { c.Owner = "somebody"; return c },
		"released": func(c runner.Claim) runner.Claim {
			if err := s.Release(s.ctx, c); err != nil {
				t.Fatalf("Release: %v", err)
			}
			return c
		},
		"ended": func(c runner.Claim) runner.Claim {
			s.finish(c, runner.Failed)
			return c
		},
		"reopened": func(c runner.Claim) runner.Claim {
			s.finish(c, runner.Failed)
			if err := s.Reopen(s.ctx, c.Run, nil, "anna"); err != nil {
				t.Fatalf("Reopen: %v", err)
			}
			return c
		},
		"claimed again": func(c runner.Claim) runner.Claim {
			if err := s.Release(s.ctx, c); err != nil {
				t.Fatalf("Release: %v", err)
			}
			s.claim(c.Run)
			return c
		},
	}
	for why, spoil := range stale {
		c := s.running()
		s.begin(c, Attempt("x", 1))
		c = spoil(c)
		before := s.state(c.Run)
		for what, write := range writes(s) {
			if err := write(c); !errors.Is(err, runner.ErrStale) {
				t.Errorf("%s by a claim that is stale (%s): %v, want ErrStale", what, why, err)
			}
			same(t, what+" after "+why, before, s.state(c.Run))
		}
	}
	for what, write := range writes(s) {
		if err := write(runner.Claim{Run: "00000000-0000-7000-8000-000000000000", Owner: s.Instance(), Epoch: 1}); !errors.Is(err, runner.ErrStale) {
			t.Errorf("%s of an unknown run: %v, want ErrStale", what, err)
		}
	}
}

// testStaleOwner is the life of a process that is stopped, declared dead and
// woken again: its heartbeats stop, another takes over, its writes come late.
func testStaleOwner(t *testing.T, dsn secret.String) {
	asleep, awake := join(t, dsn, "asleep", shortLease), join(t, dsn, "awake", longLease)
	c := asleep.running()
	asleep.begin(c, Attempt("x", 1), "held")
	if _, _, err := awake.Claim(awake.ctx, c.Run); !errors.Is(err, runner.ErrNotClaimable) {
		t.Fatalf("a claim under a living owner: %v, want ErrNotClaimable", err)
	}
	eventually(t, "the run is pending", func() bool { return len(awake.pending()) == 1 })
	taken := awake.claim(c.Run)
	awake.begin(taken, Attempt("x", 2), "held")
	before := awake.state(c.Run)
	for what, write := range writes(asleep) {
		if err := write(c); !errors.Is(err, runner.ErrStale) {
			t.Errorf("%s by the woken process: %v, want ErrStale", what, err)
		}
		same(t, what, before, awake.state(c.Run))
	}
	if err := asleep.Heartbeat(asleep.ctx); !errors.Is(err, runner.ErrLeaseLost) {
		t.Errorf("Heartbeat of the woken process: %v, want ErrLeaseLost", err)
	}
	if _, _, err := asleep.Claim(asleep.ctx, asleep.queued()); err == nil {
		t.Error("the woken process could claim a run without a lease")
	}
	if err := asleep.Register(asleep.ctx); err != nil {
		t.Fatalf("Register again: %v", err)
	}
	if asleep.Instance() == c.Owner {
		t.Error("it registered again under the identity that lost its runs")
	}
	awake.finish(taken, runner.Succeeded)
}

// eventually waits for what only time brings about.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s still not: %s", what)
		}
	}
}
