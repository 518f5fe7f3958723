package ledgertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// testJudged: every place where a run reaches a final state asks the alarm,
// once, about the run as it then is, and nothing else does.
func testJudged(t *testing.T, dsn secret.String) {
	s, a, owed := guarded(t, dsn, "ops", "pager")
	j := &judged{site: s, alarm: a}
	c := j.finish(owed)
	j.skip()
	id := s.queued()
	for range 2 {
		_, err := s.Cancel(s.ctx, id, "anna")
		s.must(err)
	}
	j.expect("a canceled run, canceled again", 5, id)

	s.must(s.Reopen(s.ctx, c.Run, nil, "anna"))
	j.expect("a reopened run", 5)
	s.finish(s.claim(c.Run), runner.Succeeded)
	j.expect("its success", 5, c.Run)
	resolved := s.incidents(runner.IncidentFilter{Fingerprint: "workflow/whole"})
	if len(resolved) != 1 || resolved[0].State != runner.IncidentResolved || resolved[0].Resolver != c.Run || !resolved[0].ResolvedAt.Equal(s.run(c.Run).FinishedAt) {
		t.Errorf("resolved as %+v", resolved)
	}

	s.SetAlarm(nil)
	s.finish(s.running(), runner.Failed)
	j.expect("without an alarm", 5)
	other := &alarm{}
	s.SetAlarm(other)
	last := s.running()
	s.finish(last, runner.Failed)
	if seen := other.runs(); len(seen) != 1 || seen[0].ID != last.Run || len(a.runs()) > 0 {
		t.Errorf("after another alarm was set, it saw %d runs", len(seen))
	}
}

// judged is a site together with its alarm.
type judged struct {
	*site
	alarm *alarm
}

// expect looks whether the alarm saw the runs as they are on record, and how
// many occurrences there are in all.
func (j *judged) expect(what string, count int, ids ...runner.RunID) {
	j.t.Helper()
	var want []runner.Run
	for _, id := range ids {
		want = append(want, j.run(id))
	}
	same(j.t, what+": judged runs", want, j.alarm.runs())
	var got int
	for _, i := range j.incidents(runner.IncidentFilter{Limit: 1000}) {
		got += i.Count
	}
	if got != count {
		j.t.Errorf("%s: %d occurrences are on record, want %d", what, got, count)
	}
}

// finish lets a run fail that has everything that a run can have.
func (j *judged) finish(owed *counter) runner.Claim {
	s, t, slot := j.site, j.t, Midnight()
	t.Helper()
	whole := Request("whole", slot)
	whole.Params, whole.Jobs, whole.DryRun, whole.Alert, whole.Host = map[string]string{"tag": "x"}, []string{"a"}, true, true, "node-1"
	whole.Trigger, whole.Slots, whole.LastSlot, whole.By = runner.ByCatchUp, 3, slot.Add(time.Hour), "cron"
	id := s.submit(whole)[0]
	c := s.claim(id)
	s.begin(c, Attempt("a", 1))
	s.end(c, Attempt("a", 1), runner.Failed)
	s.must(s.Release(s.ctx, c))
	c = s.claim(id)
	j.expect("before the end", 0)
	end := runner.Step{Finish: &runner.Finish{State: runner.Failed, Reason: runner.ReasonTimeout, Message: "it took too long"}}
	if owed.since() != 0 {
		t.Error("Owed was called before there was anything")
	}
	s.advance(c, end)
	j.expect("a failed run", 1, id)
	if owed.since() == 0 {
		t.Error("Owed was not called after a run failed")
	}
	s.advance(c, end)
	j.expect("its end repeated", 1)
	if owed.since() == 0 {
		t.Error("Owed was not called by the repeated end, although the answer to the first may have been lost")
	}
	if n := len(s.notices(runner.NoticeFilter{})); n != 2 {
		t.Errorf("%d notices are on record, want 2", n)
	}
	return c
}

