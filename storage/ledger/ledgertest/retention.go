package ledgertest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

const day = 24 * time.Hour

func (s *site) prune(r runner.Retention) runner.Pruned {
	s.t.Helper()
	dry := r
	dry.DryRun = true
	would, err := s.PruneRuns(s.ctx, dry)
	if err != nil {
		s.t.Fatalf("PruneRuns, dry: %v", err)
	}
	before, err := s.Runs(s.ctx, runner.Filter{Limit: 10_000})
	if err != nil {
		s.t.Fatalf("Runs: %v", err)
	}
	did, err := s.PruneRuns(s.ctx, r)
	if err != nil {
		s.t.Fatalf("PruneRuns: %v", err)
	}
	same(s.t, "what went, beside what the dry run announced", would.Runs, did.Runs)
	after, err := s.Runs(s.ctx, runner.Filter{Limit: 10_000})
	if err != nil || len(before)-len(after) != did.Total() {
		s.t.Errorf("%d runs became %d (%v), but %d went", len(before), len(after), err, did.Total())
	}
	return did
}

// left lists the hours of a workflow's slots on record.
func (s *site) left(workflow string) string {
	s.t.Helper()
	runs, err := s.Slots(s.ctx, workflow, hour(0), hour(10_000), 10_000)
	if err != nil {
		s.t.Fatalf("Slots: %v", err)
	}
	var words []string
	for _, r := range runs {
		words = append(words, fmt.Sprint(int(r.Slot.Sub(Midnight()).Hours())))
	}
	return strings.Join(words, " ")
}

// history records one run of a workflow for each letter: s succeeded, f failed,
// q waits, r runs, d dry and succeeded, p a part succeeded, and S succeeded
// with 1,000 bytes of output.
func (s *site) history(workflow, letters string) []runner.RunID {
	s.t.Helper()
	var ids []runner.RunID
	for i, letter := range letters {
		r := Request(workflow, hour(i))
		r.DryRun = letter == 'd'
		if letter == 'p' {
			r.Jobs = []string{"a"}
		}
		id := s.submit(r)[0]
		ids = append(ids, id)
		if letter == 'q' {
			continue
		}
		c := s.claim(id)
		a := Attempt("a", 1)
		s.begin(c, a, "lock-"+workflow+fmt.Sprint(i))
		if letter == 'r' {
			continue
		}
		end := runner.End{Attempt: Ended(a, runner.Succeeded)}
		if letter == 'S' {
			// Below the length from which outputs are compressed, and twice.
			end.Output = runner.Output{Head: bytes.Repeat([]byte("x"), 250), Tail: bytes.Repeat([]byte("y"), 250)}
		}
		state := runner.Succeeded
		if letter == 'f' {
			state = runner.Failed
		}
		s.advance(c, runner.Step{Ended: []runner.End{end}, Finish: &runner.Finish{State: state}})
	}
	return ids
}

func testPruneRuns(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	later := time.Now().Add(100 * day)
	for _, test := range []struct {
		name, letters string
		limits        runner.History
		now           time.Time
		want          string
	}{
		{"nothing is limited", "fsf", runner.History{}, later, "0 1 2"},
		{"age", "ssss", runner.History{Keep: 99 * day}, later, "3"},
		{"not old enough", "ssss", runner.History{Keep: 101 * day}, later, "0 1 2 3"},
		{"the newest and the newest success stay", "sssfff", runner.History{Keep: day}, later, "2 5"},
		{"a dry run and a part are no success", "ssdpf", runner.History{Keep: day}, later, "1 4"},
		{"open runs stay", "qrsqrsff", runner.History{Keep: day}, later, "0 1 3 4 5 7"},
		{"number", "ssssss", runner.History{Runs: 2}, later, "4 5"},
		{"number, with a success before", "ssffff", runner.History{Runs: 2}, later, "1 4 5"},
		{"number not exceeded", "ssss", runner.History{Runs: 4}, later, "0 1 2 3"},
		{"bytes", "SsSsSs", runner.History{Bytes: 1100}, later, "1 2 3 4 5"},
		{"bytes not exceeded", "SsSsSs", runner.History{Bytes: 1500}, later, "0 1 2 3 4 5"},
		{"bytes of one", "sSss", runner.History{Bytes: 10}, later, "2 3"},
		{"never younger than", "SSSS", runner.History{Keep: day, Runs: 1, Bytes: 1, AtLeast: 200 * day}, later, "0 1 2 3"},
		{"all limits", "SSSSSSSS", runner.History{Keep: 101 * day, Runs: 5, Bytes: 1600}, later, "5 6 7"},
	} {
		name := "w-" + strings.NewReplacer(" ", "-", ",", "").Replace(test.name)
		s.history(name, test.letters)
		others := runner.History{}
		workflows := map[string]runner.History{name: test.limits}
		if len(test.letters)%2 == 0 {
			// Workflows that are not configured have limits too.
			others, workflows = test.limits, map[string]runner.History{}
			for _, other := range s.workflows() {
				if other != name {
					workflows[other] = runner.History{}
				}
			}
		}
		pruned := s.prune(runner.Retention{Now: test.now, Workflows: workflows, Others: others})
		if got := s.left(name); got != test.want {
			t.Errorf("%s: left are %s, want %s", test.name, got, test.want)
		}
		for other := range pruned.Runs {
			if other != name {
				t.Errorf("%s: runs of %s went too", test.name, other)
			}
		}
		if again := s.prune(runner.Retention{Now: test.now, Workflows: workflows, Others: others}); again.Total() != 0 {
			t.Errorf("%s: again %v went", test.name, again.Runs)
		}
	}
}

