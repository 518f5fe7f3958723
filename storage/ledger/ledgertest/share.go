package ledgertest

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// testShares: what one node did is no success of another, and a node that was
// forgotten has no share.
func testShares(t *testing.T, dsn secret.String) {
	a := member(t, dsn, "a", "1.0", "db")
	since := Midnight().Add(-time.Hour)
	for _, key := range []runner.CalendarKey{{Workflow: "w", Host: "a"}, {Workflow: "w", Host: "b"}, {Workflow: "w", Host: "gone"}, {Workflow: "w"}, {Workflow: "v", Host: "a"}} {
		if _, err := a.Decide(a.ctx, runner.Decided{Cursor: runner.Cursor{CalendarKey: key, Schedule: "daily", Through: Midnight(), Since: since}}); err != nil {
			t.Fatalf("Decide: %v", err)
		}
	}
	own := Request("w", Midnight())
	own.Host = "a"
	run, _ := a.ended(own, runner.Succeeded)
	late := Request("w", Midnight().Add(time.Hour))
	late.Host = "a"
	a.ended(late, runner.Failed)
	a.ended(Request("w", Midnight().Add(2*time.Hour)), runner.Succeeded) // of no node in particular

	want := []runner.Share{{CalendarKey: runner.CalendarKey{Workflow: "w", Host: "a"}, Labels: []string{"db"}, Since: since, Success: a.run(run).FinishedAt}}
	a.wantShares(want)
	b := member(t, dsn, "b", "1.0")
	want = append(want, runner.Share{CalendarKey: runner.CalendarKey{Workflow: "w", Host: "b"}, Since: since})
	b.wantShares(want)
	if err := b.Leave(b.ctx); err != nil {
		t.Fatalf("Leave: %v", err)
	}
	a.wantShares(want)
	if err := a.Forget(a.ctx, "b"); err != nil {
		t.Fatalf("Forget: %v", err)
	}
	a.wantShares(want[:1])
}

func (s *site) wantShares(want []runner.Share) {
	s.t.Helper()
	list, err := s.Shares(s.ctx, []string{"w", "never"})
	if err != nil {
		s.t.Fatalf("Shares: %v", err)
	}
	same(s.t, "shares", want, list)
}
