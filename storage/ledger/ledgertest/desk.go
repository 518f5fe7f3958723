package ledgertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// checkFault is the fault of a check.
func checkFault(name string, severity jobs.Severity, at time.Time, channels ...string) runner.Fault {
	return runner.Fault{
		Fingerprint: "check/" + name, Check: name, Severity: severity, Reason: "check", Title: name + " is " + string(severity),
		At: at, LastGood: at.Add(-time.Minute), FirstBad: at.Add(-time.Second), Channels: channels,
	}
}

func (s *site) settle(now time.Time) time.Time {
	s.t.Helper()
	next, err := s.Settle(s.ctx, now)
	if err != nil {
		s.t.Fatalf("Settle: %v", err)
	}
	return next
}

// newest returns the newest incident of a fingerprint.
func (s *site) newest(fingerprint string) runner.Incident {
	s.t.Helper()
	list := s.incidents(runner.IncidentFilter{Fingerprint: fingerprint, Limit: 2})
	if len(list) == 0 {
		s.t.Fatalf("no incident of %s", fingerprint)
	}
	return list[0]
}

// story lists the kinds of the entries of the newest incident of a
// fingerprint.
func (s *site) story(fingerprint string) string {
	s.t.Helper()
	list, err := s.Timeline(s.ctx, s.newest(fingerprint).ID)
	if err != nil {
		s.t.Fatalf("Timeline: %v", err)
	}
	var kinds []string
	for _, e := range list {
		kinds = append(kinds, string(e.Kind))
	}
	return strings.Join(kinds, " ")
}

// expect looks at what a channel hears now, in words, and sends it.
func (s *site) expect(what, channel, want string) {
	s.t.Helper()
	if got := strings.Join(s.hear(channel, time.Now().AddDate(1, 0, 0)), " "); got != want {
		s.t.Errorf("%s: %s hears %q, want %q", what, channel, got, want)
	}
}

func testSeverity(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := time.Now().UTC().Truncate(time.Microsecond)
	opening := checkFault("db", jobs.Warning, at, "ops", "chat")
	opening.Evidence = []runner.Evidence{{Name: "memory", Text: "total 1\nfree 0\x00"}, {Name: "units", Text: strings.Repeat("x", 70<<10)}}
	s.raise(opening)
	got := s.newest("check/db")
	want := runner.Incident{Fault: opening, State: runner.IncidentOpen, Count: 1, OpenedAt: at, LastAt: at}
	want.Evidence = nil
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(runner.Incident{}, "ID")); diff != "" {
		t.Errorf("the incident of a check (-want +got):\n%s", diff)
	}
	s.expect("opened", "ops", "open")

	// chat was not told yet: its opening will say how it is then.
	s.raise(checkFault("db", jobs.Critical, at.Add(time.Minute), "ops", "chat", "pager"))
	s.expect("rose", "ops", "worse")
	s.expect("rose before anything was sent", "chat", "open")
	s.expect("rose to where somebody else is told, too", "pager", "open")
	s.raise(checkFault("db", jobs.Warning, at.Add(2*time.Minute), "ops"))
	s.expect("fell", "ops", "")
	s.must(s.Ack(s.ctx, got.ID[:30], "anna", "on it", time.Time{}))
	s.expect("acknowledged", "ops", "ack")
	s.raise(checkFault("db", jobs.Critical, at.Add(3*time.Minute), "ops"))
	if i := s.newest("check/db"); !i.AckedAt.IsZero() || i.AckedBy != "" || i.Severity != jobs.Critical || i.Count != 4 {
		t.Errorf("after it got worse: %+v", i)
	}
	s.expect("rose again", "ops", "worse")
	// What was not sent when the end comes is not needed any more.
	s.raise(checkFault("db", jobs.Warning, at.Add(4*time.Minute)))
	s.raise(checkFault("db", jobs.Critical, at.Add(5*time.Minute)))
	s.clear("check/db", at.Add(6*time.Minute))
	for _, channel := range []string{"ops", "chat", "pager"} {
		s.expect("the end", channel, "resolve")
	}
	story := strings.Fields(s.story("check/db"))
	slices.Sort(story[3:])
	if got := strings.Join(story, " "); got != "opened evidence evidence acked better better resolved unacked worse worse worse" {
		t.Errorf("the timeline holds %q", got)
	}
	list, err := s.Timeline(s.ctx, got.ID)
	if err != nil || list[1].Name != "memory" || !strings.HasPrefix(list[1].Text, "total 1\nfree 0") || len(list[2].Text) > 65<<10 {
		t.Errorf("evidence: %+v, %v", list[1], err)
	}
}

