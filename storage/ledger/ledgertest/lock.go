package ledgertest

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// start asks for one attempt of job with locks.
func start(job string, locks ...string) runner.Step {
	return runner.Step{Begun: []runner.Start{{Attempt: Attempt(job, 1), Locks: locks}}}
}

func (s *site) held() map[string]runner.RunID {
	s.t.Helper()
	list, err := s.Locks(s.ctx)
	if err != nil {
		s.t.Fatalf("Locks: %v", err)
	}
	held := map[string]runner.RunID{}
	for _, h := range list {
		held[h.Lock] = h.Run
	}
	return held
}

func testLocks(t *testing.T, dsn secret.String) {
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	first, second := a.running(), b.running()
	before := time.Now().Add(-time.Second)
	a.begin(first, Attempt("dump", 1), "database/main", "store/local")
	blocked := b.advance(second, runner.Step{Begun: []runner.Start{
		{Attempt: Attempt("vacuum", 1), Locks: []string{"database/main"}},
		{Attempt: Attempt("free", 1)},
	}})
	if len(blocked) != 1 {
		t.Fatalf("blocked: %+v, want the vacuum only", blocked)
	}
	got := blocked[0]
	if got.Holder.AcquiredAt.Before(before) || got.Holder.AcquiredAt.After(time.Now()) {
		t.Errorf("the lock is held since %s", got.Holder.AcquiredAt)
	}
	got.Holder.AcquiredAt = time.Time{}
	same(t, "what blocks", runner.Blocked{Job: "vacuum", Lock: "database/main", Holder: runner.LockHolder{
		Lock: "database/main", Run: first.Run, Workflow: unique(t), Job: "dump", Owner: a.Instance(), Node: "a",
	}}, got)
	if list := b.attempts(second.Run); len(list) != 1 || list[0].Job != "free" {
		t.Errorf("attempts on record: %+v, want only the one that was not blocked", list)
	}
	// Another job of the same run is somebody else too.
	if blocked := a.advance(first, start("other", "store/local")); len(blocked) != 1 {
		t.Errorf("a second job of the run took its lock: %+v", blocked)
	}
	// What ends in a step is free for what begins in it.
	next := runner.Step{Ended: []runner.End{{Attempt: Ended(Attempt("dump", 1), runner.Succeeded)}}, Begun: start("other", "store/local").Begun}
	if blocked := a.advance(first, next); len(blocked) > 0 {
		t.Errorf("the freed lock blocks: %+v", blocked)
	}
	same(t, "locks", map[string]runner.RunID{"store/local": first.Run}, b.held())
	if blocked := b.advance(second, start("vacuum", "database/main")); len(blocked) > 0 {
		t.Errorf("the freed lock blocks: %+v", blocked)
	}
	a.finish(first, runner.Succeeded)
	same(t, "locks", map[string]runner.RunID{"database/main": second.Run}, b.held())
}

func testLocksAllOrNone(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	first, second := s.running(), s.running()
	s.begin(first, Attempt("x", 1), "m")
	if blocked := s.advance(second, start("y", "z", "m", "a")); len(blocked) != 1 || blocked[0].Lock != "m" {
		t.Errorf("blocked: %+v, want by m", blocked)
	}
	same(t, "locks", map[string]runner.RunID{"m": first.Run}, s.held())
	// The same lock twice is one lock.
	s.begin(second, Attempt("y", 1), "a", "a", "z")
	same(t, "locks", map[string]runner.RunID{"m": first.Run, "a": second.Run, "z": second.Run}, s.held())
	// The locks that a job holds already stay its own when another blocks it.
	if blocked := s.advance(second, start("y", "a", "m")); len(blocked) != 1 {
		t.Errorf("blocked: %+v, want by m", blocked)
	}
	same(t, "locks", map[string]runner.RunID{"m": first.Run, "a": second.Run, "z": second.Run}, s.held())
}

func testLocksStale(t *testing.T, dsn secret.String) {
	dying, s := join(t, dsn, "dying", shortLease), join(t, dsn, "b", longLease)
	dead := dying.running()
	dying.begin(dead, Attempt("x", 1), "of-the-dead")
	c := s.running()
	if blocked := s.advance(c, start("early", "of-the-dead")); len(blocked) != 1 {
		t.Errorf("the lock of a living owner was taken over (%+v)", blocked)
	}
	// Nobody has claimed the dead owner's run yet: its lock goes over anyway.
	eventually(t, "the lock is free", func() bool { return len(s.advance(c, start("y", "of-the-dead"))) == 0 })
	same(t, "locks", map[string]runner.RunID{"of-the-dead": c.Run}, s.held())
	// The run's next owner does not get it back, and frees nobody else's.
	next := s.claim(dead.Run)
	if blocked := s.advance(next, runner.Step{Begun: []runner.Start{{Attempt: Attempt("x", 2), Locks: []string{"of-the-dead"}}}}); len(blocked) != 1 {
		t.Errorf("the new owner took a lock that is in use: %+v", blocked)
	}
	s.finish(next, runner.Failed)
	same(t, "locks", map[string]runner.RunID{"of-the-dead": c.Run}, s.held())
}
