package ticker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/runner/ticker"
)

func replace(t *testing.T, tick running, workflows ...ticker.Workflow) {
	t.Helper()
	if err := tick.Replace(t.Context(), workflows); err != nil {
		t.Fatalf("Replace: %v", err)
	}
	synctest.Wait()
}

func TestReplace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		tick := start(t, options(l,
			workflow("same", every(t, time.Minute)), workflow("changed", every(t, time.Minute)), workflow("gone", every(t, time.Minute)),
			workflow("manual", every(t, time.Minute)),
		))
		pass(90 * time.Second)
		same := workflow("same", every(t, time.Minute))
		same.Spec.Digest = "new"
		replace(t, tick, same, workflow("changed", every(t, 40*time.Second)), workflow("new", every(t, 20*time.Second)),
			workflow("manual", schedule.Schedule{}))
		if n := tick.Status().Calendars; n != 3 {
			t.Errorf("%d calendars, want 3", n)
		}
		pass(45 * time.Second) // 00:02:15
		for name, want := range map[string][]string{
			"same":    {"01 00:01:00 schedule alert", "01 00:02:00 schedule alert"},
			"changed": {"01 00:01:00 schedule alert", "01 00:02:00 schedule alert"}, // 120 s is a multiple of 40
			"gone":    {"01 00:01:00 schedule alert"},
			"manual":  {"01 00:01:00 schedule alert"},
			"new":     {"01 00:01:40 schedule alert", "01 00:02:00 schedule alert"},
		} {
			rows := l.of(name)
			if diff := cmp.Diff(want, lines(rows)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			for _, r := range rows {
				if !r.at.Equal(r.Slot) {
					t.Errorf("%s: slot %s on record at %s", name, r.Slot, r.at)
				}
			}
		}
		if rows := l.of("same"); rows[1].Spec.Digest != "new" {
			t.Error("the next run does not freeze the new text")
		}
		if got := l.cursor("gone").Schedule; got != "none" {
			t.Errorf("what went has a cursor of %q", got)
		}
		// What comes back owes nothing for the time in which it was gone.
		pass(time.Hour)
		replace(t, tick, same, workflow("gone", every(t, time.Minute)))
		pass(46 * time.Second) // 01:03:01
		want := []string{"01 00:01:00 schedule alert", "01 01:03:00 schedule alert"}
		if diff := cmp.Diff(want, lines(l.of("gone"))); diff != "" {
			t.Errorf("back again (-want +got):\n%s", diff)
		}
	})
}

// TestReplace_OfWhatIsUndecided reloads while the ledger is away and slots of
// the old schedule are owed, more than once.
func TestReplace_OfWhatIsUndecided(t *testing.T) {
	t.Parallel()
	for name, restarted := range map[string]bool{"Running": false, "LedgerAwaySinceTheStart": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				workflows := func(intervals ...time.Duration) (out []ticker.Workflow) {
					for i, interval := range intervals {
						if interval > 0 {
							out = append(out, workflow(string(rune('a'+i)), every(t, interval)))
						}
					}
					for i := range out {
						out[i].Policy.CatchUp = schedule.CatchUp{Run: schedule.CatchUpAll}
					}
					return out
				}
				o := options(l, workflows(60*time.Second, 60*time.Second, 60*time.Second)...)
				tick := start(t, o)
				synctest.Wait()
				l.set(func() { l.away = errAway })
				if restarted {
					tick.end()
					tick = start(t, o)
				}
				pass(130 * time.Second) // 02:10
				replace(t, tick, workflows(60*time.Second, 50*time.Second, 0)...)
				pass(70 * time.Second) // 03:20
				replace(t, tick, workflows(60*time.Second, 70*time.Second, 60*time.Second)...)
				pass(20 * time.Second) // 03:40
				l.set(func() { l.away = nil })
				pass(31 * time.Second) // 04:11
				for name, want := range map[string][]string{
					"a": {"01 00:01:00 catch_up queue alert", "01 00:02:00 catch_up queue alert", "01 00:03:00 schedule queue alert", "01 00:04:00 schedule alert"},
					"b": {
						"01 00:01:00 catch_up queue alert", "01 00:02:00 catch_up queue alert", // every 60 s through 02:10
						"01 00:02:30 catch_up queue alert", "01 00:03:20 schedule queue alert", // every 50 s through 03:20
						"01 00:04:00 schedule alert", // every 70 s
					},
					"c": {
						"01 00:01:00 schedule skipped/missed", "01 00:02:00 schedule skipped/missed", // gone from 02:10 to 03:20
						"01 00:04:00 schedule alert",
					},
				} {
					if diff := cmp.Diff(want, lines(l.of(name))); diff != "" {
						t.Errorf("%s (-want +got):\n%s", name, diff)
					}
				}
			})
		})
	}
}

// TestReplace_AtEveryTick reloads between every two slots, and at each of them,
// changing what does not matter to the slots.
func TestReplace_AtEveryTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		a, b := workflow("a", every(t, time.Second)), workflow("b", every(t, 5*time.Second))
		tick := start(t, options(l, a, b))
		synctest.Wait()
		for i := range 400 {
			pass(500 * time.Millisecond)
			a.Jitter, b.Window = 0, schedule.Window{}
			a.FreshWithin = time.Duration(i%2) * time.Hour
			if err := tick.Replace(t.Context(), []ticker.Workflow{b, a}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Millisecond)
		checkWhole(t, l, "a", time.Second, time.Now())
		checkWhole(t, l, "b", 5*time.Second, time.Now())
		for _, r := range append(l.of("a"), l.of("b")...) {
			if r.State != runner.Queued || r.at.Sub(r.Slot) > 0 {
				t.Fatalf("slot %s: %s at %s", r.Slot, r.State, r.at)
			}
		}
		if l.doubled != 0 {
			t.Errorf("%d slots were submitted twice", l.doubled)
		}
	})
}

// TestTicker_OtherScheduleAtStart finds cursors of schedules that are not
// configured any more.
func TestTicker_OtherScheduleAtStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		berlin := schedule.Rule{Daily: "02:30"}
		first := start(t, options(l, workflow("a", every(t, time.Minute)), workflow("b", every(t, time.Minute)), workflow("c", parse(t, berlin))))
		synctest.Wait()
		first.end()
		pass(24*time.Hour + 30*time.Second)
		berlin.DST = schedule.DSTSkip // is another schedule, too
		second := start(t, options(l, workflow("a", every(t, time.Hour)), workflow("c", parse(t, berlin))))
		synctest.Wait()
		second.end()
		pass(time.Hour)
		start(t, options(l, workflow("a", every(t, time.Hour)), workflow("b", every(t, time.Minute)), workflow("c", parse(t, berlin))))
		synctest.Wait()
		for name, want := range map[string][]string{"a": {"02 01:00:00 schedule alert"}, "b": nil, "c": nil} {
			if diff := cmp.Diff(want, lines(l.of(name))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

func TestReplace_Refuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		a := workflow("a", every(t, time.Minute))
		tick := start(t, options(l, a))
		if err := tick.Replace(t.Context(), []ticker.Workflow{a, a}); err == nil {
			t.Error("two workflows of one name are taken")
		}
		pass(61 * time.Second)
		if rows := l.of("a"); len(rows) != 1 {
			t.Errorf("%d rows after a refused reload", len(rows))
		}
		tick.end()
		if err := tick.Replace(t.Context(), nil); !errors.Is(err, ticker.ErrEnded) {
			t.Errorf("Replace after the end: %v", err)
		}
		idle, err := ticker.New(options(l))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := idle.Replace(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Replace before Run: %v", err)
		}
	})
}
