package ledgertest

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
)

// testParents: of what another fault causes nobody hears, unless it lasts for
// longer.
func testParents(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := time.Now().UTC().Truncate(time.Microsecond)
	child := checkFault("api", jobs.Critical, at, "ops", "pager")
	child.Parent = "check/db"
	s.raise(checkFault("db", jobs.Critical, at, "ops"))
	s.raise(child)
	s.expect("the cause alone", "ops", "open")
	if i := s.newest("check/api"); i.Suppressed != "parent check/db" || i.Parent != "check/db" {
		t.Errorf("caused: %+v", i)
	}
	if next := s.settle(at.Add(time.Hour)); !next.IsZero() {
		t.Errorf("while the cause lasts next is %s", next)
	}
	s.clear("check/db", at.Add(time.Hour))
	next := s.settle(at.Add(time.Hour))
	if wait := next.Sub(at.Add(time.Hour)); wait <= 0 || wait > 10*time.Minute {
		t.Errorf("after the cause has ended next is %s later", wait)
	}
	s.expect("the cause", "ops", "resolve")
	s.settle(next.Add(-time.Second))
	s.expect("soon after", "pager", "")
	s.settle(next)
	s.expect("it lasts", "pager", "open")
	s.expect("it lasts", "ops", "open")
	s.clear("check/api", next)
	s.expect("its end", "pager", "resolve")

	// Ends soon after its cause: nobody heard of it.
	child.At = next.Add(time.Hour)
	s.raise(checkFault("db", jobs.Critical, child.At))
	s.raise(child)
	s.clear("check/db", child.At.Add(time.Minute))
	s.settle(child.At.Add(time.Minute))
	s.clear("check/api", child.At.Add(2*time.Minute))
	s.settle(child.At.Add(time.Hour))
	s.expect("ended soon after its cause", "pager", "")
	// The cause comes back before it was released.
	child.At = next.Add(3 * time.Hour)
	s.raise(checkFault("db", jobs.Critical, child.At))
	s.raise(child)
	s.clear("check/db", child.At.Add(time.Minute))
	s.settle(child.At.Add(time.Minute))
	s.raise(checkFault("db", jobs.Critical, child.At.Add(2*time.Minute)))
	if next := s.settle(child.At.Add(time.Hour)); !next.IsZero() {
		t.Errorf("the cause is back, and next is %s", next)
	}
	s.expect("the cause is back", "pager", "")
	// A fault without an open parent is told at once.
	alone := checkFault("web", jobs.Critical, at, "chat")
	alone.Parent = "check/gone"
	s.raise(alone)
	s.expect("no cause", "chat", "open")
}
