package ledgertest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

const noticeLease = time.Minute

func (s *site) take(channel string, now time.Time, limit int) ([]runner.Notice, time.Time) {
	s.t.Helper()
	taken, next, err := s.Take(s.ctx, channel, now, noticeLease, limit)
	if err != nil {
		s.t.Fatalf("Take: %v", err)
	}
	return taken, next
}

// one takes the only notice that is due.
func (s *site) one(channel string, now time.Time) runner.Notice {
	s.t.Helper()
	taken, _ := s.take(channel, now, 10)
	if len(taken) != 1 {
		s.t.Fatalf("%d notices are due, want one: %+v", len(taken), taken)
	}
	return taken[0]
}

// must fails the test unless err is nil.
func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// reminder is a notice of nothing.
func reminder(channel, subject string) runner.Notice {
	return runner.Notice{Channel: channel, Action: runner.NoticeRemind, Subject: subject, Text: "body"}
}

// told returns where the notices of an incident stand, by action, with a
// star for those that are combined.
func (s *site) told(incident, channel string) map[runner.NoticeAction]string {
	s.t.Helper()
	out := map[runner.NoticeAction]string{}
	for _, n := range s.notices(runner.NoticeFilter{Incident: incident, Channel: channel}) {
		out[n.Action] = string(n.State)
		if n.Combined {
			out[n.Action] += "*"
		}
	}
	return out
}

func testOutbox(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	s.raise(fault("x"))
	now := time.Now().Add(time.Hour)
	if taken, next := s.take("nobody", now, 10); len(taken) > 0 || !next.IsZero() {
		t.Errorf("a channel without notices: %+v, next %s", taken, next)
	}
	n := s.one("ops", now)
	if n.Action != runner.NoticeOpen || n.State != runner.NoticeSending || n.Attempts != 1 || n.Incident != s.incidents(runner.IncidentFilter{})[0].ID || n.Combined {
		t.Errorf("taken: %+v", n)
	}
	if parsed, err := uuid.Parse(n.ID); err != nil || parsed.Version() != 7 {
		t.Errorf("the notice's ID is %q", n.ID)
	}
	until := now.Add(noticeLease).UTC().Truncate(time.Microsecond)
	if taken, next := s.take("ops", now, 10); len(taken) > 0 || !next.Equal(until) {
		t.Errorf("taken twice: %+v; next %s, want %s", taken, next, until)
	}
	again := s.one("ops", until)
	if again.ID != n.ID || again.Attempts != 2 {
		t.Errorf("after the lease: %+v", again)
	}
	later := until.Add(time.Hour)
	s.must(s.Retry(s.ctx, n.ID, "451 try later", later))
	s.must(s.Retry(s.ctx, n.ID, "451 try later", later))
	if taken, next := s.take("ops", later.Add(-time.Microsecond), 10); len(taken) > 0 || !next.Equal(later) {
		t.Errorf("before its time: %+v; next %s, want %s", taken, next, later)
	}
	s.one("ops", later)
	s.must(s.Sent(s.ctx, n.ID, "250 queued\nas 1"))
	s.must(s.Sent(s.ctx, n.ID, "250 queued\nas 1"))
	got := s.notices(runner.NoticeFilter{Channel: "ops"})
	if len(got) != 1 || got[0].State != runner.NoticeSent || got[0].Receipt != "250 queued as 1" || got[0].Error != "" || got[0].EndedAt.IsZero() || got[0].Attempts != 3 {
		t.Errorf("sent as %+v", got)
	}
	if taken, next := s.take("ops", later.AddDate(1, 0, 0), 10); len(taken) > 0 || !next.IsZero() {
		t.Errorf("after all is sent: %+v, next %s", taken, next)
	}
	for what, call := range outboxCalls(s) {
		for _, id := range []string{"", "00000000-0000-7000-8000-000000000000", "x\x00"} {
			if err := call(id); !errors.Is(err, runner.ErrNotFound) {
				t.Errorf("%s of notice %q: %v, want ErrNotFound", what, id, err)
			}
		}
	}
	if _, _, err := s.Take(s.ctx, "ops", now, 0, 10); err == nil {
		t.Error("Take without a lease was accepted")
	}
	if _, _, err := Open(t, dsn, nil).Take(s.ctx, "pager", now, noticeLease, 10); err == nil {
		t.Error("an instance that is not registered took notices")
	}
}

