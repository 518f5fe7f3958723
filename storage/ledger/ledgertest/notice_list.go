package ledgertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

func testOwe(t *testing.T, dsn secret.String) {
	s, _, owed := guarded(t, dsn)
	id := uuid.Must(uuid.NewV7()).String()
	n := reminder("ops", "two\nlines \xff\x00")
	n.ID, n.Text = id, "line\nline \xff\x00"+strings.Repeat("é", 20_000)
	s.must(s.Owe(s.ctx, n))
	s.must(s.Owe(s.ctx, n))
	if owed.since() == 0 {
		t.Error("Owed was not called")
	}
	got := s.notices(runner.NoticeFilter{})
	if len(got) != 1 || got[0].ID != id || got[0].State != runner.NoticePending || got[0].Subject != "two lines \uFFFD\uFFFD" && got[0].Subject != "two lines \uFFFD" {
		t.Fatalf("owed as %+v", got)
	}
	if text := got[0].Text; !utf8.ValidString(text) || !strings.HasPrefix(text, "line\nline ") || len(text) > 17<<10 {
		t.Errorf("the text is stored as %.40q… of %d bytes", text, len(text))
	}
	s.must(s.Owe(s.ctx))
	for name, change := range map[string]func(*runner.Notice){
		"incident": func(n *runner.Notice) { n.Incident = id },
		"action":   func(n *runner.Notice) { n.Action = runner.NoticeOpen },
		"no way":   func(n *runner.Notice) { n.Action = "" },
		"channel":  func(n *runner.Notice) { n.Channel = "" },
		"combined": func(n *runner.Notice) { n.Combined = true },
		"ID":       func(n *runner.Notice) { n.ID = "x" },
		"old ID":   func(n *runner.Notice) { n.ID = uuid.NewString() },
	} {
		n := reminder("ops", "x")
		change(&n)
		if err := s.Owe(s.ctx, reminder("ops", "fine"), n); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if n := len(s.notices(runner.NoticeFilter{})); n != 1 {
		t.Errorf("%d notices after refusals, want 1", n)
	}
}

func testNoticeLists(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	now := time.Now().Add(time.Hour)
	for i := range 12 {
		f := fault(fmt.Sprintf("f-%d", i%5))
		s.raise(f)
		if i%3 == 0 {
			taken, _ := s.take("ops", now, 2)
			for _, n := range taken {
				s.must(s.Sent(s.ctx, n.ID, "ok"))
			}
		}
		if i%4 == 0 {
			s.clear(f.Fingerprint, Midnight())
		}
		s.must(s.Owe(s.ctx, reminder("pager", fmt.Sprint(i))))
	}
	all := s.notices(runner.NoticeFilter{Limit: 1000})
	incident := s.incidents(runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentResolved}})[0].ID
	for _, f := range []runner.NoticeFilter{
		{},
		{Limit: 4},
		{Channel: "ops"},
		{Channel: "ops", Limit: 2},
		{Channel: "none"},
		{Channel: "bad\xff"},
		{Incident: incident},
		{Incident: incident, Channel: "pager"},
		{Incident: incident, States: []runner.NoticeState{"pending", "sent"}, Limit: 1},
		{States: []runner.NoticeState{"pending"}, Limit: 3},
		{States: []runner.NoticeState{"sent", "superseded", "sent"}, Limit: 2},
		{Channel: "pager", States: []runner.NoticeState{"pending", "dead"}, Limit: 3},
	} {
		var want, got []runner.Notice
		for _, n := range all {
			if (f.Incident == "" || n.Incident == f.Incident) && (f.Channel == "" || n.Channel == f.Channel) &&
				(len(f.States) == 0 || slices.Contains(f.States, n.State)) {
				want = append(want, n)
			}
		}
		for {
			page := s.notices(f)
			if len(page) == 0 {
				break
			}
			got, f.Before = append(got, page...), page[len(page)-1].ID
		}
		same(t, fmt.Sprintf("all pages of %+v", f), want, got)
	}
	if _, err := s.Notices(s.ctx, runner.NoticeFilter{Limit: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
}

// testOwedChannels: whom something is owed, due or not, whatever else is on
// record.
func testOwedChannels(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	expect := func(when string, want ...string) {
		t.Helper()
		got, err := s.Channels(s.ctx)
		s.must(err)
		same(t, "the channels that are owed something "+when, want, got)
	}
	expect("at first")
	later := reminder("später", "x")
	later.NextAt = time.Now().Add(time.Hour)
	s.must(s.Owe(s.ctx, reminder("b", "x"), reminder("b", "y"), reminder("Ops", "x"), later, reminder("a b", "x"), reminder("dead", "x"), reminder("sent", "x")))
	now := time.Now().Add(time.Minute)
	s.must(s.Bury(s.ctx, s.one("dead", now).ID, "550"))
	s.must(s.Sent(s.ctx, s.one("sent", now).ID, "250"))
	s.one("a b", now)
	want := []string{"Ops", "a b", "b", "später"}
	slices.Sort(want)
	expect("when some are waiting and one is being sent", want...)
	gone, end := context.WithCancel(s.ctx)
	end()
	if list, err := s.Channels(gone); err == nil {
		t.Errorf("with an ended context: %q", list)
	}
}
