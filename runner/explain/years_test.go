package explain_test

import (
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/explain"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// The oracle looks at every minute of the wall clock, as the one of
// runner/schedule does, and shares no code with the packages under test.

// reading is what a wall clock shows.
type reading struct {
	year, month, day, hour, minute, weekday int
}

func readClock(t time.Time) reading {
	year, month, day := t.Date()
	return reading{year, int(month), day, t.Hour(), t.Minute(), int(t.Weekday())}
}

// minute is one minute as the clock of a zone showed it.
type minute struct {
	at      time.Time
	reading reading
	again   bool      // the same reading was shown before
	lost    []reading // readings that were left out just before it
}

// walk reads the clock of a zone at every minute.
func walk(zone *time.Location, from, until time.Time) []minute {
	var minutes []minute
	seen := map[int64]bool{}
	var ahead time.Time // the furthest reading so far, written as a UTC time
	for at := from.Add(-48 * time.Hour); at.Before(until); at = at.Add(time.Minute) {
		local := at.In(zone)
		m := minute{at: at, reading: readClock(local)}
		_, offset := local.Zone()
		written := at.Add(time.Duration(offset) * time.Second)
		if !written.After(ahead) {
			m.again = seen[written.Unix()]
		}
		// Only readings of the last two days can come again.
		seen[written.Unix()] = true
		delete(seen, written.Unix()-48*3600)
		if !ahead.IsZero() {
			for lost := ahead.Add(time.Minute); lost.Before(written); lost = lost.Add(time.Minute) {
				m.lost = append(m.lost, readClock(lost.UTC()))
			}
		}
		if written.After(ahead) {
			ahead = written
		}
		if !at.Before(from) {
			minutes = append(minutes, m)
		}
	}
	return minutes
}

func lastDay(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// wish is a rule as the oracle understands it.
type wish struct {
	rule    schedule.Rule
	matches func(reading) bool
	running bool          // all 24 hours match: clock changes are followed
	every   time.Duration // multiples of it, whatever the clock shows
	second  time.Duration // of the minute
}

// wishes are every form of schedule, most of them near clock changes.
func wishes() []wish {
	at := func(hour, minute int) func(reading) bool {
		return func(r reading) bool { return r.hour == hour && r.minute == minute }
	}
	return []wish{
		{rule: schedule.Rule{Daily: "02:30"}, matches: at(2, 30)},
		{rule: schedule.Rule{Daily: "00:00,12:15"}, matches: func(r reading) bool { return at(0, 0)(r) || at(12, 15)(r) }},
		{rule: schedule.Rule{Weekly: "sun 01:45,02:15"}, matches: func(r reading) bool { return r.weekday == 0 && (at(1, 45)(r) || at(2, 15)(r)) }},
		{rule: schedule.Rule{Monthly: "31 02:15"}, matches: func(r reading) bool { return r.day == 31 && at(2, 15)(r) }},
		{rule: schedule.Rule{Monthly: "-1 23:59"}, matches: func(r reading) bool { return r.day == lastDay(r.year, r.month) && at(23, 59)(r) }},
		{
			rule: schedule.Rule{Monthly: "second tue, last sun 02:00"},
			matches: func(r reading) bool {
				return at(2, 0)(r) && (r.weekday == 2 && (r.day-1)/7 == 1 || r.weekday == 0 && r.day+7 > lastDay(r.year, r.month))
			},
		},
		{rule: schedule.Rule{Every: 45 * time.Minute}, every: 45 * time.Minute},
		{rule: schedule.Rule{Cron: "*/20 1-3 * * *"}, matches: func(r reading) bool { return r.minute%20 == 0 && r.hour >= 1 && r.hour <= 3 }},
		{rule: schedule.Rule{Cron: "17 * * * *"}, matches: func(r reading) bool { return r.minute == 17 }, running: true},
		{rule: schedule.Rule{Cron: "0 2 */2 mar,apr,oct,nov sun"}, matches: func(r reading) bool {
			return at(2, 0)(r) && r.day%2 == 1 && r.weekday == 0 && slices.Contains([]int{3, 4, 10, 11}, r.month)
		}},
		{rule: schedule.Rule{Cron: "30 45 1 * * *"}, matches: at(1, 45), second: 30 * time.Second},
		{rule: schedule.Rule{Cron: "0 4 29 2 *"}, matches: func(r reading) bool { return r.month == 2 && r.day == 29 && at(4, 0)(r) }},
	}
}

// slots returns the slots of a wish among minutes.
func (w wish) slots(minutes []minute) []time.Time {
	var slots []time.Time
	for _, m := range minutes {
		if w.every > 0 {
			if m.at.Unix()%int64(w.every/time.Second) == 0 {
				slots = append(slots, m.at)
			}
			continue
		}
		if w.rule.DST != schedule.DSTSkip && !w.running && slices.ContainsFunc(m.lost, w.matches) {
			slots = append(slots, m.at) // made up at the very end of the gap
			if w.matches(m.reading) && w.second > 0 {
				slots = append(slots, m.at.Add(w.second))
			}
			continue
		}
		if w.matches(m.reading) && (!m.again || w.rule.DST == schedule.DSTBoth || w.running) {
			slots = append(slots, m.at.Add(w.second))
		}
	}
	return slots
}

// chance is a number from 0 to n-1 that depends on nothing but its arguments.
func chance(n uint64, name string, slot time.Time) uint64 {
	sum := fnv.New64a()
	sum.Write([]byte(name + slot.Format(time.RFC3339Nano)))
	return sum.Sum64() >> 11 % n
}

// history is what happened in two years: it fills a ledger, and says which
// verdict each slot must get.
type history struct {
	memory  memory
	begin   time.Time // of the two years
	since   time.Time // when the service was first started
	through time.Time // when it was stopped for good
	now     time.Time
	keep    time.Duration
	want    map[time.Time]explain.Verdict
	strange map[time.Time]bool // slots on record under another schedule
	seen    map[explain.Verdict]int
}

func newHistory(begin time.Time, keep time.Duration) *history {
	return &history{
		begin: begin, since: begin.AddDate(0, 0, 20), through: begin.AddDate(1, 11, 10), now: begin.AddDate(1, 11, 17).Add(10 * time.Minute), keep: keep,
		want: map[time.Time]explain.Verdict{}, strange: map[time.Time]bool{}, seen: map[explain.Verdict]int{},
	}
}

// fill decides what happened to each slot. Outages of two kinds are in it: a
// week whose slots are missed one by one, and a month that is one row.
func (h *history) fill(name string, slots []time.Time) {
	from, to := h.begin.AddDate(0, 5, 0), h.begin.AddDate(0, 6, 0)
	var folded []time.Time
	for _, slot := range slots {
		verdict := explain.VerdictSucceeded
		switch {
		case slot.After(h.now):
			h.want[slot] = explain.VerdictDue
			continue
		case slot.After(h.through):
			h.want[slot] = explain.VerdictUndecided
			continue
		case !slot.After(h.since):
			h.want[slot] = explain.VerdictBefore
			continue
		case h.keep > 0 && h.now.Sub(slot) > h.keep:
			h.want[slot] = explain.VerdictPruned
			continue
		case slot.After(from) && !slot.After(to):
			folded = append(folded, slot)
			h.want[slot] = explain.VerdictMissed
			continue
		case slot.After(h.begin.AddDate(0, 9, 0)) && !slot.After(h.begin.AddDate(0, 9, 7)):
			verdict = explain.VerdictMissed
		default:
			switch chance(40, name, slot) {
			case 0:
				verdict = explain.VerdictFailed
			case 1:
				verdict = explain.VerdictSkipped
			case 2:
				h.want[slot] = explain.VerdictUnrecorded
				continue
			case 3:
				verdict = explain.VerdictWarned
			}
		}
		h.want[slot] = verdict
		h.record(name, slot, verdict)
	}
	if len(folded) > 0 {
		h.memory.add(name, folded[0], func(r *runner.Run) {
			r.State, r.Reason, r.Slots, r.LastSlot = runner.Skipped, runner.ReasonMissed, int64(len(folded)), folded[len(folded)-1]
		})
	}
}

func (h *history) record(name string, slot time.Time, verdict explain.Verdict) {
	h.memory.add(name, slot, func(r *runner.Run) {
		r.State = runner.State(verdict)
		if chance(5, name, slot.Add(1)) == 0 {
			r.Trigger, r.StartedAt = runner.ByCatchUp, slot.Add(3*time.Hour)
		}
		switch verdict {
		case explain.VerdictMissed:
			r.State, r.Reason = runner.Skipped, runner.ReasonMissed
		case explain.VerdictSkipped:
			r.Reason = runner.ReasonOverlap
		default:
		}
	})
}

// strangers records slots of another schedule, and runs that people asked for.
func (h *history) strangers(name string) {
	for day := h.since.AddDate(0, 0, 3); day.Before(h.through); day = day.AddDate(0, 0, 13) {
		slot := day.Truncate(24 * time.Hour).Add(7*time.Hour + 7*time.Minute + 7*time.Second)
		if h.keep > 0 && h.now.Sub(slot) > h.keep {
			continue
		}
		h.memory.add(name, slot, nil)
		h.want[slot], h.strange[slot] = explain.VerdictSucceeded, true
		h.memory.add(name, slot.Add(123456*time.Microsecond), func(r *runner.Run) { r.Trigger, r.By = runner.ByManual, "anna" })
	}
}

// TestWhy_TwoYearsOfEveryFormInSixZones asks day by day about two years: every
// slot that the oracle finds gets exactly one explanation, the right one, and
// nothing else gets any.
func TestWhy_TwoYearsOfEveryFormInSixZones(t *testing.T) {
	t.Parallel()
	begin := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC) // a leap day, four clock changes
	policies := []schedule.DST{schedule.DSTOnce, schedule.DSTSkip, schedule.DSTBoth}
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "America/St_Johns", "UTC"}
	for i, name := range zones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone := location(t, name)
			minutes := walk(zone, begin, begin.AddDate(2, 0, 0))
			total := map[explain.Verdict]int{}
			for j, w := range wishes() {
				w.rule.Zone, w.rule.DST = zone, policies[(i+j)%len(policies)]
				keep := time.Duration(0)
				if j%3 == 1 {
					keep = 400 * 24 * time.Hour
				}
				h := newHistory(begin, keep)
				workflow := fmt.Sprint("w", j)
				h.fill(workflow, w.slots(minutes))
				h.strangers(workflow)
				h.check(t, workflow, w.rule)
				for verdict, n := range h.seen {
					total[verdict] += n
				}
			}
			for _, verdict := range []explain.Verdict{
				explain.VerdictSucceeded, explain.VerdictWarned, explain.VerdictFailed, explain.VerdictSkipped, explain.VerdictMissed,
				explain.VerdictDue, explain.VerdictUndecided, explain.VerdictBefore, explain.VerdictPruned, explain.VerdictUnrecorded,
			} {
				if total[verdict] == 0 {
					t.Errorf("no slot is %s: the test misses what it is meant to hit", verdict)
				}
			}
			t.Logf("%v", total)
		})
	}
}