// outboxCalls are the changes of one notice.
func outboxCalls(s *site) map[string]func(id string) error {
	return map[string]func(string) error{
		"Sent":   func(id string) error { return s.Sent(s.ctx, id, "ok") },
		"Retry":  func(id string) error { return s.Retry(s.ctx, id, "why", time.Now()) },
		"Bury":   func(id string) error { return s.Bury(s.ctx, id, "why") },
		"Revive": func(id string) error { return s.Revive(s.ctx, id) },
	}
}

// testOutboxOrder: what is due longest goes first, in pages.
func testOutboxOrder(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	now := time.Now().UTC().Truncate(time.Microsecond)
	var list []runner.Notice
	for i := range 120 {
		n := reminder("ops", fmt.Sprint(i))
		n.NextAt = now.Add(-time.Duration(i) * time.Second)
		list = append(list, n)
	}
	later := reminder("ops", "later")
	later.NextAt = now.Add(time.Hour)
	s.must(s.Owe(s.ctx, append(list, later)...))
	var got []string
	for {
		taken, next := s.take("ops", now, 50)
		for _, n := range taken {
			got = append(got, n.Subject)
		}
		if len(taken) < 50 {
			if want := now.Add(noticeLease); len(got) != 120 || !next.Equal(want) {
				t.Errorf("%d taken, next %s, want %s", len(got), next, want)
			}
			break
		}
		if len(got) < 120 && next.After(now) {
			t.Errorf("after %d: next is %s, but more is due", len(got), next)
		}
	}
	want := make([]string, 120)
	for i := range want {
		want[i] = fmt.Sprint(119 - i)
	}
	same(t, "the order", want, got)
}

// testOutboxStates: which change is allowed in which state, and what it makes
// of it.
func testOutboxStates(t *testing.T, dsn secret.String) {
	s, other := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	now := time.Now().Add(time.Hour)
	reach := map[runner.NoticeState]func() string{}
	count := 0
	fresh := func() string {
		count++
		channel := fmt.Sprintf("channel-%d", count)
		s.must(s.Owe(s.ctx, reminder(channel, "x")))
		return s.notices(runner.NoticeFilter{Channel: channel})[0].ID
	}
	taken := func(by *site) string {
		id := fresh()
		by.one(fmt.Sprintf("channel-%d", count), now)
		return id
	}
	const foreign = "sending by another"
	reach[runner.NoticePending] = fresh
	reach[runner.NoticeSending] = func() string { return taken(s) }
	reach[foreign] = func() string { return taken(other) }
	reach[runner.NoticeSent] = func() string { id := taken(s); s.must(s.Sent(s.ctx, id, "first")); return id }
	reach[runner.NoticeDead] = func() string { id := taken(s); s.must(s.Bury(s.ctx, id, "first")); return id }
	reach[runner.NoticeSuperseded] = func() string {
		count++
		channel := fmt.Sprintf("channel-%d", count)
		f := fault(channel)
		f.Channels = []string{channel}
		s.raise(f)
		s.clear(f.Fingerprint, Midnight())
		return s.notices(runner.NoticeFilter{Channel: channel, States: []runner.NoticeState{runner.NoticeSuperseded}})[0].ID
	}
	const refused = ""
	want := map[string]map[runner.NoticeState]runner.NoticeState{
		"Sent":   {"pending": "sent", "sending": "sent", foreign: "sent", "sent": "sent", "dead": "sent", "superseded": "superseded"},
		"Retry":  {"pending": refused, "sending": "pending", foreign: refused, "sent": refused, "dead": refused, "superseded": refused},
		"Bury":   {"pending": "dead", "sending": "dead", foreign: "dead", "sent": refused, "dead": "dead", "superseded": refused},
		"Revive": {"pending": "pending", "sending": refused, foreign: refused, "sent": refused, "dead": "pending", "superseded": refused},
	}
	for what, call := range outboxCalls(s) {
		for from, make := range reach {
			id := make()
			find := func() runner.Notice {
				all := s.notices(runner.NoticeFilter{Limit: 1000})
				return all[slices.IndexFunc(all, func(n runner.Notice) bool { return n.ID == id })]
			}
			before := find()
			err := call(id)
			after := find()
			if want := want[what][from]; want == refused {
				if !errors.Is(err, runner.ErrNoticeState) {
					t.Errorf("%s of a notice that is %s: %v, want ErrNoticeState", what, from, err)
				}
				same(t, what+" of a notice that is "+string(from), before, after)
			} else if err != nil || after.State != want {
				t.Errorf("%s of a notice that is %s: %v, it is %s, want %s", what, from, err, after.State, want)
			}
			if owed := after.State == runner.NoticePending || after.State == runner.NoticeSending; owed != after.EndedAt.IsZero() {
				t.Errorf("%s of a notice that is %s: it is %s and ended at %s", what, from, after.State, after.EndedAt)
			}
		}
	}
}

