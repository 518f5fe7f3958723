package ledger_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// brief is a lease that a test outlives.
const brief = time.Second

// claimed returns a run that l executes. A busy machine may cost it its lease
// meanwhile.
func claimed(t *testing.T, l *ledger.Ledger, slot int) runner.Claim {
	t.Helper()
	answers, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight().AddDate(0, 0, slot)))
	if err != nil {
		t.Fatal(err)
	}
	for {
		c, _, err := l.Claim(t.Context(), answers[0].Run)
		switch {
		case err == nil:
			return c
		case !errors.Is(err, runner.ErrLeaseLost):
			t.Fatal(err)
		}
		if err := l.Heartbeat(t.Context()); errors.Is(err, runner.ErrLeaseLost) {
			err = l.Register(t.Context())
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// outlive returns when the lease of l has run out by its own clock.
func outlive(l *ledger.Ledger) {
	for l.LeaseLeft() > 0 {
		time.Sleep(brief / 10)
	}
}

// TestLease_Over: a process that finds its lease run out by its own clock writes
// nothing more, also when nobody has taken its runs over and the database was
// not asked, and comes back as somebody else.
func TestLease_Over(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	l, other := ledgertest.Join(t, dsn, "a", brief), ledgertest.Join(t, dsn, "b", time.Hour)
	c := claimed(t, l, 0)
	// A busy machine may have outlived it already; then there is nothing to see.
	if err := l.Holds(c); err != nil && l.LeaseLeft() > 0 {
		t.Errorf("with a lease: %v", err)
	}
	outlive(l)
	for what, err := range map[string]error{"Holds": l.Holds(c), "Release": l.Release(t.Context(), c)} {
		if !errors.Is(err, runner.ErrLeaseLost) || !errors.Is(err, runner.ErrStale) {
			t.Errorf("%s without a lease: %v, want ErrLeaseLost and ErrStale", what, err)
		}
	}
	if _, err := l.Advance(t.Context(), c, runner.Step{Finish: &runner.Finish{State: runner.Succeeded}}); !errors.Is(err, runner.ErrLeaseLost) {
		t.Errorf("Advance without a lease: %v, want ErrLeaseLost", err)
	}
	for range 2 {
		if err := l.Heartbeat(t.Context()); !errors.Is(err, runner.ErrLeaseLost) {
			t.Errorf("Heartbeat without a lease: %v, want ErrLeaseLost", err)
		}
	}
	if _, _, err := l.Claim(t.Context(), c.Run); !errors.Is(err, runner.ErrLeaseLost) {
		t.Errorf("Claim without a lease: %v, want ErrLeaseLost", err)
	}
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What it had is pending at once, for others and for itself.
	pending, err := other.Pending(t.Context(), "", 10)
	if err != nil || len(pending) != 1 || pending[0] != c.Run {
		t.Errorf("pending: %v, %v; want what was lost", pending, err)
	}
	if err := l.Holds(c); !errors.Is(err, runner.ErrStale) {
		t.Errorf("the claim of the former identity: %v, want ErrStale", err)
	}
	if nodes, err := other.Nodes(t.Context()); err != nil || len(nodes) != 2 {
		t.Errorf("nodes: %+v, %v; want the former identity gone", nodes, err)
	}
}

// TestLease_KeepRuns: an instance that may keep its runs renews a lease that ran
// out, and writes until somebody has taken a run over.
func TestLease_KeepRuns(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Node, o.LeaseTTL, o.KeepRuns = "a", brief, true })
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := ledgertest.Join(t, dsn, "b", time.Hour)
	kept, taken := claimed(t, l, 0), claimed(t, l, 1)
	outlive(l)
	for try := 0; ; try++ { // the database's lease ends a moment later
		_, _, err := other.Claim(t.Context(), taken.Run)
		if err == nil {
			break
		}
		if !errors.Is(err, runner.ErrNotClaimable) || try > 1000 {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := l.Heartbeat(t.Context()); err != nil {
		t.Errorf("the lease was not renewed: %v", err)
	}
	done := runner.Step{Finish: &runner.Finish{State: runner.Succeeded}}
	// Connections that were silent for as long as the lease are given up with the
	// renewal: who finds out tries again.
	write := func(c runner.Claim) error {
		for {
			if _, err := l.Advance(t.Context(), c, done); !errors.Is(err, runner.ErrUnavailable) {
				return err
			}
		}
	}
	if err := write(kept); err != nil {
		t.Errorf("a write of a run that nobody took over: %v", err)
	}
	if err := write(taken); !errors.Is(err, runner.ErrStale) {
		t.Errorf("a write of a run that was taken over: %v, want ErrStale", err)
	}
	if l.Instance() != kept.Owner {
		t.Error("it has another identity")
	}
}

// TestLease_TakeOverAfter: who has not held a lease for long leaves alone what
// others had a moment ago, and not what has been dead for long.
func TestLease_TakeOverAfter(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	dead := ledgertest.Join(t, dsn, "dead", brief)
	c := claimed(t, dead, 0)
	outlive(dead)
	join := func(node string, after time.Duration) *ledger.Ledger {
		l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Node, o.LeaseTTL, o.TakeOverAfter = node, time.Hour, after })
		if err := l.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
		return l
	}
	pending := func(l *ledger.Ledger) (n int) {
		t.Helper()
		all, err := l.Pending(t.Context(), "", 10)
		if err != nil {
			t.Fatal(err)
		}
		abandoned, err := l.Abandoned(t.Context(), false)
		if err != nil || len(abandoned) > len(all) {
			t.Fatalf("abandoned: %v, %v; pending %v", abandoned, err, all)
		}
		return len(all)
	}
	patient, first := join("patient", time.Hour), join("first", 2*brief)
	if n := pending(patient); n != 0 {
		t.Errorf("%d runs are pending for who has just come", n)
	}
	for pending(first) == 0 { // until its owner has been dead for long
		time.Sleep(brief / 10)
	}
	if abandoned, err := first.Abandoned(t.Context(), false); err != nil || len(abandoned) != 1 || abandoned[0] != c.Run {
		t.Errorf("abandoned: %v, %v", abandoned, err)
	}
	if n := pending(patient); n != 0 {
		t.Errorf("%d runs are pending for who must wait longer", n)
	}
	if _, _, err := first.Claim(t.Context(), c.Run); err != nil {
		t.Fatal(err)
	}
	if abandoned, err := first.Abandoned(t.Context(), false); err != nil || len(abandoned) != 0 {
		t.Errorf("abandoned after the claim: %v, %v", abandoned, err)
	}
}

