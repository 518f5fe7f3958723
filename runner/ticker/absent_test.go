package ticker_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/runner/ticker"
)

func TestAbsent(t *testing.T) {
	t.Parallel()
	began := time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC)
	catchUp := func(run schedule.CatchUpRun, within time.Duration) schedule.Policy {
		return schedule.Policy{StartDeadline: 15 * time.Minute, CatchUp: schedule.CatchUp{Run: run, Within: within}}
	}
	none := catchUp(schedule.CatchUpNone, 0)
	tests := []struct {
		name    string
		every   time.Duration
		policy  schedule.Policy
		jitter  time.Duration
		after   time.Duration // from began to now
		want    []string
		through time.Duration // from began
	}{
		{"NothingDue", time.Hour, none, 0, 29 * time.Minute, nil, 0},
		{"MayStillComeInTime", time.Hour, none, 0, 45 * time.Minute, nil, 0},
		{"Missed", time.Hour, none, 0, 45*time.Minute + time.Second, []string{"01 01:00:00 schedule skipped/missed alert"}, 30 * time.Minute},
		{"TheLongestJitterCounts", time.Hour, none, 20 * time.Minute, 65 * time.Minute, nil, 0},
		{"MissedAfterJitter", time.Hour, none, 20 * time.Minute, 65*time.Minute + time.Second, []string{"01 01:00:00 schedule skipped/missed alert"}, 30 * time.Minute},
		{"TheNewestAlerts", time.Hour, none, 0, 3 * time.Hour, []string{"01 01:00:00 schedule skipped/missed", "01 02:00:00 schedule skipped/missed", "01 03:00:00 schedule skipped/missed alert"}, 150 * time.Minute},
		{"CatchUpWaits", time.Hour, catchUp(schedule.CatchUpAll, 2*time.Hour), 0, 150 * time.Minute, nil, 0},
		{"CatchUpTooLate", time.Hour, catchUp(schedule.CatchUpAll, 2*time.Hour), 0, 151 * time.Minute, []string{"01 01:00:00 schedule skipped/missed alert"}, 30 * time.Minute},
		{"OnlyTheLastWaitsForEver", time.Hour, catchUp(schedule.CatchUpLast, 0), 0, 10*time.Hour + time.Minute, nil, 0},
		{"Folded", time.Second, schedule.Policy{StartDeadline: time.Minute}, 0, 2000 * time.Second, []string{"01 00:30:01 schedule skipped/missed 1000 to 01 00:46:40", "01 00:46:41 schedule skipped/missed"}, 1939 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := workflow("w", every(t, tt.every))
			w.Host, w.Policy, w.Jitter = "b", tt.policy, tt.jitter
			cursor := runner.Cursor{CalendarKey: runner.CalendarKey{Workflow: "w", Host: "b"}, Schedule: ticker.RuleOf(w.Schedule), Through: began, Since: began}
			d, ok := ticker.Absent(w, cursor, true, began.Add(tt.after))
			var rows []row
			for _, r := range d.Requests {
				rows = append(rows, row{Request: r})
				if r.Host != "b" || r.State != runner.Skipped || r.Reason != runner.ReasonMissed {
					t.Errorf("it asks for %+v", r)
				}
			}
			got := lines(rows)
			switch tt.name {
			case "OnlyTheLastWaitsForEver":
				if len(got) != 9 || !d.Cursor.Through.Equal(began.Add(9*time.Hour-30*time.Minute)) {
					t.Errorf("%d slots are missed through %s, want all but the last of 10", len(got), d.Cursor.Through)
				}
				return
			case "Folded":
				if len(got) < 2 {
					t.Fatalf("got %v", got)
				}
				got = got[:2]
			}
			if ok != (tt.want != nil) {
				t.Fatalf("there is something to record: %t, want %v", ok, tt.want)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if ok && !d.Cursor.Through.Equal(began.Add(tt.through)) {
				t.Errorf("it is decided through %s, want %s", d.Cursor.Through, began.Add(tt.through))
			}
		})
	}
}

