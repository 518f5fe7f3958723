package ledgertest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// windows is an alarm with a maintenance window for checks whose names begin
// with d, and with jobs that disturb those whose names begin with web.
type windows struct {
	verdicts

	opens, closes time.Time
	jobs          []runner.Place
}

func (w windows) Window(f runner.Fault, at time.Time) (string, time.Time) {
	if strings.HasPrefix(f.Check, "d") && !at.Before(w.opens) && at.Before(w.closes) {
		return "nightly", w.closes
	}
	return "", time.Time{}
}

// peace finds nothing wrong with any run.
func peace(runner.Run) runner.Verdict { return runner.Verdict{} }

func (w windows) Opens(f runner.Fault, at time.Time) time.Time {
	if strings.HasPrefix(f.Check, "d") && at.Before(w.opens) {
		return w.opens
	}
	return time.Time{}
}

func (w windows) Disturbers(f runner.Fault) []runner.Place {
	if strings.HasPrefix(f.Check, "web") {
		return w.jobs
	}
	return nil
}

func (w windows) Disturbs(p runner.Place) bool { return slices.Contains(w.jobs, p) }

// testWindows: what is expected within a maintenance window is told when it
// lasts longer.
func testWindows(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := time.Now().UTC().Truncate(time.Microsecond)
	closes := at.Add(time.Hour)
	s.SetAlarm(windows{opens: at, closes: closes})
	s.raise(checkFault("db", jobs.Critical, at, "ops"))
	s.raise(checkFault("disk", jobs.Critical, at, "ops"))
	s.raise(checkFault("api", jobs.Critical, at, "ops"))
	if i := s.newest("check/db"); i.Suppressed != "window nightly" {
		t.Errorf("within the window: %+v", i)
	}
	s.expect("one is outside of the window", "ops", "open")
	s.clear("check/disk", at.Add(time.Minute))
	if next := s.settle(at.Add(time.Minute)); !next.Equal(closes) {
		t.Errorf("next is %s, want the close of the window at %s", next, closes)
	}
	s.expect("within", "ops", "")
	if next := s.settle(closes); !next.IsZero() {
		t.Errorf("after the close next is %s", next)
	}
	s.expect("it lasts", "ops", "open")
	s.raise(checkFault("db", jobs.Critical, closes, "ops"))
	s.clear("check/db", closes.Add(time.Minute))
	s.expect("its end", "ops", "resolve")
}