// testSupersede: what a channel hears of an incident, by where the notice of
// its opening stands when it ends.
func testSupersede(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	now := time.Now().Add(time.Hour)
	tests := []struct {
		name string
		// before happens to the notice n of the opening, which is due, before
		// the incident ends, and after after that.
		before, after func(id string)
		told          map[runner.NoticeAction]string
		heard         []string
	}{
		{"never tried", nil, nil, map[runner.NoticeAction]string{"open": "superseded", "resolve": "pending*"}, []string{"resolve*"}},
		{"tried in vain", func(id string) {
			s.one("ops", now)
			s.must(s.Retry(s.ctx, id, "away", now.Add(time.Hour)))
		}, nil, map[runner.NoticeAction]string{"open": "superseded", "resolve": "pending*"}, []string{"resolve*"}},
		{"given up", func(id string) { s.must(s.Bury(s.ctx, id, "no")) }, nil, map[runner.NoticeAction]string{"open": "superseded", "resolve": "pending*"}, []string{"resolve*"}},
		{"sent", func(id string) { s.one("ops", now); s.must(s.Sent(s.ctx, id, "ok")) }, nil, map[runner.NoticeAction]string{"open": "sent", "resolve": "pending"}, []string{"resolve"}},
		{"being sent", func(string) { s.one("ops", now) }, nil, map[runner.NoticeAction]string{"open": "sending", "resolve": "pending"}, []string{"open", "resolve"}},
		{
			"being sent, accepted", func(string) { s.one("ops", now) }, func(id string) { s.must(s.Sent(s.ctx, id, "ok")) },
			map[runner.NoticeAction]string{"open": "sent", "resolve": "pending"},
			[]string{"resolve"},
		},
		{"being sent, in vain", func(string) { s.one("ops", now) }, func(id string) {
			s.must(s.Retry(s.ctx, id, "away", now))
			s.must(s.Retry(s.ctx, id, "away", now))
		}, map[runner.NoticeAction]string{"open": "superseded", "resolve": "pending*"}, []string{"resolve*"}},
		{"being sent, refused", func(string) { s.one("ops", now) }, func(id string) {
			s.must(s.Bury(s.ctx, id, "550"))
			s.must(s.Bury(s.ctx, id, "550"))
		}, map[runner.NoticeAction]string{"open": "superseded", "resolve": "pending*"}, []string{"resolve*"}},
	}
	for i, test := range tests {
		f := fault(fmt.Sprint(i))
		f.Channels = []string{"ops"}
		s.raise(f)
		incident := s.incidents(runner.IncidentFilter{Fingerprint: f.Fingerprint})[0].ID
		opening := s.notices(runner.NoticeFilter{Incident: incident})[0].ID
		if test.before != nil {
			test.before(opening)
		}
		s.clear(f.Fingerprint, Midnight())
		if test.after != nil {
			test.after(opening)
		}
		same(t, test.name+": notices", test.told, s.told(incident, "ops"))
		same(t, test.name+": heard", test.heard, s.hear("ops", now))
	}
}

