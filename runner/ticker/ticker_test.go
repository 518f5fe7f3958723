package ticker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/runner/ticker"
)

// The bubbles of synctest begin at 2000-01-01 00:00:00 UTC.

func TestTicker_StartsEachSlotOnTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		tick := start(t, options(l, workflow("a", every(t, 20*time.Second)), workflow("b", every(t, time.Minute))))
		pass(time.Minute + time.Millisecond)
		tick.end()
		for name, want := range map[string][]string{
			"a": {"01 00:00:20 schedule alert", "01 00:00:40 schedule alert", "01 00:01:00 schedule alert"},
			"b": {"01 00:01:00 schedule alert"},
		} {
			rows := l.of(name)
			if diff := cmp.Diff(want, lines(rows)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			for _, r := range rows {
				if !r.at.Equal(r.Slot) || l.delivered[r.id] != 1 {
					t.Errorf("%s: slot %s on record at %s, delivered %d times", name, r.Slot, r.at, l.delivered[r.id])
				}
			}
		}
		// Both slots of 00:01:00 are one transaction; one more began the calendars.
		if l.decides != 4 {
			t.Errorf("%d transactions, want 4", l.decides)
		}
	})
}

func TestTicker_JitterDelaysTheStartNotTheSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		w := workflow("a", every(t, time.Hour))
		w.Jitter = 30 * time.Minute // far beyond the start deadline
		delay := schedule.Jitter(w.Jitter, "a", "here").Truncate(time.Second)
		if delay < 2*time.Minute {
			t.Fatalf("the delay %s proves little", delay)
		}
		start(t, options(l, w))
		pass(10 * 24 * time.Hour)
		rows := l.of("a")
		if len(rows) < 10*24-1 {
			t.Fatalf("%d rows", len(rows))
		}
		for _, r := range rows {
			if r.State != runner.Queued || r.Trigger != runner.BySchedule || !r.at.Equal(r.Slot.Add(delay)) {
				t.Fatalf("%+v at %s, want a run at %s", r.Request, r.at, r.Slot.Add(delay))
			}
		}
	})
}

func TestTicker_OwesNothingAtFirstSight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		pass(90 * time.Second)
		w := workflow("a", every(t, time.Minute))
		w.Policy.CatchUp = schedule.CatchUp{Run: schedule.CatchUpAll}
		start(t, options(l, w))
		pass(time.Second)
		want := runner.Cursor{
			CalendarKey: runner.CalendarKey{Workflow: "a"}, Schedule: "every 1m",
			Through: time.Now().Add(-time.Second).UTC(), Since: time.Now().Add(-time.Second).UTC(),
		}
		if diff := cmp.Diff(want, l.cursor("a")); diff != "" {
			t.Errorf("cursor (-want +got):\n%s", diff)
		}
		if rows := l.of("a"); len(rows) != 0 {
			t.Errorf("slots from before: %v", lines(rows))
		}
	})
}

