package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestPostgres_PlannedAbsent: a node that planned a restart and is away is
// awaited. When it has been away for too long, another one takes the run over,
// and what was planned is lost.
func TestPostgres_PlannedAbsent(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	member := func(o *ledger.Options) { o.Node, o.LeaseTTL, o.Member = "old", time.Hour, true }
	old, other := ledgertest.Open(t, dsn, member), ledgertest.Join(t, dsn, "new", time.Hour)
	if err := old.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers, err := old.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	id := answers[0].Run
	claim, _, err := old.Claim(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	step := runner.Step{Begun: []runner.Start{{Attempt: ledgertest.Attempt("reboot", 1)}}, Planned: map[string]string{"reboot": "reboot"}}
	if _, err := old.Advance(t.Context(), claim, step); err != nil {
		t.Fatal(err)
	}
	if err := old.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	target := func() runner.Target {
		list, err := other.Deliveries(t.Context(), id)
		if err != nil || len(list) != 1 {
			t.Fatalf("deliveries %+v, %v", list, err)
		}
		return list[0].Target
	}
	if _, _, err := other.Claim(t.Context(), id); !errors.Is(err, runner.ErrNotClaimable) || target() != runner.OnNode("old") {
		t.Errorf("while it is awaited: %v, for %q", err, target())
	}
	if _, err := other.Writer().ExecContext(t.Context(), "UPDATE members SET last_seen = last_seen - 15 * 60 * 1000000 WHERE name = 'old'"); err != nil {
		t.Fatal(err)
	}
	if got := target(); got != "" {
		t.Errorf("afterwards it is for %q, want any", got)
	}
	next, _, err := other.Claim(t.Context(), id)
	if err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	attempts, err := other.Attempts(t.Context(), id)
	if err != nil || len(attempts) != 1 || attempts[0].State != runner.Lost || next.Epoch <= claim.Epoch {
		t.Errorf("after the takeover: %+v, %v", attempts, err)
	}
}