// skip records slots that are not to run.
func (j *judged) skip() {
	s, t, slot := j.site, j.t, Midnight()
	t.Helper()
	missed := Request("missed", slot)
	missed.State, missed.Reason, missed.Message, missed.Alert = runner.Skipped, runner.ReasonMissed, "nothing ran", true
	id := s.submit(missed, Request("fine", slot))[0]
	j.expect("a missed slot", 2, id)
	if _, err := s.Submit(s.ctx, missed); err != nil {
		t.Fatal(err)
	}
	j.expect("a duplicate", 2)

	busy := Request("busy", slot)
	s.submit(busy)
	busy.Slot, busy.Overlap = slot.Add(time.Hour), runner.OverlapSkip
	id = s.submit(busy)[0]
	j.expect("an overlap", 3, id)

	answers, err := s.Decide(s.ctx, runner.Decided{
		Cursor:   runner.Cursor{CalendarKey: runner.CalendarKey{Workflow: "missed"}, Schedule: "daily", Through: slot.Add(24 * time.Hour), Since: slot},
		Requests: []runner.Request{{Spec: missed.Spec, Slot: slot.Add(time.Hour), Trigger: runner.BySchedule, State: runner.Skipped, Reason: runner.ReasonMissed}},
	})
	if err != nil || len(answers) != 1 {
		t.Fatalf("Decide: %+v, %v", answers, err)
	}
	j.expect("a decided slot", 4, answers[0].Run)
}

// testJudgedMany: a thousand slots that nothing ran at are cheap, and what an
// alarm says about several runs of one call comes to pass in their order.
func testJudgedMany(t *testing.T, dsn secret.String) {
	s, a, _ := guarded(t, dsn, "ops")
	var list []runner.Request
	for i := range 1000 {
		r := Request([]string{"one", "two"}[i%2], Midnight().Add(time.Duration(i)*time.Minute))
		r.State, r.Reason, r.Message = runner.Skipped, runner.ReasonMissed, fmt.Sprintf("slot %d", i)
		list = append(list, r)
	}
	began := time.Now()
	ids := s.submit(list...)
	t.Logf("1,000 missed slots: %s", time.Since(began).Round(time.Millisecond))
	got := s.incidents(runner.IncidentFilter{})
	if len(got) != 2 || got[0].Count != 500 || got[1].Count != 500 {
		t.Fatalf("1,000 missed slots of two workflows: %+v", got)
	}
	last := map[string]runner.RunID{"one": ids[998], "two": ids[999]}
	for _, i := range got {
		if i.Run != last[i.Workflow] || !i.OpenedAt.Equal(s.run(ids[map[string]int{"one": 0, "two": 1}[i.Workflow]]).FinishedAt) {
			t.Errorf("the incident is %+v, want one that began with the first and was last shown by %s", i, last[i.Workflow])
		}
	}
	if n := s.notices(runner.NoticeFilter{}); len(n) != 2 {
		t.Errorf("%d notices, want one for each incident", len(n))
	}
	a.runs()

	s.SetAlarm(verdicts(func(run runner.Run) runner.Verdict {
		if run.Slot.Minute()%10 == 9 {
			return runner.Verdict{Clear: "x"}
		}
		f := fault("x")
		f.Run, f.Title = run.ID, fmt.Sprint(run.Slot.Minute())
		return runner.Verdict{Raise: &f}
	}))
	list = nil
	for i := range 25 {
		r := Request("mixed", Midnight().Add(time.Duration(i)*time.Minute))
		r.State = runner.Skipped
		list = append(list, r)
	}
	s.submit(list...)
	var counts []int
	var states []runner.IncidentState
	for _, i := range s.incidents(runner.IncidentFilter{Fingerprint: "x"}) {
		counts, states = append(counts, i.Count), append(states, i.State)
	}
	same(t, "incidents of a mixed call", []int{5, 9, 9}, counts)
	same(t, "their states", []runner.IncidentState{runner.IncidentOpen, runner.IncidentResolved, runner.IncidentResolved}, states)
}

// testJudgedOddly: whatever an alarm says, the run ends.
func testJudgedOddly(t *testing.T, dsn secret.String) {
	s, _, _ := guarded(t, dsn)
	s.SetAlarm(verdicts(func(runner.Run) runner.Verdict {
		f := fault(strings.Repeat("\xff\x00", 5000))
		f.Severity, f.Channels, f.At = "odd", []string{"", "a\x00", "a\x00", strings.Repeat("x", 1000)}, time.Time{}
		return runner.Verdict{Raise: &f}
	}))
	s.finish(s.running(), runner.Failed)
	odd := s.incidents(runner.IncidentFilter{Limit: 1})[0]
	if odd.Severity != jobs.Critical || len(odd.Channels) != 2 || odd.At.IsZero() {
		t.Errorf("an odd fault became %+v", odd)
	}
	s.SetAlarm(verdicts(func(runner.Run) runner.Verdict { return runner.Verdict{Raise: &runner.Fault{}} }))
	s.finish(s.running(), runner.Failed)
}

// verdicts is an alarm without memory.
type verdicts func(runner.Run) runner.Verdict

func (v verdicts) Judge(run runner.Run) runner.Verdict { return v(run) }