func TestTicker_Downtime(t *testing.T) {
	t.Parallel()
	all := schedule.CatchUp{Run: schedule.CatchUpAll}
	tests := []struct {
		name   string
		every  time.Duration
		policy schedule.Policy
		down   time.Duration // from 00:00:30
		want   []string
	}{
		{
			"None", time.Hour,
			schedule.Policy{},
			150 * time.Minute,
			[]string{"01 01:00:00 schedule skipped/missed", "01 02:00:00 schedule skipped/missed alert"},
		},
		{
			"NoneAndTheNextIsNear", time.Hour,
			schedule.Policy{},
			170 * time.Minute,
			[]string{"01 01:00:00 schedule skipped/missed", "01 02:00:00 schedule skipped/missed"},
		},
		{
			"NoneAndOneOnTime", time.Hour,
			schedule.Policy{},
			120 * time.Minute,
			[]string{"01 01:00:00 schedule skipped/missed", "01 02:00:00 schedule alert"},
		},
		{
			"Last", time.Hour,
			schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpLast}},
			150 * time.Minute,
			[]string{"01 01:00:00 schedule skipped/missed", "01 02:00:00 catch_up alert"},
		},
		{
			"All", time.Hour,
			schedule.Policy{CatchUp: all},
			150 * time.Minute,
			[]string{"01 01:00:00 catch_up queue alert", "01 02:00:00 catch_up queue alert"},
		},
		{
			"AllAndOneOnTime", time.Hour,
			schedule.Policy{CatchUp: all},
			120 * time.Minute,
			[]string{"01 01:00:00 catch_up queue alert", "01 02:00:00 schedule queue alert"},
		},
		{
			"AllOfOne", time.Hour,
			schedule.Policy{CatchUp: all},
			90 * time.Minute,
			[]string{"01 01:00:00 catch_up alert"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				w := workflow("a", every(t, test.every))
				w.Policy = test.policy
				pass(30 * time.Second)
				first := start(t, options(l, w))
				synctest.Wait()
				first.end()
				pass(test.down)
				start(t, options(l, w))
				synctest.Wait()
				if diff := cmp.Diff(test.want, lines(l.of("a"))); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestTicker_FoldsWhatIsTooMuchToName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		w := workflow("a", every(t, time.Second))
		first := start(t, options(l, w))
		synctest.Wait()
		first.end()
		pass(24*time.Hour + 500*time.Millisecond)
		start(t, options(l, w))
		synctest.Wait()
		rows := l.of("a")
		if len(rows) != schedule.MaxDue+1 {
			t.Fatalf("%d rows", len(rows))
		}
		want := "01 00:00:01 schedule skipped/missed 85400 to 01 23:43:20"
		if got := lines(rows)[0]; got != want {
			t.Errorf("folded row %q, want %q", got, want)
		}
	})
}

func TestTicker_LedgerAway(t *testing.T) {
	t.Parallel()
	for name, atStart := range map[string]bool{"AtStart": true, "AtATick": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				if atStart {
					l.away = errAway
				}
				w := workflow("a", every(t, time.Minute))
				w.Policy.CatchUp = schedule.CatchUp{Run: schedule.CatchUpAll}
				var failed int
				o := options(l, w)
				o.Failed = func(error) { failed++ }
				tick := start(t, o)
				pass(30 * time.Second)
				l.set(func() { l.away = errAway })
				pass(175 * time.Second)
				if s := tick.Status(); !errors.Is(s.Err, runner.ErrUnavailable) || s.FailingSince.IsZero() || s.Ready == atStart {
					t.Errorf("status while away: %+v", s)
				}
				if !tick.Alive() {
					t.Error("not alive although the ledger answers that it is away")
				}
				l.set(func() { l.away = nil })
				pass(50 * time.Second)
				want := []string{
					"01 00:01:00 catch_up queue alert", "01 00:02:00 catch_up queue alert",
					"01 00:03:00 schedule queue alert", "01 00:04:00 schedule alert",
				}
				if diff := cmp.Diff(want, lines(l.of("a"))); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if s := tick.Status(); s.Err != nil || !s.FailingSince.IsZero() || failed == 0 || failed > 25 {
					t.Errorf("status %+v after %d failures", s, failed)
				}
			})
		})
	}
}

// TestTicker_UnknownCommit loses the answers of writes that happened, at the
// worst place: so many slots that they are folded, and a later fold would
// begin at the same slot.
func TestTicker_UnknownCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		w := workflow("a", every(t, time.Second))
		first := start(t, options(l, w))
		synctest.Wait()
		first.end()
		pass(2 * time.Hour)
		lost := 0
		l.after = func() error {
			lost++
			l.after, l.away = nil, errAway
			return errAway
		}
		start(t, options(l, w))
		pass(40 * time.Minute) // more than the 1000 slots that are named
		l.set(func() { l.away = nil })
		pass(31*time.Second + 500*time.Millisecond)
		if lost != 1 {
			t.Fatalf("%d answers were lost, want 1", lost)
		}
		checkWhole(t, l, "a", time.Second, time.Now())
		if at := l.of("a"); l.delivered[at[len(at)-1].id] == 0 {
			t.Error("the last run is not delivered")
		}
	})
}