func (s *site) workflows() []string {
	s.t.Helper()
	runs, err := s.Runs(s.ctx, runner.Filter{Limit: 10_000})
	if err != nil {
		s.t.Fatalf("Runs: %v", err)
	}
	var names []string
	for _, r := range runs {
		names = append(names, r.Spec.Workflow)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// testPruneAll: everything that belongs to a run goes with it, and what
// belongs to none follows.
func testPruneAll(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	for i := range 3 {
		r := Request("w", hour(i))
		r.Spec.Text += fmt.Sprintf("# version %d\n", i)
		c := s.claim(s.submit(r)[0])
		a := Attempt("x", 1)
		s.begin(c, a)
		s.advance(c, runner.Step{Ended: []runner.End{{Attempt: Ended(a, runner.Succeeded), Output: runner.Output{Head: []byte("12345")}}}, Finish: &runner.Finish{State: runner.Succeeded}})
	}
	s.decide(runner.Decided{Cursor: cursor("gone", -24*1000*30)}, runner.Decided{Cursor: cursor("w", -24*1000*30)})
	s.pause(runner.Pause{Workflow: "short", By: "anna", Why: "x", Until: time.Now().Add(time.Hour)})
	s.pause(runner.Pause{Workflow: "long", By: "anna", Why: "x"})
	s.silence("short", time.Now(), time.Hour)
	kept := s.silence("long", time.Now(), 300*day)
	retention := runner.Retention{Now: time.Now().Add(365 * day), Workflows: map[string]runner.History{"w": {Keep: 30 * day}}, Rest: 90 * day}
	got := s.prune(retention)
	text := len(Request("w", hour(0)).Spec.Text) + len("# version 0\n")
	same(t, "what went", runner.Pruned{Runs: map[string]int{"w": 2}, Bytes: int64(10 + 2*text), Specs: 2, Pauses: 1, Silences: 1, Cursors: 1}, got)
	if list, err := s.Silences(s.ctx, time.Now(), true); err != nil || len(list) != 1 || list[0].ID != kept {
		t.Errorf("silences left: %+v, %v", list, err)
	}
	if list := s.cursors(""); len(list) != 1 || list[0].Workflow != "w" {
		t.Errorf("cursors left: %+v", list)
	}
	if list := s.pauses(); len(list) != 1 || list[0].Workflow != "long" {
		t.Errorf("pauses left: %+v", list)
	}
	if got := len(s.attempts(s.pruneSurvivor("w"))); got != 1 {
		t.Errorf("the run that stays has %d attempts", got)
	}
	// The slots of runs that went are decided: nothing brings them back.
	s.submit(Request("w", hour(10)))
}

func (s *site) pruneSurvivor(workflow string) runner.RunID {
	s.t.Helper()
	runs, err := s.Runs(s.ctx, runner.Filter{Workflow: workflow})
	if err != nil || len(runs) != 1 {
		s.t.Fatalf("%d runs are left, %v", len(runs), err)
	}
	return runs[0].ID
}

// testPruneBeside: runs are recorded, retried and deleted at the same time.
func testPruneBeside(t *testing.T, dsn secret.String) {
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 60 {
			r := Request("w", hour(i))
			r.Spec.Text += strings.Repeat("#", i%5)
			answers, err := a.Submit(a.ctx, r)
			if err != nil {
				t.Errorf("Submit: %v", err)
				return
			}
			c, _, err := a.Claim(a.ctx, answers[0].Run)
			if err != nil {
				t.Errorf("Claim: %v", err)
				return
			}
			if _, err := a.Advance(a.ctx, c, runner.Step{Finish: &runner.Finish{State: runner.Succeeded}}); err != nil {
				t.Errorf("Advance: %v", err)
			}
		}
	}()
	gone := 0
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		pruned, err := b.PruneRuns(b.ctx, runner.Retention{Now: time.Now().Add(day), Others: runner.History{Runs: 3}})
		if err != nil {
			t.Fatalf("PruneRuns: %v", err)
		}
		gone += pruned.Total()
	}
	if got := b.left("w"); gone != 57 || got != "57 58 59" {
		t.Errorf("%d runs went, left are %s", gone, got)
	}
}
