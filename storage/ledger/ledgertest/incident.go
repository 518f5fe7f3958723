package ledgertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// alarm raises a fault for every bad end and clears it with every good one,
// and remembers what it saw.
type alarm struct {
	channels []string

	mu   sync.Mutex
	seen []runner.Run
}

func (a *alarm) Judge(run runner.Run) runner.Verdict {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, run)
	if run.State.Done() {
		return runner.Verdict{Clear: "workflow/" + run.Spec.Workflow}
	}
	return runner.Verdict{Raise: &runner.Fault{
		Fingerprint: "workflow/" + run.Spec.Workflow, Workflow: run.Spec.Workflow, Severity: jobs.Critical, Reason: string(run.State),
		Title: run.Spec.Workflow + ": " + run.Message, Run: run.ID, At: run.FinishedAt, Channels: a.channels,
	}}
}

// runs returns what the alarm saw since the last call.
func (a *alarm) runs() []runner.Run {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	return seen
}

// guarded is a site whose ends of runs are judged, and the count of calls of
// Owed.
func guarded(t *testing.T, dsn secret.String, channels ...string) (*site, *alarm, *counter) {
	t.Helper()
	a, owed := &alarm{channels: channels}, new(counter)
	l := Open(t, dsn, func(o *ledger.Options) { o.LeaseTTL, o.Alarm, o.Owed = longLease, a, owed.add })
	s := &site{Ledger: l, t: t, ctx: t.Context()}
	if err := s.Register(s.ctx); err != nil {
		t.Fatalf("Register: %v", err)
	}
	return s, a, owed
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

// since returns how often add was called since the last look.
func (c *counter) since() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	c.n = 0
	return n
}

func (s *site) incidents(f runner.IncidentFilter) []runner.Incident {
	s.t.Helper()
	list, err := s.Incidents(s.ctx, f)
	if err != nil {
		s.t.Fatalf("Incidents(%+v): %v", f, err)
	}
	return list
}

func (s *site) notices(f runner.NoticeFilter) []runner.Notice {
	s.t.Helper()
	list, err := s.Notices(s.ctx, f)
	if err != nil {
		s.t.Fatalf("Notices(%+v): %v", f, err)
	}
	return list
}

func (s *site) raise(f runner.Fault) bool {
	s.t.Helper()
	opened, err := s.Raise(s.ctx, f)
	if err != nil {
		s.t.Fatalf("Raise: %v", err)
	}
	return opened
}

func (s *site) clear(fingerprint string, at time.Time) bool {
	s.t.Helper()
	cleared, err := s.Clear(s.ctx, fingerprint, at)
	if err != nil {
		s.t.Fatalf("Clear: %v", err)
	}
	return cleared
}

// fault is a fault that two channels are told of.
func fault(fingerprint string) runner.Fault {
	return runner.Fault{
		Fingerprint: fingerprint, Workflow: "daily", Severity: jobs.Warning, Reason: "failed", Title: "daily failed",
		Run: "0199aaaa-0000-7000-8000-000000000000", At: Midnight(), Channels: []string{"ops", "pager"},
	}
}