// checkWhole wants each multiple of interval since the beginning on record,
// once, alone or folded.
func checkWhole(t *testing.T, l *fakeLedger, name string, interval time.Duration, until time.Time) {
	t.Helper()
	next := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(interval)
	for _, r := range l.of(name) {
		if !r.Slot.Equal(next) {
			t.Fatalf("slot %s on record, want %s", r.Slot, next)
		}
		next = r.Slot.Add(interval)
		if r.Slots > 1 {
			if !r.LastSlot.Equal(r.Slot.Add(time.Duration(r.Slots-1) * interval)) {
				t.Fatalf("folded %d slots from %s to %s", r.Slots, r.Slot, r.LastSlot)
			}
			next = r.LastSlot.Add(interval)
		}
	}
	if !next.After(until) {
		t.Fatalf("slot %s is not on record", next)
	}
}

// TestTicker_OneBadWorkflow lets the ledger refuse one workflow for good: all
// others go on.
func TestTicker_OneBadWorkflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &picky{fakeLedger: newLedger(), refuses: "c"}
		var workflows []ticker.Workflow
		for name := range strings.SplitSeq("abcdefgh", "") {
			workflows = append(workflows, workflow(name, every(t, time.Minute)))
		}
		o := options(l.fakeLedger, workflows...)
		o.Ledger = l
		tick := start(t, o)
		pass(10*time.Minute + time.Second)
		for _, w := range workflows {
			want := 10
			if w.Name == "c" {
				want = 0
			}
			rows := l.of(w.Name)
			if len(rows) != want {
				t.Errorf("%s: %d rows, want %d", w.Name, len(rows), want)
			}
			for _, r := range rows {
				if r.at.Sub(r.Slot) > time.Second {
					t.Errorf("%s: slot %s on record at %s", w.Name, r.Slot, r.at)
				}
			}
		}
		if err := tick.Status().Err; !errors.Is(err, errPoison) || !strings.Contains(err.Error(), "workflow c") {
			t.Errorf("status says %v", err)
		}
	})
}

// picky refuses what a workflow owes.
type picky struct {
	*fakeLedger
	refuses string
}

func (p *picky) Decide(ctx context.Context, decided ...runner.Decided) ([]runner.Submission, error) {
	for _, d := range decided {
		if d.Cursor.Workflow == p.refuses {
			return nil, errPoison
		}
	}
	return p.fakeLedger.Decide(ctx, decided...)
}

func TestTicker_HoldAndResume(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		w := workflow("a", every(t, time.Minute))
		w.Policy.CatchUp = schedule.CatchUp{Run: schedule.CatchUpLast}
		tick := start(t, options(l, w))
		pass(30 * time.Second)
		tick.Hold("the disk is full")
		pass(4 * time.Minute)
		if rows := l.of("a"); len(rows) != 0 || tick.Status().Held != "the disk is full" || !tick.Alive() {
			t.Fatalf("held: %v, %+v", lines(rows), tick.Status())
		}
		tick.Resume()
		synctest.Wait()
		rows := l.of("a")
		want := []string{
			"01 00:01:00 schedule skipped/missed", "01 00:02:00 schedule skipped/missed",
			"01 00:03:00 schedule skipped/missed", "01 00:04:00 schedule alert",
		}
		if diff := cmp.Diff(want, lines(rows)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if why := rows[0].Message; !strings.Contains(why, "could start nothing since 2000-01-01 00:00 UTC: the disk is full") {
			t.Errorf("the first says %q", why)
		}
		if s := tick.Status(); s.Held != "" || !s.Next.Equal(time.Date(2000, 1, 1, 0, 5, 0, 0, time.UTC)) {
			t.Errorf("status %+v", s)
		}
	})
}

