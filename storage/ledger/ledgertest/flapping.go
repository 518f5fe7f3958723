package ledgertest

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// testFlapping: what comes and goes is told once, and then how it ended up.
func testFlapping(t *testing.T, dsn secret.String) {
	l := Open(t, dsn, func(o *ledger.Options) { o.LeaseTTL, o.Flapping = longLease, ledger.Flapping{} })
	s := &site{Ledger: l, t: t, ctx: t.Context()}
	s.must(s.Register(s.ctx))
	at := time.Now().UTC().Truncate(time.Microsecond)
	minute := func(n int) time.Time { return at.Add(time.Duration(n) * time.Minute) }
	raise := func(name string, n int, severity jobs.Severity) {
		s.raise(checkFault(name, severity, minute(n), "ops"))
	}
	for n := range 2 {
		raise("db", 2*n, jobs.Warning)
		s.clear("check/db", minute(2*n+1))
	}
	s.expect("twice", "ops", "resolve* resolve*")
	raise("db", 4, jobs.Warning)
	if i := s.newest("check/db"); !i.Flapping {
		t.Errorf("after five changes: %+v", i)
	}
	s.expect("it comes and goes", "ops", "open")
	for n := 5; n < 60; n += 2 {
		if s.clear("check/db", minute(n)) {
			t.Fatal("an incident that comes and goes was resolved")
		}
		s.settle(minute(n))
		raise("db", n+1, jobs.Warning)
	}
	s.expect("it goes on", "ops", "")
	s.clear("check/db", minute(61))
	if next := s.settle(minute(70)); !next.Equal(minute(71)) {
		t.Errorf("next is %s, want ten minutes after the last change", next)
	}
	s.settle(minute(71))
	if i := s.newest("check/db"); i.State != runner.IncidentResolved || !i.ResolvedAt.Equal(minute(61)) || i.Flapping {
		t.Errorf("well for ten minutes: %+v", i)
	}
	s.expect("it is well", "ops", "resolve")

	// Ends up bad, and by its severity.
	for n := range 6 {
		raise("api", 2*n, jobs.Warning)
		raise("api", 2*n+1, []jobs.Severity{jobs.Critical, jobs.Warning}[n%2])
	}
	s.expect("a severity that comes and goes", "ops", "open")
	s.settle(minute(30))
	if i := s.newest("check/api"); i.Flapping || i.State != runner.IncidentOpen {
		t.Errorf("bad for ten minutes: %+v", i)
	}
	s.expect("it lasts", "ops", "repeat")
	s.clear("check/api", minute(90))
	s.expect("its end, later", "ops", "resolve")

	// Held open by its fifth change being an end, then resolved by hand.
	for n := range 2 {
		s.raise(checkFault("web", jobs.Warning, minute(2*n), "ops"))
		s.clear("check/web", minute(2*n+1))
	}
	s.raise(checkFault("web", jobs.Warning, minute(20), "ops"))
	s.must(s.Resolve(s.ctx, s.newest("check/web").ID, "anna", "enough"))
	if i := s.newest("check/web"); i.State != runner.IncidentResolved || i.Flapping {
		t.Errorf("resolved by hand: %+v", i)
	}
	// Seldom enough, it is told each time.
	for n := range 4 {
		raise("slow", 20*n, jobs.Warning)
		if !s.clear("check/slow", minute(20*n+1)) {
			t.Error("four changes within an hour keep it open")
		}
	}
}