// testWorseOrder: what is told later waits for what is told before, and what is
// not sent when the end comes goes with it.
func testWorseOrder(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	now := time.Now().Add(time.Hour)
	s.raise(checkFault("db", jobs.Warning, Midnight(), "ops"))
	first := s.one("ops", now)
	s.raise(checkFault("db", jobs.Critical, Midnight(), "ops"))
	if taken, _ := s.take("ops", now, 10); len(taken) > 0 {
		t.Errorf("taken before the opening was sent: %+v", taken)
	}
	s.must(s.Sent(s.ctx, first.ID, "ok"))
	worse := s.one("ops", now)
	if worse.Action != runner.NoticeWorse {
		t.Fatalf("after the opening comes %s", worse.Action)
	}
	s.must(s.Retry(s.ctx, worse.ID, "451", now.Add(time.Minute)))
	s.must(s.Ack(s.ctx, worse.Incident, "anna", "", time.Time{}))
	s.clear("check/db", Midnight())
	same(t, "notices", map[runner.NoticeAction]string{"open": "sent", "worse": "superseded", "ack": "superseded", "resolve": "pending"}, s.told(worse.Incident, "ops"))
	s.expect("the end", "ops", "resolve")

	// Being sent when the end comes, and not accepted.
	s.raise(checkFault("api", jobs.Warning, Midnight(), "chat"))
	s.raise(checkFault("api", jobs.Warning, Midnight(), "chat"))
	open := s.one("chat", now)
	s.must(s.Bury(s.ctx, open.ID, "550"))
	s.raise(checkFault("api", jobs.Critical, Midnight(), "chat"))
	worse = s.one("chat", now)
	s.clear("check/api", Midnight())
	if taken, _ := s.take("chat", now, 10); len(taken) > 0 {
		t.Errorf("taken while something before is being sent: %+v", taken)
	}
	s.must(s.Retry(s.ctx, worse.ID, "451", now))
	same(t, "notices", map[runner.NoticeAction]string{"open": "superseded", "worse": "superseded", "resolve": "pending*"}, s.told(worse.Incident, "chat"))
}