func TestTicker_Window(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		l.usual = map[string]runner.Usual{"long": {Runs: 9, Median: 30 * time.Minute, P95: 2 * time.Hour}}
		window, err := schedule.ParseWindow(schedule.WindowRule{Allow: []string{"22:00-05:00"}})
		if err != nil {
			t.Fatal(err)
		}
		var workflows []ticker.Workflow
		for _, name := range []string{"long", "short"} {
			w := workflow(name, every(t, 4*time.Hour))
			w.Window = window
			workflows = append(workflows, w)
		}
		start(t, options(l, workflows...))
		pass(24*time.Hour + time.Minute)
		closed := "the window 22:00-05:00 is closed; it opens at 2000-01-01 22:00 UTC"
		for name, at4 := range map[string]string{
			"short": "on time", "long": "it usually takes up to 2h, and the window 22:00-05:00 closes at 2000-01-01 05:00 UTC",
		} {
			var why []string
			for _, r := range l.of(name) {
				switch {
				case r.State == runner.Queued && r.Alert:
					why = append(why, "on time")
				case r.Reason == runner.ReasonWindow && !r.Alert:
					why = append(why, r.Message)
				default:
					t.Errorf("%s: %+v", name, r.Request)
				}
			}
			if diff := cmp.Diff([]string{at4, closed, closed, closed, closed, "on time"}, why); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

func TestTicker_SweepDeliversWhatWasNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		for range 1234 { // several pages
			l.record(runner.Request{Spec: runner.Spec{Workflow: "old"}, Slot: time.Unix(int64(len(l.rows)), 0)})
		}
		refused := 0
		l.deliver = func() error {
			if refused++; refused > 2 {
				l.deliver = nil
			}
			return errors.New("the queue is closed")
		}
		o := options(l, workflow("a", every(t, 10*time.Second)))
		start(t, o)
		pass(11 * time.Second)
		pending := func() (n, failed int) {
			l.set(func() { n, failed = len(l.pending), refused })
			return n, failed
		}
		if n, failed := pending(); failed < 2 || n != 1235 {
			t.Fatalf("%d deliveries were refused, %d are pending", failed, n)
		}
		pass(90 * time.Second)
		if n, _ := pending(); n != 0 {
			t.Errorf("%d are still pending", n)
		}
	})
}

func TestTicker_Fresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		daily := workflow("daily", parse(t, schedule.Rule{Daily: "02:30"}))
		daily.FreshWithin = 26 * time.Hour
		byHand := ticker.Workflow{Name: "by-hand", FreshWithin: 48 * time.Hour}
		o := options(l, daily, byHand, workflow("other", every(t, time.Hour)))
		type report struct {
			Workflow string
			Since    string
		}
		var reports []report
		o.Stale = func(_ context.Context, w ticker.Workflow, since time.Time) error {
			l.set(func() { reports = append(reports, report{w.Name, since.Format("02 15:04")}) })
			return nil
		}
		tick := start(t, o)
		pass(20 * time.Hour)
		l.set(func() { l.successes = map[string]time.Time{"daily": time.Now()} })
		pass(20 * time.Hour) // 02 16:00
		l.set(func() {
			if asked := l.reads["successes"]; len(reports) != 0 || asked != 1 {
				t.Errorf("reports %v, asked %d times", reports, asked)
			}
		})
		pass(6*time.Hour + 45*time.Second) // 02 22:00, two hours and a sweep later
		if diff := cmp.Diff([]report{{"daily", "01 20:00"}}, reports); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		l.set(func() { reports = nil })
		pass(3 * time.Hour) // past 48 h since the beginning
		if len(reports) != 360+121 || reports[len(reports)-1] == reports[len(reports)-2] {
			t.Errorf("%d reports", len(reports))
		}
		l.set(func() { l.successes = map[string]time.Time{"daily": time.Now(), "by-hand": time.Now()} })
		l.set(func() { reports = nil })
		pass(20 * time.Hour)
		if len(reports) != 0 {
			t.Errorf("fresh, but %v", reports[0])
		}
		tick.end()
		// What was first seen when survives a restart.
		if since := l.cursor("by-hand").Since; !since.Equal(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("by-hand was first seen %s", since)
		}
	})
}

