package schedule_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner/schedule"
)

// drawSchedule draws a schedule of any form and an instant near which its
// zone changes the clock.
func drawSchedule(t *rapid.T) (schedule.Schedule, time.Time) {
	if rapid.IntRange(0, 5).Draw(t, "interval") == 4 {
		every := time.Duration(rapid.SampledFrom([]int{1, 7, 60, 90, 3600, 86400, 604800}).Draw(t, "seconds")) * time.Second
		at := time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "at"), 0)
		return parse(t, schedule.Rule{Every: every}), at
	}
	_, s, around := drawWish(t, rapid.Bool().Draw(t, "with seconds"))
	return s, around
}

// cut draws ascending instants within span of at, in whole seconds or not.
func cut(t *rapid.T, at time.Time, span time.Duration, n int) []time.Time {
	cuts := make([]time.Time, n)
	for i := range cuts {
		cuts[i] = at.Add(time.Duration(rapid.Int64Range(-int64(span), int64(span)).Draw(t, "cut")))
		if rapid.Bool().Draw(t, "whole second") {
			cuts[i] = cuts[i].Truncate(time.Second)
		}
	}
	slices.SortFunc(cuts, time.Time.Compare)
	return cuts
}

func TestSchedule_SlotsIncreaseStrictly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, at := drawSchedule(t)
		previous := at.Add(-2 * time.Hour)
		for range 300 {
			slot, ok := s.Next(previous)
			if !ok {
				t.Fatalf("%s: no slot after %s", s, previous)
			}
			if !slot.After(previous) || slot.Nanosecond() != 0 || slot.Location() != time.UTC {
				t.Fatalf("%s: Next(%s) = %s", s, previous, slot)
			}
			previous = slot
		}
	})
}

// TestSchedule_AnySplitHasTheSameSlots cuts a time line into pieces: no slot may
// be lost or doubled at a cut, also when the cut is a slot itself.
func TestSchedule_AnySplitHasTheSameSlots(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, at := drawSchedule(t)
		cuts := cut(t, at, 3*time.Hour, 6)
		if slot, ok := s.Next(cuts[0]); ok && slot.Before(cuts[5]) {
			cuts = append(cuts, slot)
			slices.SortFunc(cuts, time.Time.Compare)
		}
		whole := slots(s, cuts[0], cuts[len(cuts)-1])
		var pieces []time.Time
		var counted int64
		for i := range len(cuts) - 1 {
			pieces = append(pieces, slots(s, cuts[i], cuts[i+1])...)
			counted += s.Count(cuts[i], cuts[i+1])
		}
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Fatalf("%s (-whole +pieces):\n%s", s, diff)
		}
		if counted != int64(len(whole)) || s.Count(cuts[0], cuts[len(cuts)-1]) != counted {
			t.Fatalf("%s: Count of the pieces %d, of the whole %d, want %d", s, counted, s.Count(cuts[0], cuts[len(cuts)-1]), len(whole))
		}
	})
}

func TestSchedule_PrevIsTheLastSlot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, at := drawSchedule(t)
		at = cut(t, at, time.Hour, 1)[0]
		previous, ok := s.Prev(at)
		if !ok || previous.After(at) {
			t.Fatalf("%s: Prev(%s) = %s, %t", s, at, previous, ok)
		}
		if n := s.Count(previous, at); n != 0 {
			t.Fatalf("%s: %d slots between Prev(%s) = %s and that instant", s, n, at, previous)
		}
		if again, ok := s.Next(previous.Add(-time.Second)); !ok || !again.Equal(previous) {
			t.Fatalf("%s: Prev(%s) = %s is not a slot", s, at, previous)
		}
	})
}

// TestSchedule_CountOfYearsIsTheSumOfItsDays checks the arithmetic over spans
// that are too long for the oracle.
func TestSchedule_CountOfYearsIsTheSumOfItsDays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, at := drawSchedule(t)
		var sum int64
		day := at
		for range 800 {
			sum += s.Count(day, day.Add(24*time.Hour))
			day = day.Add(24 * time.Hour)
		}
		if got := s.Count(at, day); got != sum {
			t.Fatalf("%s: Count over 800 days from %s = %d, day by day %d", s, at, got, sum)
		}
	})
}

func TestSchedule_RuleParsesToTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, at := drawSchedule(t)
		again := parse(t, s.Rule())
		if !s.Equal(again) || again.String() != s.String() || again.Describe() != s.Describe() || again.Rule() != s.Rule() {
			t.Fatalf("%s became %s: %q and %q", s, again, s.Describe(), again.Describe())
		}
		from := at.Add(-time.Hour)
		for range 20 {
			a, _ := s.Next(from)
			b, _ := again.Next(from)
			if !a.Equal(b) {
				t.Fatalf("%s: Next(%s) = %s, after parsing again %s", s, from, a, b)
			}
			from = a
		}
	})
}