func testDesk(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	s.raise(checkFault("db", jobs.Critical, Midnight(), "ops"))
	id := s.newest("check/db").ID
	s.expect("opened", "ops", "open")
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	for range 2 {
		s.must(s.Ack(s.ctx, id, "anna", "on it", until))
		s.must(s.Note(s.ctx, id, "anna", "two\nlines"))
	}
	i := s.newest("check/db")
	if i.AckedBy != "anna" || !i.AckedUntil.Equal(until) || time.Since(i.AckedAt) > time.Minute {
		t.Errorf("acknowledged: %+v", i)
	}
	s.must(s.Ack(s.ctx, id, "anna", "", until.Add(time.Hour)))
	s.expect("acknowledged for longer", "ops", "ack")
	s.must(s.Ack(s.ctx, id, "bert", "", until))
	s.expect("acknowledged by another", "ops", "ack")
	if next := s.settle(time.Now()); !next.Equal(until) {
		t.Errorf("next is %s, want the end of the acknowledgement at %s", next, until)
	}
	if next := s.settle(until); !next.IsZero() || !s.newest("check/db").AckedAt.IsZero() {
		t.Errorf("after its time the acknowledgement stands, next %s", next)
	}
	for range 2 {
		s.must(s.Resolve(s.ctx, id, "bert", "repaired"))
	}
	s.expect("resolved by hand", "ops", "resolve")
	s.must(s.Note(s.ctx, id, "anna", "after the fact"))
	if err := s.Resolve(s.ctx, id, "anna", ""); !errors.Is(err, runner.ErrIncidentState) {
		t.Errorf("resolved twice: %v", err)
	}
	if err := s.Ack(s.ctx, id, "anna", "", time.Time{}); !errors.Is(err, runner.ErrIncidentState) {
		t.Errorf("acknowledged after the end: %v", err)
	}
	list, err := s.Timeline(s.ctx, id)
	var told []string
	for _, e := range list {
		if e.By != "" {
			told = append(told, fmt.Sprintf("%s by %s: %s", e.Kind, e.By, strings.TrimSuffix(e.Text, "until "+until.Format(time.RFC3339))))
		}
	}
	slices.Sort(told)
	want := []string{
		"acked by anna: on it; ", "acked by anna: until " + until.Add(time.Hour).Format(time.RFC3339), "acked by bert: ",
		"note by anna: after the fact", "note by anna: two\nlines", "resolved by bert: repaired",
	}
	if diff := cmp.Diff(want, told); diff != "" || err != nil {
		t.Errorf("what people did (-want +got):\n%s%v", diff, err)
	}
	for what, call := range map[string]func(id string) error{
		"Ack":      func(id string) error { return s.Ack(s.ctx, id, "anna", "", time.Time{}) },
		"Note":     func(id string) error { return s.Note(s.ctx, id, "anna", "x") },
		"Resolve":  func(id string) error { return s.Resolve(s.ctx, id, "anna", "") },
		"Timeline": func(id string) error { _, err := s.Timeline(s.ctx, id); return err },
	} {
		for _, id := range []string{"", "x\x00", "00000000-0000-7000-8000-000000000000"} {
			if err := call(id); !errors.Is(err, runner.ErrNotFound) {
				t.Errorf("%s of incident %q: %v, want ErrNotFound", what, id, err)
			}
		}
	}
	if err := errors.Join(s.Note(s.ctx, id, "", "x"), s.Note(s.ctx, id, "anna", " ")); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("a note of nobody and an empty one: %v", err)
	}
}