func TestTicker_Pauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		var seen [][]runner.Pause
		o := options(l, workflow("a", every(t, time.Hour)))
		o.Paused = func(_ context.Context, p []runner.Pause) error {
			l.set(func() { seen = append(seen, p) })
			return nil
		}
		start(t, o)
		pass(time.Minute + time.Second)
		pause := runner.Pause{Workflow: "a", By: "anna", Why: "move"}
		l.set(func() { l.paused = []runner.Pause{pause} })
		pass(time.Minute)
		if diff := cmp.Diff([][]runner.Pause{{pause}, {pause}}, seen); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestTicker_Chores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var quick, slow, together, failing atomic.Int32
		o := options(newLedger())
		o.Chores = []ticker.Chore{
			{Name: "quick", Every: time.Minute, Do: func(context.Context) error { quick.Add(1); return nil }},
			{Name: "later", Every: time.Hour, First: 30 * time.Minute, Do: func(context.Context) error {
				if at := time.Now().Format("15:04"); at != "00:30" {
					t.Errorf("the first turn is at %s", at)
				}
				return nil
			}},
			{Name: "slow", Every: time.Minute, Do: func(ctx context.Context) error {
				if together.Add(1) > 1 {
					t.Error("a chore overlaps itself")
				}
				defer together.Add(-1)
				slow.Add(1)
				select {
				case <-time.After(150 * time.Second):
				case <-ctx.Done():
				}
				return errors.New("slow")
			}},
			{Name: "failing", Every: time.Minute, Do: func(context.Context) error {
				failing.Add(1)
				panic("chore")
			}},
		}
		tick := start(t, o)
		pass(59*time.Minute + 30*time.Second)
		tick.end()
		if together.Load() != 0 {
			t.Error("Run returned before a chore")
		}
		if quick.Load() != 60 || slow.Load() != 20 || failing.Load() != 60 {
			t.Errorf("quick %d, slow %d, failing %d", quick.Load(), slow.Load(), failing.Load())
		}
	})
}

func TestTicker_AliveMeansThatTheLoopGoesRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		hang := make(chan struct{})
		tick := start(t, options(l, workflow("a", every(t, time.Minute))))
		pass(30 * time.Minute)
		if !tick.Alive() {
			t.Fatal("not alive while all is well")
		}
		// A database call that ignores its context.
		l.set(func() { l.before = func() error { <-hang; return nil } })
		pass(3*time.Minute + time.Second)
		if tick.Alive() {
			t.Error("alive while a write hangs")
		}
		close(hang)
		pass(time.Second)
		if !tick.Alive() {
			t.Error("not alive again")
		}
		checkWhole(t, l, "a", time.Minute, time.Now())
		tick.end()
		if err := tick.Sweep(t.Context()); !errors.Is(err, ticker.ErrEnded) {
			t.Errorf("Sweep after the end: %v", err)
		}
		pass(time.Hour)
		if !tick.Alive() {
			t.Error("not alive while draining")
		}
	})
}

func TestTicker_CallsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &hanging{fakeLedger: newLedger()}
		o := options(l.fakeLedger, workflow("a", every(t, time.Minute)))
		o.Ledger = l
		tick := start(t, o)
		pass(10 * time.Second)
		l.hangs.Store(true)
		pass(10 * time.Minute)
		if err := tick.Status().Err; !errors.Is(err, context.DeadlineExceeded) || !tick.Alive() {
			t.Errorf("alive %t, error %v", tick.Alive(), err)
		}
		l.hangs.Store(false)
		pass(time.Minute)
		checkWhole(t, l.fakeLedger, "a", time.Minute, time.Now().Add(-time.Minute))
	})
}

