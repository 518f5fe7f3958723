package ledgertest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// counted asks for one attempt of job with locks that so many may hold.
func counted(job string, limit int, locks ...string) runner.Step {
	step := start(job, locks...)
	step.Begun[0].Limits = map[string]int{}
	for _, lock := range locks {
		step.Begun[0].Limits[lock] = limit
	}
	return step
}

// tryAll asks for the same start in several runs and returns which are blocked.
func (s *site) tryAll(step runner.Step, claims ...runner.Claim) (blocked []int) {
	s.t.Helper()
	for i, c := range claims {
		if len(s.advance(c, step)) > 0 {
			blocked = append(blocked, i)
		}
	}
	return blocked
}

// line returns who waits for a lock, in order.
func (s *site) line(lock string) (runs []runner.RunID) {
	s.t.Helper()
	list, err := s.Waits(s.ctx)
	if err != nil {
		s.t.Fatalf("Waits: %v", err)
	}
	for _, w := range list {
		if w.Lock == lock {
			runs = append(runs, w.Run)
		}
	}
	return runs
}

// holders counts who holds a lock.
func (s *site) holders(lock string) (n int) {
	s.t.Helper()
	list, err := s.Locks(s.ctx)
	if err != nil {
		s.t.Fatalf("Locks: %v", err)
	}
	for _, h := range list {
		if h.Lock == lock {
			n++
		}
	}
	return n
}

func testLocksCounted(t *testing.T, dsn secret.String) {
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	claims := []runner.Claim{a.running(), b.running(), a.running(), b.running(), a.running()}
	for i, c := range claims[:4] {
		if blocked := a.advance(c, counted("x", 3, "heavy")); (len(blocked) == 1) != (i == 3) {
			t.Errorf("start %d of a lock for three: blocked %+v", i, blocked)
		}
	}
	if n := b.holders("heavy"); n != 3 {
		t.Errorf("%d hold the lock, want 3", n)
	}
	same(t, "the line", claims[3:4], claimsOf(claims, b.line("heavy")))
	// The same start recorded again takes no second place.
	a.begin(claims[0], Attempt("y", 1))
	if blocked := a.advance(claims[0], counted("x", 3, "heavy")); len(blocked) > 0 || b.holders("heavy") != 3 {
		t.Errorf("again: blocked %+v, %d hold the lock", blocked, b.holders("heavy"))
	}
	// The limit was lowered to 2: nobody new before only one holds it.
	for i, want := range []int{1, 1, 0} {
		blocked := b.advance(claims[3], counted("x", 2, "heavy"))
		if len(blocked) != want {
			t.Errorf("with %d holders of a lock for two: blocked %+v", 3-i, blocked)
		}
		if want == 1 {
			a.end(claims[i], Attempt("x", 1), runner.Succeeded)
		}
	}
	same(t, "the line", []runner.Claim(nil), claimsOf(claims, b.line("heavy")))
	// The limit was raised, and then lowered to one.
	if blocked := a.advance(claims[4], counted("x", 3, "heavy")); len(blocked) > 0 {
		t.Errorf("blocked by a place of the lower limit: %+v", blocked)
	}
	a.end(claims[2], Attempt("x", 1), runner.Succeeded)
	blocked := a.advance(claims[0], start("z", "heavy"))
	if len(blocked) != 1 || a.holders("heavy") != 2 {
		t.Errorf("a lock for one that two hold: blocked %+v", blocked)
	}
}

// claimsOf returns the claims of these runs, in their order.
func claimsOf(claims []runner.Claim, runs []runner.RunID) (list []runner.Claim) {
	for _, run := range runs {
		for _, c := range claims {
			if c.Run == run {
				list = append(list, c)
			}
		}
	}
	return list
}

// testLocksLine: who came first goes first.
func testLocksLine(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	holder, first, second, third := s.running(), s.running(), s.running(), s.running()
	all := []runner.Claim{first, second, third}
	s.begin(holder, Attempt("x", 1), "m")
	if blocked := s.tryAll(start("x", "m"), all...); len(blocked) != 3 {
		t.Fatalf("blocked: %v", blocked)
	}
	same(t, "the line", all, claimsOf(all, s.line("m")))
	s.end(holder, Attempt("x", 1), runner.Succeeded)
	// The lock is free, and the others do not get it before the first.
	blocked := s.advance(third, start("x", "m"))
	if len(blocked) != 1 || !blocked[0].Ahead || blocked[0].Holder.Run != first.Run || blocked[0].Holder.AcquiredAt.IsZero() {
		t.Errorf("the last in line is blocked by %+v, want the first", blocked)
	}
	if blocked := s.advance(holder, start("y", "m")); len(blocked) != 1 || !blocked[0].Ahead {
		t.Errorf("who had it takes it again at once: %+v", blocked)
	}
	same(t, "the line", append(slices.Clone(all), holder), claimsOf(append(slices.Clone(all), holder), s.line("m")))
	// A step that begins something else and does not ask again gives up the place.
	s.begin(first, Attempt("other", 1))
	if blocked := s.advance(second, start("x", "m")); len(blocked) > 0 {
		t.Errorf("the second is blocked by %+v", blocked)
	}
	// The end of a run, a cancel and a release end its waits.
	s.finish(third, runner.Failed)
	same(t, "the line", []runner.Claim{holder}, claimsOf(append(all, holder), s.line("m")))
	if err := s.Release(s.ctx, holder); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Waits(s.ctx); err != nil || len(left) > 0 {
		t.Errorf("waits of runs that ended or were released: %+v, %v", left, err)
	}
}

