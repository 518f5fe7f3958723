package ledgertest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// silence records a silence of checks from since on, for a while.
func (s *site) silence(check string, since time.Time, lasts time.Duration) string {
	s.t.Helper()
	id, err := s.Silence(s.ctx, runner.Silence{Check: check, Why: "moving", By: "anna", Since: since, Until: since.Add(lasts)})
	if err != nil {
		s.t.Fatalf("Silence: %v", err)
	}
	return id
}

func testSilences(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := time.Now().UTC().Truncate(time.Microsecond)
	id := s.silence("d?", at, time.Hour)
	s.raise(checkFault("db", jobs.Warning, at, "ops"))
	s.raise(checkFault("api", jobs.Warning, at, "ops"))
	if i := s.newest("check/db"); i.Suppressed != "silence "+id || len(i.Channels) > 0 {
		t.Errorf("silenced: %+v", i)
	}
	s.expect("one of two is silenced", "ops", "open")
	if next := s.settle(at.Add(time.Minute)); !next.Equal(at.Add(time.Hour)) {
		t.Errorf("next is %s, want the end of the silence", next)
	}
	s.raise(checkFault("db", jobs.Critical, at.Add(time.Minute), "pager"))
	s.expect("worse while silenced", "ops", "")
	s.expect("one more channel while silenced", "pager", "")
	if next := s.settle(at.Add(time.Hour)); !next.IsZero() {
		t.Errorf("after the silence next is %s", next)
	}
	if i := s.newest("check/db"); i.Suppressed != "" || strings.Join(i.Channels, " ") != "ops pager" {
		t.Errorf("after the silence: %+v", i)
	}
	s.expect("the silence is over", "ops", "open")
	s.expect("the silence is over", "pager", "open")
	if story := s.story("check/db"); story != "opened suppressed worse released" {
		t.Errorf("the timeline is %q", story)
	}

	// What ends before the silence is never told, the end of what was told is.
	id = s.silence("*", at.Add(2*time.Hour), time.Hour)
	s.settle(at.Add(2 * time.Hour))
	if i := s.newest("check/db"); i.Suppressed != "silence "+id {
		t.Errorf("open when the silence began: %+v", i)
	}
	s.raise(checkFault("new", jobs.Warning, at.Add(2*time.Hour), "ops"))
	s.clear("check/new", at.Add(2*time.Hour+time.Minute))
	s.expect("began and ended within the silence", "ops", "")
	s.clear("check/db", at.Add(2*time.Hour+time.Minute))
	s.expect("told before, ended within the silence", "ops", "resolve")

	// Of what rose meanwhile those who were told before hear.
	s.raise(checkFault("api", jobs.Critical, at.Add(2*time.Hour+2*time.Minute), "ops"))
	s.expect("rose within the silence", "ops", "")
	s.settle(at.Add(3 * time.Hour))
	s.expect("rose within the silence that is over", "ops", "worse")

	// Ended by hand, and for one severity only.
	warnings, err := s.Silence(s.ctx, runner.Silence{Reason: "ch*", Severity: "warning", Why: "x", By: "anna", Until: at.AddDate(1, 0, 0)})
	s.must(err)
	s.raise(checkFault("disk", jobs.Warning, time.Now(), "ops"))
	s.expect("a warning", "ops", "")
	s.raise(checkFault("disk", jobs.Critical, time.Now(), "ops"))
	s.expect("no warning any more", "ops", "open")
	s.raise(checkFault("other", jobs.Warning, time.Now(), "ops"))
	for range 2 {
		s.must(s.EndSilence(s.ctx, warnings, "anna"))
	}
	s.settle(time.Now())
	s.expect("the silence was ended", "ops", "open")
	s.refuseSilences(at)
}

func (s *site) refuseSilences(at time.Time) {
	s.t.Helper()
	if all, err := s.Silences(s.ctx, at.Add(4*time.Hour), true); err != nil || len(all) != 3 || all[0].EndedAt.IsZero() || all[0].By != "anna" {
		s.t.Errorf("all silences: %+v, %v", all, err)
	}
	if some, err := s.Silences(s.ctx, at.Add(time.Minute), false); err != nil || len(some) != 2 {
		s.t.Errorf("silences that have not ended: %+v, %v", some, err)
	}
	if err := s.EndSilence(s.ctx, "00000000-0000-7000-8000-000000000000", "anna"); !errors.Is(err, runner.ErrNotFound) {
		s.t.Errorf("an unknown silence: %v", err)
	}
	for name, change := range map[string]func(*runner.Silence){
		"no pattern":  func(v *runner.Silence) { v.Check = "[a" },
		"backwards":   func(v *runner.Silence) { v.Until = v.Since },
		"nobody":      func(v *runner.Silence) { v.By = "" },
		"no reason":   func(v *runner.Silence) { v.Why = "" },
		"severity":    func(v *runner.Silence) { v.Severity = "bad" },
		"ID":          func(v *runner.Silence) { v.ID = "x" },
		"both":        func(v *runner.Silence) { v.Check, v.Workflow = "a", "b" },
		"unspeakable": func(v *runner.Silence) { v.Reason = "\x00" },
	} {
		v := runner.Silence{Why: "x", By: "anna", Since: at, Until: at.Add(time.Hour)}
		change(&v)
		if _, err := s.Silence(s.ctx, v); err == nil {
			s.t.Errorf("%s: accepted", name)
		}
	}
}
