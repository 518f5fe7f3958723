package ticker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/runner/ticker"
)

func TestTicker_RequestsSayWhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		anywhere, labeled, mine := workflow("any", every(t, time.Hour)), workflow("label", every(t, time.Hour)), workflow("every", every(t, time.Hour))
		labeled.Target, labeled.StartWithin = runner.OnLabel("db"), 15*time.Minute
		mine.Host, mine.StartWithin = "here", 15*time.Minute
		tick := start(t, options(l, anywhere, labeled, mine))
		pass(time.Hour + time.Second)
		tick.end()
		slot := time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)
		for name, want := range map[string]struct {
			place runner.Target
			by    time.Time
		}{
			"any":   {"", time.Time{}},
			"label": {"label:db", slot.Add(15 * time.Minute)},
			"every": {"node:here", slot.Add(15 * time.Minute)},
		} {
			rows := l.of(name)
			if len(rows) != 1 {
				t.Fatalf("%s: %d rows", name, len(rows))
			}
			if r := rows[0]; r.Place() != want.place || !r.StartBy.Equal(want.by) {
				t.Errorf("%s: it runs on %q by %s, want %q by %s", name, r.Place(), r.StartBy, want.place, want.by)
			}
		}
	})
}

func TestTicker_StartByOfLateStarts(t *testing.T) {
	t.Parallel()
	catchUp := schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpLast, Within: 2 * time.Hour}}
	tests := []struct {
		name   string
		jitter time.Duration
		policy schedule.Policy
		within time.Duration
		down   time.Duration // from 00:30 until then
		want   time.Duration // after the slot at 01:00
	}{
		{"CaughtUpSoon", 0, catchUp, 2 * time.Hour, time.Hour, 2 * time.Hour},
		{"CaughtUpAtTheLastMoment", 0, schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpLast, Within: 30 * time.Minute}}, 30 * time.Minute, time.Hour, 31 * time.Minute},
		{"ForEver", 0, catchUp, 0, time.Hour, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				w := workflow("a", every(t, time.Hour))
				w.Target, w.StartWithin, w.Policy = runner.OnLabel("db"), tt.within, tt.policy
				tick := start(t, options(l, w))
				pass(30 * time.Minute)
				tick.end()
				pass(tt.down)
				tick = start(t, options(l, w))
				pass(time.Second)
				tick.end()
				rows := l.of("a")
				if len(rows) != 1 || rows[0].Trigger != runner.ByCatchUp {
					t.Fatalf("got %v, want one that is caught up", lines(rows))
				}
				want := time.Time{}
				if tt.want > 0 {
					want = rows[0].Slot.Add(tt.want)
				}
				if !rows[0].StartBy.Equal(want) {
					t.Errorf("it must begin by %s, want %s", rows[0].StartBy, want)
				}
			})
		})
	}
}

func TestTicker_JitterMovesStartBy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		w := workflow("a", every(t, 24*time.Hour))
		w.Target, w.StartWithin, w.Jitter = runner.OnLabel("db"), 5*time.Minute, 10*time.Hour
		delay := schedule.Jitter(w.Jitter, "a", "here").Truncate(time.Second)
		tick := start(t, options(l, w))
		pass(36 * time.Hour)
		tick.end()
		rows := l.of("a")
		if len(rows) != 1 || delay < time.Hour || !rows[0].StartBy.Equal(rows[0].Slot.Add(delay+5*time.Minute)) {
			t.Errorf("delayed by %s, got %v, which must begin by %s", delay, lines(rows), rows[0].StartBy)
		}
	})
}

func TestNew_RefusesImpossiblePlaces(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ticker.Workflow){
		"target": func(w *ticker.Workflow) { w.Target = "gpu" },
		"within": func(w *ticker.Workflow) { w.StartWithin = -time.Second },
		"host":   func(w *ticker.Workflow) { w.Host = "elsewhere" },
	} {
		w := workflow("a", every(t, time.Hour))
		change(&w)
		if _, err := ticker.New(options(newLedger(), w)); err == nil {
			t.Errorf("%s: it is accepted", name)
		}
	}
}