// testLocksPassed: who waits for two locks, of which somebody keeps one, does
// not keep the other from everybody, and is not passed for ever.
func testLocksPassed(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	holder, both, late := s.running(), s.running(), s.running()
	s.begin(holder, Attempt("x", 1), "kept")
	if blocked := s.advance(both, start("x", "free", "kept")); len(blocked) != 1 || blocked[0].Lock != "kept" {
		t.Fatalf("blocked: %+v, want by the lock that is kept", blocked)
	}
	passed := 0
	for ; passed < 100; passed++ {
		if len(s.advance(late, start(fmt.Sprintf("j%d", passed), "free"))) > 0 {
			break
		}
		s.end(late, Attempt(fmt.Sprintf("j%d", passed), 1), runner.Succeeded)
	}
	if passed == 0 || passed == 100 {
		t.Errorf("later starts passed %d times, want a few", passed)
	}
	list, err := s.Waits(s.ctx)
	if err != nil || len(list) != 3 || list[0].Passed != passed {
		t.Errorf("on record: %+v, %v, want %d times", list, err, passed)
	}
	s.end(holder, Attempt("x", 1), runner.Succeeded)
	if blocked := s.advance(late, start("again", "free")); len(blocked) != 1 || !blocked[0].Ahead {
		t.Errorf("the later one is blocked by %+v, want to wait for its turn", blocked)
	}
	if blocked := s.advance(both, start("x", "free", "kept")); len(blocked) > 0 {
		t.Errorf("blocked: %+v", blocked)
	}
}

// testLocksDead: a dead node's waits keep nobody back.
func testLocksDead(t *testing.T, dsn secret.String) {
	dying, s := join(t, dsn, "dying", shortLease), join(t, dsn, "b", longLease)
	dead, holder, c := dying.running(), s.running(), s.running()
	s.begin(holder, Attempt("x", 1), "m")
	if blocked := s.tryAll(start("x", "m"), dead, c); len(blocked) != 2 {
		t.Fatalf("blocked: %v", blocked)
	}
	s.end(holder, Attempt("x", 1), runner.Succeeded)
	eventually(t, "the dead waiter counts no more", func() bool { return len(s.advance(c, start("x", "m"))) == 0 })
	if line := s.line("m"); len(line) > 0 {
		t.Errorf("the line is %v", line)
	}
	// Its next owner begins at the end of the line.
	next := s.claim(dead.Run)
	if blocked := s.advance(next, start("x", "m")); len(blocked) != 1 || blocked[0].Ahead {
		t.Errorf("blocked: %+v, want by the holder", blocked)
	}
	same(t, "the line", []runner.RunID{dead.Run}, s.line("m"))
}

// testLocksRace: three nodes want counted locks all the time. Never do more hold
// one than may, and everybody gets it.
func testLocksRace(t *testing.T, dsn secret.String) {
	const perNode, rounds, limit = 3, 6, 2
	limits := map[string]int{"heavy": limit}
	var inside, inOne atomic.Int64
	var wait sync.WaitGroup
	work := func(s *site, c runner.Claim, round int) {
		job := fmt.Sprintf("j%d", round)
		locks := []string{"heavy"}
		if round%3 == 0 {
			locks = append(locks, "one")
		}
		a := Attempt(job, 1)
		step := runner.Step{Begun: []runner.Start{{Attempt: a, Locks: locks, Limits: limits}}}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			blocked, err := s.Advance(s.ctx, c, step)
			if err != nil || time.Now().After(deadline) {
				t.Errorf("%s still waits: %+v, %v", job, blocked, err)
				return
			}
			if len(blocked) == 0 {
				break
			}
		}
		if n := inside.Add(1); n > limit {
			t.Errorf("%d hold a lock for %d", n, limit)
		}
		if len(locks) == 2 {
			if n := inOne.Add(1); n > 1 {
				t.Errorf("%d hold a lock for one", n)
			}
			inOne.Add(-1)
		}
		inside.Add(-1)
		if _, err := s.Advance(s.ctx, c, runner.Step{Ended: []runner.End{{Attempt: Ended(a, runner.Succeeded)}}}); err != nil {
			t.Errorf("end of %s: %v", job, err)
		}
	}
	for i := range 3 {
		s := join(t, dsn, fmt.Sprintf("node-%d", i), longLease)
		for range perNode {
			c := s.running()
			wait.Go(func() {
				for round := range rounds {
					work(s, c, round)
				}
			})
		}
	}
	wait.Wait()
	s := join(t, dsn, "last", longLease)
	list, err := s.Waits(s.ctx)
	if diff := cmp.Diff([]runner.LockWait(nil), list); diff != "" || err != nil || len(s.held()) > 0 {
		t.Errorf("left: %v, %v, %v", diff, err, s.held())
	}
}
