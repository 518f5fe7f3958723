package ledgertest

import (
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// testWithheld: from the moment at which a silence or a window begins nothing is
// sent of what is owed already. What lasts is told at its end, once; of what does
// not last nobody hears who had not heard of it before.
func testWithheld(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := time.Now().UTC().Truncate(time.Microsecond)
	for _, name := range []string{"lasts", "ends", "worse", "known"} {
		s.raise(checkFault(name, jobs.Warning, at, "ops", "pager"))
	}
	s.expect("before the silence", "pager", "open open open open")
	// Of one only pager knows; ops is sending another when the silence begins.
	taken, _ := s.take("ops", time.Now().Add(time.Second), 1)
	if len(taken) != 1 {
		t.Fatalf("ops takes %+v", taken)
	}
	s.silence("*", at, time.Hour)
	for _, name := range []string{"lasts", "ends", "worse", "known"} {
		if i := s.newest("check/" + name); i.Suppressed == "" {
			t.Errorf("%s is not suppressed when Silence returns", name)
		}
	}
	s.expect("withheld", "ops", "")
	for _, n := range s.notices(runner.NoticeFilter{Channel: "ops"}) {
		if n.Withheld != (n.State == runner.NoticePending) {
			t.Errorf("%s of %s, %s: withheld %t", n.Action, n.Incident, n.State, n.Withheld)
		}
	}
	s.must(s.Retry(s.ctx, taken[0].ID, "451", time.Now()))
	s.expect("given back and withheld", "ops", "")
	s.raise(checkFault("worse", jobs.Critical, at.Add(time.Minute), "ops"))
	s.expect("rose", "ops", "")
	s.clear("check/ends", at.Add(2*time.Minute))
	s.expect("ended", "ops", "")
	s.expect("ended, and was told", "pager", "resolve")
	if i := s.newest("check/ends"); strings.Join(i.Channels, " ") != "pager" {
		t.Errorf("those told of what ended are %q", i.Channels)
	}
	s.settle(at.Add(time.Hour))
	s.expect("the silence is over", "ops", "open open open")
	s.expect("one rose", "pager", "worse")
	s.clear("check/lasts", at.Add(2*time.Hour))
	s.expect("its end", "ops", "resolve")

	// A window that opens later does the same.
	opens := at.Add(3 * time.Hour)
	s.SetAlarm(windows{opens: opens, closes: opens.Add(time.Hour)})
	s.raise(checkFault("db", jobs.Critical, opens.Add(-time.Minute), "ops"))
	s.raise(checkFault("api", jobs.Critical, opens.Add(-time.Minute), "ops"))
	if next := s.settle(opens.Add(-time.Minute)); !next.Equal(opens) {
		t.Errorf("next is %s, want the opening of the window at %s", next, opens)
	}
	if next := s.settle(opens); !next.Equal(opens.Add(time.Hour)) {
		t.Errorf("next is %s, want the close of the window", next)
	}
	s.expect("one is outside of the window", "ops", "open")
	s.settle(opens.Add(time.Hour))
	s.expect("the window has closed", "ops", "open")
}
