package ledgertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// testEventsOfAttempts looks for what an attempt changed among the events, once
// however often its end is recorded, and for nothing of a dry run.
func testEventsOfAttempts(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	var changed time.Time
	for i, dry := range []bool{false, true} {
		request := Request("upgrade", Midnight().AddDate(0, 0, i))
		request.DryRun = dry
		c := s.claim(s.submit(request)[0])
		s.begin(c, Attempt("packages", 1))
		ended := Ended(Attempt("packages", 1), runner.Succeeded)
		ended.Result.Events = []jobs.Event{{Kind: "packages", Subject: "openssl", Text: "3.0.14\nto 3.0.15"}, {Kind: "packages", Subject: "curl", Text: "removed"}}
		for range 2 { // as after a lost answer
			s.advance(c, runner.Step{Ended: []runner.End{{Attempt: ended}}})
		}
		if !dry {
			changed = ended.FinishedAt.Truncate(time.Microsecond)
		}
		list, err := s.Happenings(s.ctx, runner.HappeningFilter{Kinds: []string{"packages"}})
		if err != nil {
			t.Fatalf("list events: %v", err)
		}
		if len(list) != 2 {
			t.Fatalf("dry run %t: %d events, want the two of the first run: %+v", dry, len(list), list)
		}
		for _, h := range list {
			if !h.At.Equal(changed) || !strings.HasPrefix(h.By, "packages of run 0") || h.Subject == "openssl" && h.Text != "3.0.14 to 3.0.15" {
				t.Errorf("event %+v", h)
			}
		}
	}
}

func testHappenings(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	id := uuid.Must(uuid.NewV7()).String()
	known := runner.Happening{ID: id, Kind: "deploy", Subject: "api", Text: "v41\n\xff", By: "anna", At: Midnight()}
	s.must(s.Record(s.ctx, known))
	s.must(s.Record(s.ctx, known))
	s.must(s.Record(s.ctx))
	known.Text = "v41 \uFFFD"
	list := func(f runner.HappeningFilter) []runner.Happening {
		t.Helper()
		list, err := s.Happenings(s.ctx, f)
		if err != nil {
			t.Fatalf("Happenings(%+v): %v", f, err)
		}
		return list
	}
	same(t, "the events", []runner.Happening{known}, list(runner.HappeningFilter{}))
	for _, before := range []string{"none", "x\x00"} {
		if _, err := s.Happenings(s.ctx, runner.HappeningFilter{Before: before}); !errors.Is(err, runner.ErrNotFound) {
			t.Errorf("before %q: %v, want ErrNotFound", before, err)
		}
	}
	for name, h := range map[string]runner.Happening{"no kind": {}, "bad kind": {Kind: "a\x00"}, "bad ID": {Kind: "deploy", ID: "1"}} {
		if err := s.Record(s.ctx, runner.Happening{Kind: "deploy"}, h); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if n := len(list(runner.HappeningFilter{Limit: 1000})); n != 1 {
		t.Errorf("%d events after refusals, want 1", n)
	}
	if _, err := s.Happenings(s.ctx, runner.HappeningFilter{Limit: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
	s.must(s.Record(s.ctx, runner.Happening{Kind: "now"}))
	if h := list(runner.HappeningFilter{Kinds: []string{"now"}})[0]; time.Since(h.At).Abs() > time.Minute {
		t.Errorf("an event without a time happened at %s", h.At)
	}
}

func testHappeningLists(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	list := func(f runner.HappeningFilter) []runner.Happening {
		t.Helper()
		list, err := s.Happenings(s.ctx, f)
		if err != nil {
			t.Fatalf("Happenings(%+v): %v", f, err)
		}
		return list
	}
	kinds := []string{"deploy", "restart", "packages"}
	var many []runner.Happening
	for i := range 250 {
		// Several at one instant, and not in the order of their record.
		at := Midnight().Add(time.Duration(i*37%50) * time.Minute)
		many = append(many, runner.Happening{Kind: kinds[i%3], Subject: fmt.Sprint(i), At: at})
	}
	s.must(s.Record(s.ctx, many...))
	all := list(runner.HappeningFilter{Limit: 1000})
	if len(all) != 250 || !slices.IsSortedFunc(all, func(a, b runner.Happening) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	}) {
		t.Errorf("%d events, or out of order", len(all))
	}
	middle := Midnight().Add(20 * time.Minute)
	for _, f := range []runner.HappeningFilter{
		{},
		{Limit: 7},
		{Kinds: []string{"deploy"}, Limit: 5},
		{Kinds: []string{"restart", "deploy", "restart"}, Limit: 9},
		{Kinds: []string{"none"}},
		{Kinds: []string{"\xff"}},
		{Since: middle, Limit: 10},
		{Until: middle, Limit: 10},
		{Since: middle.Add(time.Nanosecond)},
		{Until: middle.Add(time.Nanosecond), Kinds: []string{"packages"}},
		{Since: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Since: middle, Until: middle},
	} {
		var want, got []runner.Happening
		for _, h := range all {
			if (len(f.Kinds) == 0 || slices.Contains(f.Kinds, h.Kind)) && (f.Since.IsZero() || !h.At.Before(f.Since)) && (f.Until.IsZero() || h.At.Before(f.Until)) {
				want = append(want, h)
			}
		}
		for {
			page := list(f)
			if len(page) == 0 {
				break
			}
			got, f.Before = append(got, page...), page[len(page)-1].ID
		}
		same(t, fmt.Sprintf("all pages of %+v", f), want, got)
	}
}
