package schedule_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner/schedule"
)

// checkParsed asserts what holds for every text that Parse accepts, and that a
// refusal points into the text.
func checkParsed(t *testing.T, rule schedule.Rule) {
	t.Helper()
	s, err := schedule.Parse(rule)
	if err != nil {
		var wrong *schedule.ParseError
		if !errors.As(err, &wrong) || wrong.Offset < 0 || wrong.Offset > len(wrong.Text) || wrong.Why == "" || wrong.Field == "" {
			t.Fatalf("Parse(%+v): %#v", rule, err)
		}
		return
	}
	again, err := schedule.Parse(s.Rule())
	if err != nil || !again.Equal(s) || again.Describe() != s.Describe() || s.Describe() == "" {
		t.Fatalf("%s (%s) parses again as %s (%s), %v", s, s.Describe(), again, again.Describe(), err)
	}
	for _, from := range []time.Time{
		time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 23, 30, 0, 0, time.UTC), time.Date(2044, 12, 31, 12, 0, 0, 0, time.UTC),
	} {
		slot := from
		for n := int64(1); n <= 5; n++ {
			next, ok := s.Next(slot)
			if !ok || !next.After(slot) {
				t.Fatalf("%s: Next(%s) = %s, %t", s, slot, next, ok)
			}
			slot = next
			if count := s.Count(from, slot); count != n {
				t.Fatalf("%s: Count(%s, %s) = %d, want %d", s, from, slot, count, n)
			}
		}
		if previous, ok := s.Prev(slot); !ok || !previous.Equal(slot) {
			t.Fatalf("%s: Prev of the slot %s = %s, %t", s, slot, previous, ok)
		}
	}
}

func FuzzParseCron(f *testing.F) {
	for _, seed := range []string{
		"10 3 * * 1-5", "*/15 * * * *", "0 0 29 2 *", "0 4 -1 * *", "* * * * * *", "@daily", "0 0 * * sunL", "5/15 0-23/2 1,15,L jan-mar fri#2",
		"0 0 30 2 *", "60 * * * *", "*/0 * * * *", "TZ=UTC 0 0 * * *", "-", "0 0 , * *", "\xff 0 * * *",
	} {
		f.Add(seed, byte(0))
	}
	berlin := location(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string, policy byte) {
		policies := []schedule.DST{schedule.DSTOnce, schedule.DSTSkip, schedule.DSTBoth}
		checkParsed(t, schedule.Rule{Cron: text, Zone: berlin, DST: policies[int(policy)%len(policies)]})
	})
}

func FuzzParseText(f *testing.F) {
	for _, seed := range []string{
		"02:30", "02:30, 14:30:15", "sun 03:30", "mon,thu 03:30", "fri-mon 22:00,23:00", "1 04:30", "1,15,-1 04:30",
		"second tue, last fri 03:00", "31-1 00:00", "24:00", ",", "mon- 1:00", "-- 00:00",
	} {
		f.Add(seed)
	}
	zone := location(f, "Australia/Lord_Howe")
	f.Fuzz(func(t *testing.T, text string) {
		checkParsed(t, schedule.Rule{Daily: text, Zone: zone})
		checkParsed(t, schedule.Rule{Weekly: text, Zone: zone})
		checkParsed(t, schedule.Rule{Monthly: text, Zone: zone})
	})
}

func FuzzParseWindow(f *testing.F) {
	for _, seed := range []string{
		"22:00-05:00", "mon-fri 22:00-05:00", "sat,sun", "fri 22:00-mon 05:00", "2026-12-24..2027-01-02", "12-24..01-02", "00:00-24:00", "..", "mon,",
	} {
		f.Add(seed, seed)
	}
	zone := location(f, "America/Sao_Paulo")
	f.Fuzz(func(t *testing.T, allow, blackout string) {
		w, err := schedule.ParseWindow(schedule.WindowRule{Allow: []string{allow}, Blackout: []string{blackout}, Zone: zone})
		if err != nil {
			var wrong *schedule.ParseError
			if !errors.As(err, &wrong) || wrong.Offset < 0 || wrong.Offset > len(wrong.Text) {
				t.Fatalf("ParseWindow(%q, %q): %#v", allow, blackout, err)
			}
			return
		}
		at := time.Date(2018, 11, 3, 12, 0, 0, 0, time.UTC)
		for range 20 {
			open := w.Open(at)
			next, ok := turns(w, at, open)
			if !ok {
				return
			}
			if !next.After(at) || w.Open(next) == open || w.Open(next.Add(-time.Second)) != open {
				t.Fatalf("%s: open %t at %s, turns at %s", w, open, at, next)
			}
			at = next
		}
	})
}

// FuzzDue looks for instants and policies under which Due loses a slot.
func FuzzDue(f *testing.F) {
	f.Add(int64(1774700000), int64(90000), int64(60), int64(0), 0, byte(0))
	f.Add(int64(1792800000), int64(-5), int64(0), int64(3600), 3, byte(1))
	f.Add(int64(-62135596800), int64(1)<<60, int64(1), int64(-1), -7, byte(2))
	berlin := location(f, "Europe/Berlin")
	var schedules []schedule.Schedule
	for _, rule := range []schedule.Rule{
		{Every: time.Second}, {Daily: "02:30"}, {Cron: "*/30 2 * * *", DST: schedule.DSTBoth}, {Cron: "* * * * * *"}, {Monthly: "31 02:15", DST: schedule.DSTSkip},
	} {
		rule.Zone = berlin
		schedules = append(schedules, parse(f, rule))
	}
	f.Fuzz(func(t *testing.T, last, span, deadline, within int64, most int, choice byte) {
		s := schedules[int(choice)%len(schedules)]
		runs := []schedule.CatchUpRun{schedule.CatchUpNone, schedule.CatchUpLast, schedule.CatchUpAll}
		policy := schedule.Policy{
			StartDeadline: time.Duration(deadline),
			CatchUp:       schedule.CatchUp{Run: runs[int(choice/8)%len(runs)], Within: time.Duration(within), Max: most},
		}
		from := time.Unix(last, 0)
		now := from.Add(time.Duration(span))
		account := schedule.Due(s, from, now, policy)
		if total := account.Folded.Count + int64(len(account.Decisions)); total != s.Count(from, now) && !from.IsZero() {
			t.Fatalf("%s in (%s, %s]: %d slots accounted for, want %d", s, from, now, total, s.Count(from, now))
		}
		previous := account.Folded.Last
		for i, d := range account.Decisions {
			if (i > 0 || account.Folded.Count > 0) && !d.Slot.After(previous) || d.Slot.After(now) {
				t.Fatalf("%s: slot %s after %s, at %s", s, d.Slot, previous, now)
			}
			previous = d.Slot
		}
	})
}
