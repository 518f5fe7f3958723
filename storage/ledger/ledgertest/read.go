package ledgertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// someRuns records runs of three workflows in all states and by all triggers,
// and returns them newest first.
func someRuns(s *site) []runner.Run {
	triggers := []runner.Trigger{runner.BySchedule, runner.ByCatchUp, runner.ByManual, runner.ByAPI, runner.ByCheck}
	var all []runner.Run
	for i := range 60 {
		r := Request([]string{"daily", "weekly", "rare"}[min(i%7%3, 2)], Midnight().Add(time.Duration(i)*time.Hour))
		r.Trigger = triggers[i%len(triggers)]
		state := runner.States()[i%8]
		if state == runner.Skipped {
			r.State = runner.Skipped
		}
		id := s.submit(r)[0]
		if state != runner.Queued && state != runner.Skipped {
			c := s.claim(id)
			if state.Final() {
				s.finish(c, state)
			}
		}
		all = append(all, s.run(id))
	}
	slices.Reverse(all)
	return all
}

func testFilter(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	all := someRuns(s)
	middle, late := all[30].QueuedAt, all[10].QueuedAt
	filters := []runner.Filter{
		{},
		{Limit: 7},
		{Workflow: "daily", Limit: 1000},
		{Workflow: "never"},
		{States: []runner.State{runner.Failed}},
		{States: []runner.State{runner.Failed, runner.Lost, runner.Failed}, Limit: 5},
		{States: []runner.State{runner.Failed, runner.Warned, runner.Queued}, Workflow: "weekly"},
		{Triggers: []runner.Trigger{runner.ByManual}},
		{Triggers: []runner.Trigger{runner.ByManual, runner.ByAPI}, States: []runner.State{runner.Succeeded}, Workflow: "daily"},
		{Since: middle},
		{Until: middle},
		{Since: middle, Until: late},
		{Since: middle.Add(-time.Nanosecond), Until: late.Add(time.Nanosecond), States: []runner.State{runner.Canceled}},
		{Since: time.Unix(-1, 0), Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Since: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Before: all[20].ID, Limit: 10},
		{Before: all[20].ID, Workflow: "daily", States: []runner.State{runner.Running}},
	}
	for _, f := range filters {
		got, err := s.Runs(s.ctx, f)
		if err != nil {
			t.Fatalf("Runs(%+v): %v", f, err)
		}
		same(t, fmt.Sprintf("Runs(%+v)", f), oracle(all, f), got)
	}
	if _, err := s.Runs(s.ctx, runner.Filter{Limit: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
}

// oracle does what Runs must do, one run at a time.
func oracle(all []runner.Run, f runner.Filter) []runner.Run {
	limit := f.Limit
	if limit == 0 {
		limit = 50
	}
	var out []runner.Run
	for _, r := range all {
		switch {
		case len(out) == limit,
			f.Workflow != "" && r.Spec.Workflow != f.Workflow,
			len(f.States) > 0 && !slices.Contains(f.States, r.State),
			len(f.Triggers) > 0 && !slices.Contains(f.Triggers, r.Trigger),
			!f.Since.IsZero() && r.QueuedAt.Before(f.Since),
			!f.Until.IsZero() && !r.QueuedAt.Before(f.Until),
			f.Before != "" && r.ID >= f.Before:
		default:
			out = append(out, r)
		}
	}
	return out
}

func testPaging(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	all := someRuns(s)
	for _, f := range []runner.Filter{{Limit: 7}, {Limit: 3, Workflow: "daily"}, {Limit: 2, States: []runner.State{runner.Failed, runner.Skipped}}} {
		whole := f
		whole.Limit = len(all)
		var got []runner.Run
		for {
			page, err := s.Runs(s.ctx, f)
			if err != nil {
				t.Fatalf("Runs: %v", err)
			}
			if len(page) == 0 {
				break
			}
			got, f.Before = append(got, page...), page[len(page)-1].ID
		}
		same(t, fmt.Sprintf("all pages of %+v", whole), oracle(all, whole), got)
	}
}

func testLookup(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	// Milliseconds fill the first 13 characters, so these share a few.
	ids := s.submit(Request("a", Midnight()), Request("b", Midnight()), Request("c", Midnight()))
	want := s.run(ids[1])
	for _, text := range []string{string(ids[1]), strings.ToUpper(string(ids[1])), " " + string(ids[1][:35])} {
		if got, err := s.Run(s.ctx, text); err != nil || got.ID != want.ID {
			t.Errorf("Run(%q) = %s, %v", text, got.ID, err)
		}
	}
	var ambiguous *runner.AmbiguousError
	if _, err := s.Run(s.ctx, string(ids[0][:6])); !errors.As(err, &ambiguous) || len(ambiguous.IDs) != 3 {
		t.Errorf("Run by a shared beginning: %v, want AmbiguousError", err)
	}
	for _, text := range []string{"", "   ", "f", "00000000-0000-7000-8000-000000000000", "%", "_", "a'b", "x\x00", strings.Repeat("a", 10_000)} {
		if _, err := s.Run(s.ctx, text); !errors.Is(err, runner.ErrNotFound) {
			t.Errorf("Run(%.20q): %v, want ErrNotFound", text, err)
		}
	}
}

func testPast(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	slot, began := Midnight(), Midnight().Add(time.Minute)
	var runs []runner.RunID
	ends := []runner.State{runner.Succeeded, runner.Failed, runner.Warned, runner.Succeeded, runner.Succeeded, runner.Skipped}
	for i, state := range ends {
		r := Request("w", slot.Add(time.Duration(i)*time.Hour))
		r.DryRun = i == 3
		c := s.claim(s.submit(r)[0])
		a := Attempt("backup", 1)
		a.StartedAt = began.Add(time.Duration(i) * time.Hour)
		other := Attempt("other", 1)
		s.begin(c, a)
		s.advance(c, runner.Step{Ended: []runner.End{{Attempt: Ended(a, state)}, {Attempt: Ended(other, runner.Succeeded)}}, Finish: &runner.Finish{State: runner.Failed}})
		runs = append(runs, c.Run)
	}
	// A retry of the oldest run is the newest observation.
	if err := s.Reopen(s.ctx, runs[0], []string{"backup"}, "anna"); err != nil {
		t.Fatalf("Reopen: %v", err)
	}
	c := s.claim(runs[0])
	again := Attempt("backup", 2)
	again.StartedAt = began.Add(100 * time.Hour)
	s.begin(c, again)
	s.end(c, again, runner.Warned)

	type seen struct {
		Run    runner.RunID
		Number int
	}
	past := func(except runner.RunID, limit int) []seen {
		list, err := s.Past(s.ctx, "w", "backup", except, limit)
		if err != nil {
			t.Fatalf("Past: %v", err)
		}
		var out []seen
		for _, a := range list {
			out = append(out, seen{a.Run, a.Number})
		}
		return out
	}
	same(t, "the past", []seen{{runs[0], 2}, {runs[4], 1}, {runs[2], 1}, {runs[0], 1}}, past("", 10))
	same(t, "the past without the present", []seen{{runs[4], 1}, {runs[2], 1}}, past(runs[0], 10))
	same(t, "the near past", []seen{{runs[0], 2}}, past("", 1))
	if list, err := s.Past(s.ctx, "w", "never", "", 10); err != nil || len(list) > 0 {
		t.Errorf("the past of an unknown job: %v, %v", list, err)
	}
}

// testPastOfNode: to the share of one node the history is that of this node.
func testPastOfNode(t *testing.T, dsn secret.String) {
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	at := Midnight()
	did := func(s *site, workflow, host string) runner.RunID {
		at = at.Add(time.Hour)
		r := Request(workflow, at)
		r.Host = host
		c := s.claim(s.submit(r)[0])
		s.begin(c, Attempt("x", 1))
		s.end(c, Attempt("x", 1), runner.Succeeded)
		s.finish(c, runner.Succeeded)
		return c.Run
	}
	before, elsewhere := did(a, "w", ""), did(b, "w", "")
	ofA, ofB := did(a, "w", "a"), did(b, "w", "b")
	cluster, other := did(b, "v", ""), did(b, "v", "b")
	mine, plain := did(a, "w", "a"), did(b, "u", "")
	past := func(workflow string, except runner.RunID) []runner.RunID {
		list, err := a.Past(a.ctx, workflow, "x", except, 10)
		a.must(err)
		ids := make([]runner.RunID, len(list))
		for i, attempt := range list {
			ids[i] = attempt.Run
		}
		slices.Sort(ids)
		return ids
	}
	own, others := []runner.RunID{before, ofA}, []runner.RunID{cluster}
	if strings.HasPrefix(dsn.Reveal(), "sqlite:") {
		// There is one node, whatever it was called.
		own, others = []runner.RunID{before, elsewhere, ofA, ofB}, []runner.RunID{cluster, other}
	}
	same(t, "what this node did", own, past("w", mine))
	same(t, "what another workflow did, for this node", others, past("v", mine))
	same(t, "what all did, for a run of any node", []runner.RunID{before, elsewhere, ofA, ofB, mine}, past("w", plain))
	same(t, "what all did", []runner.RunID{before, elsewhere, ofA, ofB, mine}, past("w", ""))
}

func testLatest(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	all := someRuns(s)
	want := map[string]runner.Run{}
	for _, r := range slices.Backward(all) {
		want[r.Spec.Workflow] = r
	}
	names := []string{"never", "daily", "weekly", "rare", "daily"}
	for i := range 250 {
		names = append(names, fmt.Sprintf("other-%d", i))
	}
	got, err := s.Latest(s.ctx, names)
	if err != nil {
		t.Fatalf("Latest: %v", err)
	}
	same(t, "the latest runs", want, got)
	// Of a slot that several nodes ran, the gravest counts, whichever was later.
	at := Midnight()
	share := func(host string, slot time.Time, state runner.State) runner.Run {
		r := Request("shared", slot)
		r.Host = host
		id := s.submit(r)[0]
		if state == runner.Queued {
			return s.run(id)
		}
		if _, err := s.Cancel(s.ctx, id, "anna"); err != nil {
			t.Fatal(err)
		}
		return s.run(id)
	}
	share("a", at, runner.Canceled)
	canceled := share("b", at.Add(time.Hour), runner.Canceled)
	share("a", at.Add(time.Hour), runner.Queued)
	got, err = s.Latest(s.ctx, []string{"shared"})
	if err != nil {
		t.Fatalf("Latest: %v", err)
	}
	same(t, "the latest of what several nodes ran", map[string]runner.Run{"shared": canceled}, got)
}