func testIncidents(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	first := fault("workflow/daily")
	if !s.raise(first) {
		t.Error("the first occurrence opened no incident")
	}
	want := runner.Incident{Fault: first, State: runner.IncidentOpen, Count: 1, OpenedAt: first.At, LastAt: first.At}
	check := func(what string) {
		t.Helper()
		got := s.incidents(runner.IncidentFilter{Fingerprint: first.Fingerprint, Limit: 1})
		if diff := cmp.Diff([]runner.Incident{want}, got, cmpopts.IgnoreFields(runner.Incident{}, "ID")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("opened")
	worse := first
	worse.Severity, worse.Title, worse.Reason, worse.Run, worse.At = jobs.Critical, "worse", "lost", "other", first.At.Add(time.Hour)
	worse.Channels = []string{"more"}
	if s.raise(worse) {
		t.Error("the second occurrence opened an incident")
	}
	want.Fault, want.Count, want.LastAt = worse, 2, worse.At
	want.Channels = []string{"ops", "pager", "more"}
	check("again")
	late := worse
	late.At = first.At.Add(-time.Hour)
	s.raise(late)
	want.Count++
	check("by a clock that is behind")
	if n := s.notices(runner.NoticeFilter{}); len(n) != 3 {
		t.Errorf("%d notices after three occurrences, want one for each channel, also for the one that was added", len(n))
	}
	if s.clear("workflow/other", first.At) {
		t.Error("nothing was cleared")
	}
	end := worse.At.Add(time.Hour)
	if !s.clear(first.Fingerprint, end) || s.clear(first.Fingerprint, end) {
		t.Error("Clear does not tell what it did")
	}
	want.State, want.ResolvedAt = runner.IncidentResolved, end
	check("resolved")
	if !s.raise(first) || len(s.incidents(runner.IncidentFilter{})) != 2 {
		t.Error("after the end the next occurrence opened no incident")
	}
	if !s.clear(first.Fingerprint, first.At.Add(-time.Hour)) {
		t.Error("not cleared")
	}
	if got := s.incidents(runner.IncidentFilter{Limit: 1})[0]; got.ResolvedAt.Before(got.LastAt) {
		t.Errorf("it ended at %s, before its last occurrence at %s", got.ResolvedAt, got.LastAt)
	}
	silent := fault("silent")
	silent.Channels = nil
	before := len(s.notices(runner.NoticeFilter{}))
	if !s.raise(silent) || !s.clear("silent", end) || len(s.notices(runner.NoticeFilter{})) != before {
		t.Error("an incident without channels owes notices")
	}
}

// testIncidentTexts: what identifies is refused when it is odd, what people read
// is made storable.
func testIncidentTexts(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	for name, change := range map[string]func(*runner.Fault){
		"no fingerprint":  func(f *runner.Fault) { f.Fingerprint = "" },
		"bad fingerprint": func(f *runner.Fault) { f.Fingerprint = "a\x00b" },
		"endless":         func(f *runner.Fault) { f.Fingerprint = strings.Repeat("x", 5000) },
		"severity":        func(f *runner.Fault) { f.Severity = "fatal" },
		"channel":         func(f *runner.Fault) { f.Channels = []string{""} },
	} {
		f := fault("refused")
		change(&f)
		if _, err := s.Raise(s.ctx, f); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	hostile := fault("hostile\n' -- é")
	hostile.Title = "caf\xe9 \x00 two\nlines " + strings.Repeat("é", 10_000)
	s.raise(hostile)
	title := s.incidents(runner.IncidentFilter{Fingerprint: hostile.Fingerprint})[0].Title
	if !utf8.ValidString(title) || strings.ContainsAny(title, "\x00\n") || len(title) > 5<<10 {
		t.Errorf("a hostile title is stored as %.40q… of %d bytes", title, len(title))
	}
}

func testIncidentLists(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	for i := range 30 {
		fingerprint := fmt.Sprintf("f-%d", i%4)
		s.raise(fault(fingerprint))
		if i%7 != 6 {
			s.clear(fingerprint, Midnight().Add(time.Duration(i)*time.Minute))
		}
	}
	all := s.incidents(runner.IncidentFilter{Limit: 1000})
	if len(all) < 20 {
		t.Fatalf("only %d incidents", len(all))
	}
	open, resolved := runner.IncidentOpen, runner.IncidentResolved
	ends := slices.SortedFunc(slices.Values(all), func(a, b runner.Incident) int { return a.ResolvedAt.Compare(b.ResolvedAt) })
	middle := ends[len(ends)/2].ResolvedAt
	for _, f := range []runner.IncidentFilter{
		{},
		{Limit: 3},
		{Fingerprint: "f-1"},
		{Fingerprint: "f-1", Limit: 2},
		{Fingerprint: "none"},
		{Fingerprint: "bad\x00"},
		{Before: "bad\xff"},
		{States: []runner.IncidentState{open}},
		{States: []runner.IncidentState{open, resolved, open}, Limit: 5},
		{Fingerprint: "f-2", States: []runner.IncidentState{resolved}, Limit: 2},
		{States: []runner.IncidentState{resolved}, Limit: 4},
		{EndedSince: middle, Limit: 4},
		{EndedSince: middle, States: []runner.IncidentState{resolved}, Limit: 3},
		{EndedSince: middle, States: []runner.IncidentState{open}},
		{EndedSince: middle, States: []runner.IncidentState{"none"}, Before: "bad\xff"},
		{EndedSince: middle.Add(time.Nanosecond), Fingerprint: "f-1", Limit: 1},
		{EndedSince: time.Now().AddDate(1, 0, 0)},
	} {
		var want, got []runner.Incident
		for _, i := range all {
			if (f.Fingerprint == "" || f.Fingerprint == i.Fingerprint) && f.Before == "" &&
				(len(f.States) == 0 || i.State == f.States[0] || len(f.States) > 1) && (i.State == open || !i.ResolvedAt.Before(f.EndedSince)) {
				want = append(want, i)
			}
		}
		for {
			page := s.incidents(f)
			if limit := max(f.Limit, 0); limit > 0 && len(page) > limit {
				t.Errorf("%+v: a page of %d", f, len(page))
			}
			if len(page) == 0 {
				break
			}
			got, f.Before = append(got, page...), page[len(page)-1].ID
		}
		same(t, fmt.Sprintf("all pages of %+v", f), want, got)
	}
	if _, err := s.Incidents(s.ctx, runner.IncidentFilter{Limit: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
}

func testIncidentLookup(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	for i := range 7 {
		s.raise(fault(fmt.Sprint(i)))
	}
	all := s.incidents(runner.IncidentFilter{})
	pick := all[5]
	for _, text := range []string{pick.ID, strings.ToUpper(pick.ID), " " + pick.ID[:35]} {
		if got, err := s.Incident(s.ctx, text); err != nil || got.ID != pick.ID {
			t.Errorf("Incident(%q) = %s, %v", text, got.ID, err)
		}
	}
	var ambiguous *runner.AmbiguousError
	if _, err := s.Incident(s.ctx, pick.ID[:4]); !errors.As(err, &ambiguous) || len(ambiguous.IDs) != 5 || !strings.Contains(err.Error(), "incident") {
		t.Errorf("a shared beginning: %v, want AmbiguousError", err)
	}
	for _, text := range []string{"", " ", "f", "%", "'", "x\x00", strings.Repeat("a", 10_000)} {
		if _, err := s.Incident(s.ctx, text); !errors.Is(err, runner.ErrNotFound) {
			t.Errorf("Incident(%.20q): %v, want ErrNotFound", text, err)
		}
	}
}