// TestLease_LocksTakenOver: the named lock of a node that was dead a moment ago
// is left to it as long as its runs are, for it may go on with its job.
func TestLease_LocksTakenOver(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	silent := ledgertest.Join(t, dsn, "silent", brief)
	held := claimed(t, silent, 0)
	begin := func(l *ledger.Ledger, c runner.Claim) []runner.Blocked {
		t.Helper()
		start := runner.Start{Attempt: ledgertest.Attempt("backup", 1), Locks: []string{"l"}}
		blocked, err := l.Advance(t.Context(), c, runner.Step{Begun: []runner.Start{start}})
		if err != nil {
			t.Fatal(err)
		}
		return blocked
	}
	if blocked := begin(silent, held); len(blocked) != 0 {
		t.Fatalf("blocked by %v", blocked)
	}
	patient := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Node, o.LeaseTTL, o.TakeOverAfter = "patient", time.Hour, time.Hour })
	if err := patient.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := ledgertest.Join(t, dsn, "other", time.Hour)
	for alive := true; alive; time.Sleep(brief / 10) { // until the database's lease has ended
		nodes, err := other.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		alive = slices.ContainsFunc(nodes, func(n ledger.Node) bool { return n.Name == "silent" && n.Alive })
	}
	behind := claimed(t, patient, 1)
	if blocked := begin(patient, behind); len(blocked) != 1 || blocked[0].Ahead || blocked[0].Holder.Run != held.Run {
		t.Fatalf("who has just come is blocked by %v", blocked)
	}
	// To another node the place is free, and only who came first stands before it.
	mine := claimed(t, other, 2)
	if blocked := begin(other, mine); len(blocked) != 1 || !blocked[0].Ahead || blocked[0].Holder.Run != behind.Run {
		t.Fatalf("after the lease it is blocked by %v", blocked)
	}
}

// TestLease_Interrupted: who was without a lease gives the others as much time
// as one who has just come, however long they seem to be dead: they may have been
// away for the same reason.
func TestLease_Interrupted(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]bool{"begins anew": false, "keeps its runs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const wait = 2 * brief
			dsn := ledgertest.Postgres(t)
			dead := ledgertest.Join(t, dsn, "dead", brief)
			claimed(t, dead, 0)
			l := ledgertest.Open(t, dsn, func(o *ledger.Options) {
				o.Node, o.LeaseTTL, o.TakeOverAfter, o.KeepRuns = "l", brief, wait, keep
			})
			if err := l.Register(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(wait + 2*brief) // both are away for that long
			back := time.Now()
			for {
				err := l.Heartbeat(t.Context())
				if errors.Is(err, runner.ErrLeaseLost) {
					err = l.Register(t.Context())
				}
				if err != nil && !errors.Is(err, runner.ErrUnavailable) {
					t.Fatal(err)
				}
				before := time.Since(back)
				list, err := l.Pending(t.Context(), "", 10)
				if err != nil && !errors.Is(err, runner.ErrUnavailable) {
					t.Fatal(err)
				}
				if len(list) == 0 && before < time.Minute {
					time.Sleep(brief / 10)
					continue
				}
				if took := time.Since(back); took < wait || len(list) != 1 {
					t.Errorf("%d runs are pending after %s, want one after %s", len(list), took, wait)
				}
				return
			}
		})
	}
}