// hanging answers only when the caller gives up.
type hanging struct {
	*fakeLedger
	hangs atomic.Bool
}

func (h *hanging) Decide(ctx context.Context, decided ...runner.Decided) ([]runner.Submission, error) {
	if h.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.fakeLedger.Decide(ctx, decided...)
}

// TestTicker_SlowLedger lets a full batch take longer than a call may: smaller
// ones must get through.
func TestTicker_SlowLedger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &slow{fakeLedger: newLedger(), perRequest: 200 * time.Millisecond}
		var workflows []ticker.Workflow
		for i := range 900 {
			w := workflow(fmt.Sprint("w", i), every(t, time.Hour))
			w.Policy.CatchUp.Run = schedule.CatchUpAll
			workflows = append(workflows, w)
		}
		o := options(l.fakeLedger, workflows...)
		o.Ledger = l
		tick := start(t, o)
		pass(time.Hour + 30*time.Minute)
		if err := tick.Status().Err; err != nil || l.gaveUp.Load() == 0 {
			t.Errorf("%d calls were given up; status %v", l.gaveUp.Load(), err)
		}
		for _, w := range workflows {
			if rows := l.of(w.Name); len(rows) != 1 || rows[0].State != runner.Queued {
				t.Fatalf("%s: %v", w.Name, lines(rows))
			}
		}
	})
}

// slow takes its time, unless the caller gives up.
type slow struct {
	*fakeLedger
	perRequest time.Duration
	gaveUp     atomic.Int32
}

func (s *slow) Decide(ctx context.Context, decided ...runner.Decided) ([]runner.Submission, error) {
	requests := 0
	for _, d := range decided {
		requests += len(d.Requests)
	}
	select {
	case <-time.After(time.Duration(requests) * s.perRequest):
		return s.fakeLedger.Decide(ctx, decided...)
	case <-ctx.Done():
		s.gaveUp.Add(1)
		return nil, ctx.Err()
	}
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	l := newLedger()
	good := options(l, workflow("a", every(t, time.Hour)))
	tests := map[string]struct {
		change func(*ticker.Options)
		want   string
	}{
		"NoLedger":  {func(o *ticker.Options) { o.Ledger = nil }, "no ledger"},
		"NoQueue":   {func(o *ticker.Options) { o.Queue = nil }, "no queue"},
		"NoNode":    {func(o *ticker.Options) { o.Node = "" }, "no node"},
		"Twice":     {func(o *ticker.Options) { o.Workflows = append(o.Workflows, o.Workflows[0]) }, "workflow a is there twice"},
		"OtherHost": {func(o *ticker.Options) { o.Workflows = []ticker.Workflow{{Name: "a", Host: "there"}} }, "host there"},
		"NoName":    {func(o *ticker.Options) { o.Workflows = []ticker.Workflow{{}} }, "no name"},
		"Jitter":    {func(o *ticker.Options) { o.Workflows = []ticker.Workflow{{Name: "a", Jitter: -1}} }, "negative"},
		"Freshness": {func(o *ticker.Options) { o.Workflows = []ticker.Workflow{{Name: "a", FreshWithin: -1}} }, "negative"},
		"Chore":     {func(o *ticker.Options) { o.Chores = []ticker.Chore{{Name: "x", Every: time.Second}} }, `chore "x" needs`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := good
			o.Workflows = append([]ticker.Workflow(nil), good.Workflows...)
			test.change(&o)
			if _, err := ticker.New(o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New: %v, want %q", err, test.want)
			}
		})
	}
}

func TestTicker_RunsOnce(t *testing.T) {
	t.Parallel()
	tick, err := ticker.New(options(newLedger()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tick.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := tick.Run(ctx); !errors.Is(err, ticker.ErrEnded) {
		t.Errorf("Run again: %v", err)
	}
}
