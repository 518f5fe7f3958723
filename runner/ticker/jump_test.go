package ticker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/runner/ticker"
)

// wall is a wall clock that can be set while timers go on.
type wall struct{ offset atomic.Int64 }

func (w *wall) Now() time.Time        { return time.Now().Add(time.Duration(w.offset.Load())) }
func (w *wall) jump(by time.Duration) { w.offset.Add(int64(by)) }

func TestTicker_ClockJumps(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	tests := []struct {
		name  string
		jump  time.Duration // at 00:00:30 on the 2nd
		sleep time.Duration
		want  []string
	}{
		{
			"Suspended", 150 * time.Minute, time.Hour,
			[]string{"02 01:00:00 schedule skipped/missed", "02 02:00:00 schedule skipped/missed alert", "02 03:00:00 schedule alert"},
		},
		{
			"JustBeforeASlot", 59*time.Minute + 20*time.Second, time.Hour,
			[]string{"02 01:00:00 schedule alert"},
		},
		{
			"Back", -90 * time.Minute, 3 * time.Hour, // to 22:30; 23:00 and 00:00 are decided
			[]string{"02 01:00:00 schedule alert"},
		},
		{
			"BackAndForth", -10 * time.Minute, time.Hour + 11*time.Minute,
			[]string{"02 01:00:00 schedule alert"},
		},
		{
			"BackByYears", -366 * day, 90 * time.Minute,
			[]string{"01 01:00:00 schedule alert"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, clock := newLedger(), &wall{}
				l.now = clock.Now
				o := options(l, workflow("a", every(t, time.Hour)))
				o.Follow(clock.Now)
				var chores atomic.Int32
				o.Chores = []ticker.Chore{{Name: "c", Every: time.Minute, Do: func(context.Context) error { chores.Add(1); return nil }}}
				tick := start(t, o)
				pass(day + 30*time.Second)
				before := len(l.of("a"))
				clock.jump(test.jump)
				jumped := clock.Now()
				pass(test.sleep)
				var since []row
				for _, r := range l.of("a") {
					if !r.at.Before(jumped) && (test.jump > -2*day || r.at.Before(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))) &&
						(test.jump >= 0 || test.jump < -2*day || r.Slot.Day() == 2 && r.Slot.Hour() > 0) {
						since = append(since, r)
					}
				}
				if diff := cmp.Diff(test.want, lines(since)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if got := len(l.of("a")); got != before+len(test.want) {
					t.Errorf("%d rows before, %d after", before, got)
				}
				for _, r := range since {
					if r.State == runner.Queued && r.at.Sub(r.Slot) > 30*time.Second {
						t.Errorf("slot %s started at %s", r.Slot, r.at)
					}
				}
				if !tick.Alive() {
					t.Error("not alive")
				}
				if got, want := int(chores.Load()), int((day+test.sleep)/time.Minute); got < want-1 || got > want+2 {
					t.Errorf("%d chores, want about %d", got, want)
				}
			})
		})
	}
}

// TestTicker_ExactAgainAfterAJump wants starts to be on the second again once
// a sweep has seen the new time.
func TestTicker_ExactAgainAfterAJump(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{17 * time.Minute, -17 * time.Minute, -48 * time.Hour, 48 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, clock := newLedger(), &wall{}
				l.now = clock.Now
				o := options(l, workflow("a", every(t, time.Hour)), workflow("b", parse(t, schedule.Rule{Daily: "03:10"})))
				o.Follow(clock.Now)
				start(t, o)
				pass(50 * time.Hour)
				clock.jump(jump)
				pass(31 * time.Second)
				seen := clock.Now()
				pass(30 * time.Hour)
				exact := 0
				for _, r := range append(l.of("a"), l.of("b")...) {
					if r.Slot.After(seen) && r.at.After(seen) {
						exact++
						if !r.at.Equal(r.Slot) {
							t.Errorf("slot %s started at %s", r.Slot, r.at)
						}
					}
				}
				if want := 30; exact < want && jump > -48*time.Hour {
					t.Errorf("%d slots, want at least %d", exact, want)
				}
			})
		})
	}
}

// TestTicker_CursorFromTheFuture starts with cursors that were written under a
// wrong clock.
func TestTicker_CursorFromTheFuture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		key := runner.CalendarKey{Workflow: "a"}
		future := time.Now().AddDate(10, 0, 0).UTC()
		l.cursors[key] = runner.Cursor{CalendarKey: key, Schedule: "every 1m", Through: future, Since: future}
		start(t, options(l, workflow("a", every(t, time.Minute))))
		pass(90 * time.Second)
		l.set(func() { l.away = errAway }) // the cursors are read again after this
		pass(time.Minute)
		l.set(func() { l.away = nil })
		pass(time.Minute)
		checkWhole(t, l, "a", time.Minute, time.Now())
	})
}