// hear sends all that is owed to a channel and returns what people heard. What
// is being sent is lost with its lease, so that it goes out anew.
func (s *site) hear(channel string, now time.Time) []string {
	s.t.Helper()
	var heard []string
	for ; ; now = now.Add(2 * noticeLease) {
		taken, next := s.take(channel, now, 10)
		for _, n := range taken {
			heard = append(heard, tale(n))
			s.must(s.Sent(s.ctx, n.ID, "ok"))
		}
		if len(taken) == 0 && next.IsZero() {
			return heard
		}
	}
}

// tale is what people hear: the action, with a star when it is combined.
func tale(n runner.Notice) string {
	if n.Combined {
		return string(n.Action) + "*"
	}
	return string(n.Action)
}

// testOutboxDeath: what an instance was sending when it died is due at once,
// what a living one sends is not.
func testOutboxDeath(t *testing.T, dsn secret.String) {
	s, dying := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	s.must(s.Owe(s.ctx, reminder("ops", "x")))
	now := time.Now().Add(time.Hour)
	n := dying.one("ops", now)
	if taken, _ := s.take("ops", now, 10); len(taken) > 0 {
		t.Errorf("taken from a living instance: %+v", taken)
	}
	s.must(dying.Leave(s.ctx))
	if again := s.one("ops", now); again.ID != n.ID || again.Attempts != 2 {
		t.Errorf("after the death: %+v", again)
	}
	if err := dying.Retry(s.ctx, n.ID, "late", now); !errors.Is(err, runner.ErrNoticeState) {
		t.Errorf("the dead instance gives it back: %v, want ErrNoticeState", err)
	}
	if _, _, err := dying.Take(s.ctx, "ops", now, noticeLease, 1); err == nil {
		t.Error("the dead instance took notices")
	}
	short := join(t, dsn, "c", shortLease)
	s.must(s.Owe(s.ctx, reminder("pager", "y")))
	short.one("pager", now)
	deadline := time.Now().Add(time.Minute)
	for {
		if taken, _ := s.take("pager", now, 10); len(taken) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what an instance without a lease was sending never became due")
		}
		time.Sleep(shortLease / 10)
	}
	if left := short.LeaseLeft(); left > 0 {
		t.Errorf("taken while the instance had %s of its lease left", left)
	}
}

// testOutboxBack: what an instance was sending when it lost its lease is its own
// again when it has registered anew before somebody took that over.
func testOutboxBack(t *testing.T, dsn secret.String) {
	s, away := join(t, dsn, "a", longLease), join(t, dsn, "b", shortLease)
	s.must(s.Owe(s.ctx, reminder("ops", "x")))
	now := time.Now().Add(time.Hour)
	n := away.one("ops", now)
	was := away.Instance()
	eventually(t, "its lease has run out", func() bool { return away.LeaseLeft() <= 0 })
	if err := away.Heartbeat(away.ctx); !errors.Is(err, runner.ErrLeaseLost) {
		t.Fatalf("Heartbeat: %v, want ErrLeaseLost", err)
	}
	s.must(away.Register(away.ctx))
	if away.Instance() == was {
		t.Fatalf("it is %s again", was)
	}
	if taken, _ := s.take("ops", now, 10); len(taken) > 0 {
		t.Errorf("taken from an instance that is back: %+v", taken)
	}
	if err := away.Retry(away.ctx, n.ID, "later", now.Add(time.Hour)); err != nil {
		t.Errorf("it gives the notice back: %v", err)
	}
}