func TestAbsent_BeginsACalendar(t *testing.T) {
	t.Parallel()
	now := time.Date(2000, 1, 1, 0, 30, 0, 5e8, time.UTC)
	w := workflow("w", every(t, time.Minute))
	w.Host = "b"
	want := runner.Cursor{CalendarKey: runner.CalendarKey{Workflow: "w", Host: "b"}, Schedule: "every 1m", Through: now.Truncate(time.Second), Since: now.Truncate(time.Second)}
	old := want
	old.Schedule, old.Through = "every 1h", now.Add(-24*time.Hour)
	for name, known := range map[string]bool{"nobody knew it": false, "its schedule changed": true} {
		d, ok := ticker.Absent(w, old, known, now)
		if !ok || len(d.Requests) > 0 {
			t.Errorf("%s: %t, %d requests", name, ok, len(d.Requests))
		}
		if diff := cmp.Diff(want, d.Cursor); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	w.Schedule = schedule.Schedule{}
	if _, ok := ticker.Absent(w, old, true, now); ok {
		t.Error("a workflow without a schedule has slots")
	}
}

// TestAbsent_EachSlotOnce lets three nodes come and go: however they do, each
// slot of a workflow that every node runs is on record exactly once for each of
// them, by the node itself or by one that was there.
func TestAbsent_EachSlotOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		policies := []schedule.Policy{
			{StartDeadline: time.Minute},
			{StartDeadline: 5 * time.Minute, CatchUp: schedule.CatchUp{Run: schedule.CatchUpLast, Within: 20 * time.Minute}},
			{StartDeadline: time.Minute, CatchUp: schedule.CatchUp{Run: schedule.CatchUpAll, Within: 12 * time.Minute}},
		}
		policy := rapid.SampledFrom(policies).Draw(rt, "policy")
		interval := rapid.SampledFrom([]time.Duration{time.Minute, 4 * time.Minute, 7 * time.Minute}).Draw(rt, "every")
		history := rapid.SliceOfN(rapid.IntRange(0, 7), 2, 6).Draw(rt, "who is there")
		synctest.Test(t, func(t *testing.T) { comeAndGo(t, rt, policy, interval, history) })
	})
}

func comeAndGo(t *testing.T, rt *rapid.T, policy schedule.Policy, interval time.Duration, history []int) {
	l := newLedger()
	nodes := []string{"a", "b", "c"}
	share := func(node string) ticker.Workflow {
		w := workflow("w", every(t, interval))
		w.Host, w.Policy, w.Overlap = node, policy, runner.OverlapAllow
		return w
	}
	running := map[string]running{}
	run := func(node string) {
		o := options(l, share(node))
		o.Node, o.Sweep = node, 3*time.Minute
		running[node] = start(t, o)
	}
	standIn := func() {
		if len(running) == 0 {
			return
		}
		for _, node := range nodes {
			if _, there := running[node]; there {
				continue
			}
			cursor, known := l.cursorOf("w", node)
			if d, ok := ticker.Absent(share(node), cursor, known, time.Now()); ok {
				if _, err := l.Decide(t.Context(), d); err != nil {
					rt.Fatal(err)
				}
			}
		}
	}
	const step = 9*time.Minute + 10*time.Second
	all := func(there int) {
		for i, node := range nodes {
			r, runs := running[node]
			switch wanted := there&(1<<i) != 0; {
			case wanted && !runs:
				run(node)
			case !wanted && runs:
				r.end()
				delete(running, node)
			}
		}
		for range 6 {
			pass(step / 6)
			standIn()
		}
	}
	all(7) // each has been there once
	for _, there := range history {
		all(there)
	}
	all(7)
	end := time.Now()
	for _, r := range running {
		r.end()
	}
	for _, node := range nodes {
		times := map[time.Time]int{}
		for _, r := range l.of("w") {
			if r.Host == node {
				times[r.Slot]++
			}
		}
		// An oracle of its own: the multiples of the interval.
		began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		want := 0
		for slot := began.Add(time.Second); slot.Before(end.Add(-time.Second)); slot = slot.Add(time.Second) {
			if slot.Unix()%int64(interval/time.Second) != 0 {
				continue
			}
			want++
			if times[slot] != 1 {
				rt.Fatalf("the slot %s of %s is on record %d times", slot, node, times[slot])
			}
		}
		if want == 0 || len(times) < want || len(times) > want+1 {
			rt.Fatalf("%s: %d slots on record, want %d", node, len(times), want)
		}
	}
	for _, r := range l.of("w") {
		if r.State == runner.Skipped && r.Reason != runner.ReasonMissed {
			rt.Fatalf("%s is %s", fmt.Sprint(r.Slot), r.Reason)
		}
	}
}