// testBegan: people know better when a fault began than the check that saw it.
func testBegan(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := time.Now().UTC().Truncate(time.Microsecond)
	s.raise(checkFault("db", jobs.Critical, at, "ops"))
	i := s.newest("check/db")
	began := at.Add(-3 * time.Hour)
	for range 2 { // an answer may be lost
		s.must(s.Began(s.ctx, i.ID[:20], "anna", began))
	}
	s.raise(checkFault("db", jobs.Critical, at.Add(time.Minute), "ops"))
	if i = s.newest("check/db"); !i.FirstBad.Equal(began) || !i.LastGood.Equal(began) || !i.OpenedAt.Equal(at) {
		t.Errorf("it began at %s, and the incident says %s to %s, opened %s", began, i.LastGood, i.FirstBad, i.OpenedAt)
	}
	if story := s.story("check/db"); story != "opened began" {
		t.Errorf("the timeline is %q", story)
	}
	s.clear("check/db", at.Add(2*time.Minute))
	s.must(s.Began(s.ctx, i.ID, "anna", at))
	if i = s.newest("check/db"); !i.FirstBad.Equal(at) || i.State != runner.IncidentResolved {
		t.Errorf("said after its end: %+v", i)
	}
	for what, err := range map[string]error{
		"after it opened": s.Began(s.ctx, i.ID, "anna", at.Add(time.Second)), "never": s.Began(s.ctx, i.ID, "anna", time.Time{}),
	} {
		if _, wrong := errors.AsType[*jobs.FieldError](err); !wrong {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Began(s.ctx, i.ID, " ", at); err == nil {
		t.Error("nobody may say when it began")
	}
}

func testDuties(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	now := time.Now()
	s.raise(checkFault("db", jobs.Critical, now, "ops"))
	id := s.newest("check/db").ID
	repeat := func(what, channel string, seq int, want bool) {
		t.Helper()
		if owed, err := s.Repeat(s.ctx, id, channel, seq, now); err != nil || owed != want {
			t.Errorf("Repeat, %s: %t, %v", what, owed, err)
		}
	}
	widen := func(what string, want int, channels ...string) {
		t.Helper()
		if owed, err := s.Widen(s.ctx, id, "nobody has acknowledged it", now, channels...); err != nil || owed != want {
			t.Errorf("Widen, %s: %d, %v", what, owed, err)
		}
	}
	repeat("before the opening was sent", "ops", 1, false)
	s.expect("opened", "ops", "open")
	repeat("told", "ops", 1, true)
	repeat("owed already", "ops", 2, false)
	s.expect("repeated", "ops", "repeat")
	repeat("the same", "ops", 1, false)
	repeat("another channel", "boss", 1, false)
	widen("another channel", 1, "boss", "ops", "boss")
	widen("again", 0, "boss")
	if n := s.notices(runner.NoticeFilter{Incident: id, Channel: "boss"}); len(n) != 1 || n[0].Text != "nobody has acknowledged it" || n[0].Action != runner.NoticeOpen {
		t.Errorf("the boss is owed %+v", n)
	}
	s.must(s.Ack(s.ctx, id, "anna", "", time.Time{}))
	s.expect("acknowledged", "ops", "ack")
	repeat("acknowledged", "ops", 3, false)
	widen("acknowledged", 0, "more")

	divert := func(what, notice, to string, want bool) {
		t.Helper()
		if owed, err := s.Divert(s.ctx, notice, to, "ops does not answer"); err != nil || owed != want {
			t.Errorf("Divert, %s: %t, %v", what, owed, err)
		}
	}
	opening := s.notices(runner.NoticeFilter{Incident: id, Channel: "boss"})
	first := opening[len(opening)-1].ID
	s.must(s.Bury(s.ctx, first, "550"))
	divert("of an opening", first, "chat", true)
	divert("again", first, "chat", false)
	divert("to one who was told", first, "ops", false)
	s.expect("diverted", "chat", "open")
	s.clear("check/db", now)
	for channel, want := range map[string]string{"ops": "resolve", "chat": "resolve", "boss": "resolve*"} {
		if channel == "boss" {
			end := s.one("boss", now.Add(time.Hour))
			s.must(s.Bury(s.ctx, end.ID, "550"))
			divert("of an end, to one who was told", end.ID, "chat", false)
			divert("of an end", end.ID, "mail", true)
			divert("again", end.ID, "mail", false)
			s.expect("diverted", "mail", "resolve*")
			continue
		}
		s.expect("the end", channel, want)
	}
	divert("of an opening that is over", first, "late", false)
	s.must(s.Owe(s.ctx, reminder("ops", "paused")))
	reminder := s.one("ops", now.Add(time.Hour))
	divert("of a reminder", reminder.ID, "chat", true)
	divert("again", reminder.ID, "chat", false)
	if n := s.one("chat", now.Add(time.Hour)); n.Subject != "paused" || n.Action != runner.NoticeRemind {
		t.Errorf("diverted: %+v", n)
	}
	if _, err := s.Repeat(s.ctx, "00000000-0000-7000-8000-000000000000", "ops", 0, now); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("Repeat of nothing: %v", err)
	}
	if _, err := s.Divert(s.ctx, "x\x00", "ops", ""); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("Divert of nothing: %v", err)
	}
}