// check asks about each day and compares.
func (h *history) check(t *testing.T, name string, rule schedule.Rule) {
	t.Helper()
	h.memory.cursors = []runner.Cursor{{CalendarKey: runner.CalendarKey{Workflow: name}, Schedule: "rule", Since: h.since, Through: h.through}}
	q := explain.Question{
		Workflow: explain.Workflow{Name: name, Schedule: parse(t, rule), Rule: "rule"}, Now: h.now, Node: "db-1", Keep: h.keep,
	}
	got := map[time.Time]explain.Verdict{}
	strange := map[time.Time]bool{}
	until := h.begin
	for day := h.begin.AddDate(0, 0, -2); day.Before(h.begin.AddDate(2, 0, 2)); day = day.AddDate(0, 0, 1) {
		var err error
		if q.From, q.Until, err = explain.ParseDate(day.Format(time.DateOnly), rule.Zone, h.now); err != nil {
			t.Fatal(err)
		}
		if day.After(h.begin) && !q.From.Equal(until) {
			t.Fatalf("%s begins at %s, the day before it ended at %s", day.Format(time.DateOnly), q.From, until)
		}
		until = q.Until
		a, err := explain.Why(t.Context(), &h.memory, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range a.Slots {
			if s.Slot.Before(h.begin) || !s.Slot.Before(h.begin.AddDate(2, 0, 0)) {
				continue // the oracle did not look there
			}
			if _, twice := got[s.Slot]; twice {
				t.Errorf("%s is explained twice", s.Slot)
			}
			if s.Sentence == "" || s.Local == "" {
				t.Errorf("%s: %+v says nothing", s.Slot, s)
			}
			got[s.Slot] = s.Verdict
			h.seen[s.Verdict]++
			if s.Unscheduled {
				strange[s.Slot] = true
			}
		}
	}
	if diff := cmp.Diff(h.want, got); diff != "" {
		t.Errorf("%s %v (-oracle +Why):\n%.3000s", name, rule, diff)
	}
	if diff := cmp.Diff(h.strange, strange); diff != "" {
		t.Errorf("%s: slots that the schedule does not have (-want +got):\n%s", name, diff)
	}
}
