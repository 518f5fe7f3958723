package ledgertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// decided returns the hourly slots of a workflow from first to last, counted
// from midnight, and the cursor after them.
func decided(workflow string, overlap runner.Overlap, first, last int) runner.Decided {
	d := runner.Decided{Cursor: cursor(workflow, last)}
	for i := first; i <= last; i++ {
		r := Request(workflow, hour(i))
		r.Overlap = overlap
		d.Requests = append(d.Requests, r)
	}
	return d
}

func hour(i int) time.Time { return Midnight().Add(time.Duration(i) * time.Hour) }

func cursor(workflow string, through int) runner.Cursor {
	return runner.Cursor{CalendarKey: runner.CalendarKey{Workflow: workflow}, Schedule: "hourly", Through: hour(through)}
}

func (s *site) decide(list ...runner.Decided) []runner.Submission {
	s.t.Helper()
	answers, err := s.Decide(s.ctx, list...)
	if err != nil {
		s.t.Fatalf("Decide: %v", err)
	}
	return answers
}

func (s *site) cursors(host string) []runner.Cursor {
	s.t.Helper()
	list, err := s.Cursors(s.ctx, host)
	if err != nil {
		s.t.Fatalf("Cursors: %v", err)
	}
	return list
}

// states shortens answers to what became of the slots.
func states(answers []runner.Submission) string {
	var words []string
	for _, a := range answers {
		word := string(a.State)
		if a.Reason != "" {
			word += "/" + string(a.Reason)
		}
		if a.Duplicate {
			word += " again"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func testDecide(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	since := Midnight().AddDate(0, -1, 0)
	first := decided("w", runner.OverlapAllow, 0, 2)
	first.Cursor.Since = since
	first.Requests[0].State, first.Requests[0].Reason = runner.Skipped, runner.ReasonMissed
	first.Requests[0].Slots, first.Requests[0].LastSlot = 2, hour(0).Add(time.Minute)
	idle := runner.Decided{Cursor: cursor("idle", 5)}
	mine := decided("every", runner.OverlapAllow, 1, 1)
	mine.Cursor.Host, mine.Requests[0].Host = "a", "a"
	answers := s.decide(first, idle, mine)
	if got, want := states(answers), "skipped/missed, queued, queued, queued"; got != want {
		t.Errorf("decided %s, want %s", got, want)
	}
	for i, r := range append(slices.Clone(first.Requests), mine.Requests...) {
		run := s.run(answers[i].Run)
		if !run.Slot.Equal(r.Slot) || run.Host != r.Host || run.State != answers[i].State || run.Slots != max(1, r.Slots) || !run.LastSlot.Equal(r.LastSlot) {
			t.Errorf("slot %d is on record as %+v", i, run)
		}
	}
	list := s.cursors("a")
	if len(list) != 3 || list[1].Since.IsZero() {
		t.Fatalf("cursors: %+v", list)
	}
	list[0].Since, list[1].Since = time.Time{}, time.Time{}
	first.Cursor.Since = since
	same(t, "the cursors", []runner.Cursor{mine.Cursor, idle.Cursor, first.Cursor}, list)
	if other := s.cursors("b"); len(other) != 2 {
		t.Errorf("another host has cursors %+v", other)
	}

	// Once more, and less far: nothing changes.
	again := s.decide(decided("w", runner.OverlapAllow, 1, 1), first)
	if got, want := states(again), "queued again, skipped/missed again, queued again, queued again"; got != want {
		t.Errorf("decided again as %s, want %s", got, want)
	}
	s.decide(runner.Decided{Cursor: cursor("w", 1)})
	if got := s.cursors("b")[1]; !got.Through.Equal(hour(2)) || !got.Since.Equal(since) {
		t.Errorf("the cursor moved to %+v", got)
	}
	changed := runner.Decided{Cursor: cursor("w", 1)}
	changed.Cursor.Schedule = "daily"
	s.decide(changed)
	if got := s.cursors("b")[1]; !got.Through.Equal(hour(1)) || got.Schedule != "daily" || !got.Since.Equal(since) {
		t.Errorf("after a change of the schedule the cursor is %+v", got)
	}
	if answers := s.decide(); len(answers) != 0 {
		t.Errorf("Decide of nothing answers %v", answers)
	}
}

func testDecideRefuses(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	good := decided("w", runner.OverlapSkip, 0, 3)
	for want, change := range map[string]func(*runner.Decided){
		"through no instant":     func(d *runner.Decided) { d.Cursor.Through = time.Time{} },
		"is not of this":         func(d *runner.Decided) { d.Requests[0].Host = "b" },
		"the workflow has no":    func(d *runner.Decided) { d.Cursor.Workflow, d.Requests = "", nil },
		"contains NUL":           func(d *runner.Decided) { d.Cursor.Schedule = "\x00" },
		`in state "succeeded"`:   func(d *runner.Decided) { d.Requests[1].State = runner.Succeeded },
		"the schedule is too lo": func(d *runner.Decided) { d.Cursor.Schedule = strings.Repeat("s", 5000) },
	} {
		bad := decided("bad", runner.OverlapSkip, 0, 3)
		change(&bad)
		if _, err := s.Decide(s.ctx, good, bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Decide: %v, want %q", err, want)
		}
	}
	if runs, err := s.Runs(s.ctx, runner.Filter{}); err != nil || len(runs) > 0 || len(s.cursors("")) > 0 {
		t.Errorf("refused slots left %d runs (%v) and cursors %v", len(runs), err, s.cursors(""))
	}
}

func testOverlapSkip(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	answers := s.decide(decided("w", runner.OverlapSkip, 0, 2))
	if got, want := states(answers), "queued, skipped/overlap, skipped/overlap"; got != want {
		t.Errorf("three slots at once: %s, want %s", got, want)
	}
	blocker := answers[0].Run
	if want := "run " + string(blocker) + " waits since "; !strings.HasPrefix(answers[1].Message, want) {
		t.Errorf("skipped because %q, want %q", answers[1].Message, want)
	}
	if run := s.run(answers[1].Run); run.State != runner.Skipped || run.Reason != runner.ReasonOverlap || run.Message != answers[1].Message || run.FinishedAt.IsZero() {
		t.Errorf("the skipped slot is on record as %+v", run)
	}
	// A slot that is decided again does not stand in its own way.
	if got, want := states(s.decide(decided("w", runner.OverlapSkip, 0, 3))), "queued again, skipped/overlap again, skipped/overlap again, skipped/overlap"; got != want {
		t.Errorf("decided again as %s, want %s", got, want)
	}
	c := s.claim(blocker)
	manual := Request("w", hour(4))
	manual.Trigger, manual.Overlap = runner.ByManual, runner.OverlapSkip
	dry := manual
	dry.DryRun = true
	allow := manual
	allow.Overlap = runner.OverlapAllow
	other := manual
	other.Host = "b"
	answers, err := s.Submit(s.ctx, manual, dry, allow, other)
	if got, want := states(answers), "skipped/overlap, queued, queued, queued"; err != nil || got != want {
		t.Errorf("runs that people ask for: %s, %v, want %s", got, err, want)
	}
	started := s.run(blocker).StartedAt.Format(time.RFC3339)
	if want := fmt.Sprintf("run %s runs since %s", blocker, started); answers[0].Message != want {
		t.Errorf("skipped because %q, want %q", answers[0].Message, want)
	}
	// With the end of all that is not dry the way is free.
	s.finish(c, runner.Succeeded)
	if got, want := states(s.decide(decided("w", runner.OverlapSkip, 5, 5))), "skipped/overlap"; got != want {
		t.Errorf("beside a run that overlaps by right: %s, want %s", got, want)
	}
	s.finish(s.claim(answers[2].Run), runner.Failed)
	if got, want := states(s.decide(decided("w", runner.OverlapSkip, 6, 6))), "queued"; got != want {
		t.Errorf("beside a dry run: %s, want %s", got, want)
	}
	waiting := decided("asked", runner.OverlapSkip, 0, 1)
	waiting.Requests[0].Approval = true
	if got := s.decide(waiting)[1].Message; !strings.Contains(got, "waits for approval since") {
		t.Errorf("skipped because %q, want one that waits for approval", got)
	}
}

func testOverlapQueue(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	answers := s.decide(decided("w", runner.OverlapQueue, 0, 2))
	dry := Request("w", hour(9))
	dry.DryRun, dry.Overlap = true, runner.OverlapQueue
	other := Request("w", hour(9))
	other.Host, other.Overlap = "a", runner.OverlapQueue
	beside := s.submit(dry, other)
	blocked := func(id, by runner.RunID) {
		t.Helper()
		_, _, err := s.Claim(s.ctx, id)
		if !errors.Is(err, runner.ErrNotClaimable) || !strings.Contains(err.Error(), "waits for run "+string(by)) {
			t.Errorf("Claim: %v, want that it waits for %s", err, by)
		}
	}
	next := func(want runner.RunID) {
		t.Helper()
		got, err := s.Next(s.ctx, "w")
		if got != want || (want == "") != errors.Is(err, runner.ErrNotFound) {
			t.Errorf("Next = %s, %v, want %s", got, err, want)
		}
	}
	next(answers[0].Run)
	blocked(answers[1].Run, answers[0].Run)
	blocked(answers[2].Run, answers[0].Run)
	first := s.claim(answers[0].Run)
	next(beside[0])
	s.finish(s.claim(beside[0]), runner.Succeeded)
	next(beside[1])
	s.finish(s.claim(beside[1]), runner.Succeeded)
	next("")
	blocked(answers[1].Run, first.Run)
	if got := s.pending(); len(got) != 2 {
		t.Errorf("pending are %v, want both that wait for the older one", got)
	}
	s.finish(first, runner.Failed)
	next(answers[1].Run)
	blocked(answers[2].Run, answers[1].Run)
	second := s.claim(answers[1].Run)
	// A retry of the oldest waits for the one that runs, and goes before the
	// ones that do not.
	if err := s.Reopen(s.ctx, first.Run, nil, "anna"); err != nil {
		t.Fatalf("Reopen: %v", err)
	}
	blocked(first.Run, second.Run)
	s.finish(second, runner.Succeeded)
	next(first.Run)
	blocked(answers[2].Run, first.Run)
	if _, err := s.Cancel(s.ctx, first.Run, "anna"); err != nil {
		t.Fatalf("Cancel: %v", err)
	}
	next(answers[2].Run)
	s.finish(s.claim(answers[2].Run), runner.Succeeded)
	next("")
}

// testDecideRaces: several nodes decide the same slots, and runs with
// OverlapSkip, at once.
func testDecideRaces(t *testing.T, dsn secret.String) {
	sites := []*site{join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)}
	const rounds, calendars = 15, 8
	fresh := make([]map[runner.RunID]bool, len(sites))
	var wait sync.WaitGroup
	for n, s := range sites {
		fresh[n] = map[runner.RunID]bool{}
		wait.Go(func() {
			for round := range rounds {
				var list []runner.Decided
				for i := range calendars {
					overlap := []runner.Overlap{runner.OverlapSkip, runner.OverlapQueue, runner.OverlapAllow}[i%3]
					list = append(list, decided(fmt.Sprintf("w-%d", (i+n*3)%calendars), overlap, round*2, round*2+1))
				}
				answers, err := s.Decide(s.ctx, list...)
				if err != nil {
					t.Errorf("Decide: %v", err)
					return
				}
				for _, a := range answers {
					if !a.Duplicate {
						fresh[n][a.Run] = true
					}
				}
				// A slot of its own on each node: only one may be open.
				own := Request("own", hour(0).Add(time.Duration(round*2+n)*time.Minute))
				own.Overlap = runner.OverlapSkip
				if _, err := s.Submit(s.ctx, own); err != nil {
					t.Errorf("Submit: %v", err)
				}
			}
		})
	}
	wait.Wait()
	runs, err := sites[0].Runs(t.Context(), runner.Filter{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	rows, open := map[string]int{}, map[string]int{}
	for _, r := range runs {
		if r.Spec.Workflow != "own" {
			rows[r.Spec.Workflow+r.Slot.String()]++
			if fresh[0][r.ID] == fresh[1][r.ID] {
				t.Errorf("slot %s of %s was answered as new %t and %t", r.Slot, r.Spec.Workflow, fresh[0][r.ID], fresh[1][r.ID])
			}
		}
		if !r.State.Final() && r.Overlap == runner.OverlapSkip {
			open[r.Spec.Workflow]++
		}
	}
	if want := calendars * rounds * 2; len(rows) != want || len(fresh[0])+len(fresh[1]) != want {
		t.Errorf("%d slots on record, %d + %d answered as new, want %d", len(rows), len(fresh[0]), len(fresh[1]), want)
	}
	for name, n := range open {
		if n != 1 {
			t.Errorf("%d runs of %s are open, want 1", n, name)
		}
	}
	for _, c := range sites[0].cursors("") {
		if !c.Through.Equal(hour(rounds*2 - 1)) {
			t.Errorf("the cursor of %s stands at %s", c.Workflow, c.Through)
		}
	}
}
