package ledger_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// listening hears the bells of l until the test ends.
func listening(t *testing.T, l *ledger.Ledger) <-chan ledger.Bell {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	heard, over := make(chan ledger.Bell, 100), make(chan struct{})
	go func() {
		defer close(over)
		l.Listen(ctx, func(b ledger.Bell) { heard <- b })
	}()
	t.Cleanup(func() {
		cancel()
		<-over
	})
	return heard
}

// until returns the first bell of a kind, and fails the test when it does not
// come.
func until(t *testing.T, heard <-chan ledger.Bell, kind ledger.BellKind) ledger.Bell {
	t.Helper()
	patience := time.After(time.Minute)
	for {
		select {
		case b := <-heard:
			if b.Kind == kind {
				return b
			}
		case <-patience:
			t.Fatalf("no bell %q was heard", kind)
		}
	}
}

// TestBell_Postgres: what one node puts on record is heard by another at once,
// by the instance itself too, and not before it is durable.
func TestBell_Postgres(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	owner, other := ledgertest.Join(t, dsn, "owner", time.Hour), ledgertest.Join(t, dsn, "other", time.Hour)
	heard := listening(t, owner)
	until(t, heard, ledger.BellMissed)

	answers, err := owner.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	id := answers[0].Run
	if _, _, err := owner.Claim(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Cancel(t.Context(), id, "anna"); err != nil {
		t.Fatal(err)
	}
	if b := until(t, heard, ledger.BellCancel); b.Run != id || b.By != "anna" || b.From != other.Instance() {
		t.Errorf("heard %+v", b)
	}
	// A second cancel changes nothing and is not told.
	if _, err := other.Cancel(t.Context(), id, "bob"); err != nil {
		t.Fatal(err)
	}
	if err := other.Ring(t.Context(), ledger.Bell{Kind: ledger.BellChanged, Topics: []string{"runs", "pauses"}}); err != nil {
		t.Fatal(err)
	}
	for b := range heard {
		if b.Kind == ledger.BellCancel {
			t.Fatalf("heard %+v, which changed nothing", b)
		}
		if b.Kind == ledger.BellChanged {
			if !slices.Equal(b.Topics, []string{"runs", "pauses"}) {
				t.Errorf("heard %+v", b)
			}
			break
		}
	}
	if err := other.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, heard, ledger.BellNodes)
	// Who is no node leaves what it approved to the nodes.
	request := ledgertest.Request("w", ledgertest.Midnight().AddDate(0, 0, 1))
	request.Approval = true
	if answers, err = owner.Submit(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if err := other.Approve(t.Context(), answers[0].Run, "anna"); err != nil {
		t.Fatal(err)
	}
	if b := until(t, heard, ledger.BellQueued); b.Run != answers[0].Run {
		t.Errorf("heard %+v", b)
	}
	if err := owner.Ring(t.Context(), ledger.Bell{Kind: ledger.BellOwed}); err != nil {
		t.Fatal(err)
	}
	if b := until(t, heard, ledger.BellOwed); b.From != owner.Instance() {
		t.Errorf("heard %+v", b)
	}
}

// TestBell_Outage: a connection that breaks is made anew, and what may have been
// missed is said.
func TestBell_Outage(t *testing.T) {
	t.Parallel()
	p, through := ledgertest.StartNetwork(t, ledgertest.Postgres(t))
	l := ledgertest.Join(t, through, "a", time.Hour)
	heard := listening(t, l)
	until(t, heard, ledger.BellMissed)
	p.Cut()
	until(t, heard, ledger.BellMissed)
	for {
		// The pool finds out with the first query that its connections are gone.
		if err := l.Ring(t.Context(), ledger.Bell{Kind: ledger.BellQueued, Run: "r"}); err == nil {
			break
		}
	}
	if b := until(t, heard, ledger.BellQueued); b.Run != runner.RunID("r") {
		t.Errorf("heard %+v", b)
	}
}

// TestBell_SQLite: one process needs no bells.
func TestBell_SQLite(t *testing.T) {
	t.Parallel()
	l := ledgertest.Join(t, ledgertest.SQLite(t), "a", time.Hour)
	l.Listen(t.Context(), func(b ledger.Bell) { t.Errorf("heard %+v", b) })
	if err := l.Ring(t.Context(), ledger.Bell{Kind: ledger.BellOwed}); err != nil {
		t.Error(err)
	}
}
