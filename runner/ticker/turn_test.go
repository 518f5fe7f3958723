package ticker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/runner/ticker"
)

// stagger is how much longer each seat waits than the one before it.
const stagger = 500 * time.Millisecond

// seat is a node at a ledger that it shares with others, with a clock and a
// connection of its own.
type seat struct {
	*fakeLedger
	running

	clock wall
	// place is its place in the order for all workflows.
	place atomic.Int32
	// cut tells that it has lost the ledger, wrote counts its transactions, and
	// looked its questions what others have decided.
	cut           atomic.Bool
	wrote, looked atomic.Int32
}

func (s *seat) Cursors(ctx context.Context, host string) ([]runner.Cursor, error) {
	if s.cut.Load() {
		return nil, errAway
	}
	return s.fakeLedger.Cursors(ctx, host)
}

func (s *seat) CursorsOf(ctx context.Context, workflows []string) ([]runner.Cursor, error) {
	if s.cut.Load() {
		return nil, errAway
	}
	s.looked.Add(1)
	return s.fakeLedger.CursorsOf(ctx, workflows)
}

func (s *seat) Decide(ctx context.Context, decided ...runner.Decided) ([]runner.Submission, error) {
	if s.cut.Load() {
		return nil, errAway
	}
	s.wrote.Add(1)
	return s.fakeLedger.Decide(ctx, decided...)
}

// turn is what the service tells the ticker: the first decides, two look after
// it, all others leave it to their sweep.
func (s *seat) turn(string) (time.Duration, bool) {
	place := s.place.Load()
	return time.Duration(min(place, 3)) * stagger, place < 3
}

func newSeat(l *fakeLedger, place int) *seat {
	s := &seat{fakeLedger: l}
	s.place.Store(int32(place))
	return s
}

// sit starts the node.
func (s *seat) sit(t *testing.T, workflows ...ticker.Workflow) {
	t.Helper()
	o := options(s.fakeLedger, workflows...)
	o.Ledger, o.Turn, o.Node = s, s.turn, fmt.Sprintf("node-%d", s.place.Load())
	o.Follow(s.clock.Now)
	s.running = start(t, o)
}

// settledSeats starts nodes, one after the other, and forgets what that took.
func settledSeats(t *testing.T, l *fakeLedger, places []int, workflows ...ticker.Workflow) []*seat {
	t.Helper()
	var seats []*seat
	for _, place := range places {
		s := newSeat(l, place)
		s.sit(t, workflows...)
		synctest.Wait()
		seats = append(seats, s)
	}
	for _, s := range seats {
		s.wrote.Store(0)
		s.looked.Store(0)
	}
	return seats
}

// deliveries is how often a run was delivered, twice how many slots were submitted
// again.
func (l *fakeLedger) deliveries(id runner.RunID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delivered[id]
}

func (l *fakeLedger) twice() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubled
}

// checkLate wants each run of a workflow on record so long after its slot.
func checkLate(t *testing.T, l *fakeLedger, name string, least, most time.Duration, want int) {
	t.Helper()
	rows := l.of(name)
	if len(rows) != want {
		t.Errorf("%s: %d rows, want %d", name, len(rows), want)
	}
	for _, r := range rows {
		if late := r.at.Sub(r.Slot); late < least || late > most || r.State != runner.Queued || r.Trigger != runner.BySchedule {
			t.Fatalf("%s: slot %s is %s by %s, %s after it; want between %s and %s", name, r.Slot, r.State, r.Trigger, late, least, most)
		}
		if n := l.deliveries(r.id); n != 1 {
			t.Errorf("%s: slot %s was delivered %d times", name, r.Slot, n)
		}
	}
}

func TestTurn_TheFirstDecidesAndTheOthersLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		seats := settledSeats(t, l, []int{0, 1, 2, 3, 4}, workflow("a", every(t, time.Minute)), workflow("b", every(t, time.Minute)), workflow("c", every(t, 20*time.Second)))
		pass(10*time.Minute + 5*time.Second)
		checkLate(t, l, "a", 0, 0, 10)
		checkLate(t, l, "b", 0, 0, 10)
		checkLate(t, l, "c", 0, 0, 30)
		for i, want := range []struct{ wrote, least, most int32 }{{30, 0, 0}, {0, 30, 30}, {0, 30, 30}, {0, 18, 21}, {0, 18, 21}} {
			if s := seats[i]; s.wrote.Load() != want.wrote || s.looked.Load() < want.least || s.looked.Load() > want.most {
				t.Errorf("node %d wrote %d times and looked %d times, want %d and %d to %d", i, s.wrote.Load(), s.looked.Load(), want.wrote, want.least, want.most)
			}
			if next := seats[i].Status().Next; !next.Equal(time.Date(2000, 1, 1, 0, 10, 20, 0, time.UTC)) {
				t.Errorf("node %d says that the next slot starts at %s", i, next)
			}
		}
		if l.twice() != 0 {
			t.Errorf("%d slots were submitted twice", l.twice())
		}
	})
}

func TestTurn_TheNextTakesOver(t *testing.T) {
	t.Parallel()
	sweeps := 30*time.Second + 3*stagger
	for name, test := range map[string]struct {
		places      []int
		least, most time.Duration
	}{
		"TheFirstIsDead":     {[]int{1, 2, 3}, stagger, stagger},
		"TwoAreDead":         {[]int{2, 3, 4}, 2 * stagger, 2 * stagger},
		"AllThatLookAreDead": {[]int{3, 4}, 3 * stagger, sweeps},
		"AllHoldThemselves":  {[]int{0, 0, 0}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				settledSeats(t, l, test.places, workflow("a", every(t, time.Minute)))
				pass(10*time.Minute + 40*time.Second)
				checkLate(t, l, "a", test.least, test.most, 10)
				if l.twice() != 0 && test.least > 0 {
					t.Errorf("%d slots were submitted twice", l.twice())
				}
			})
		})
	}
}

// TestTurn_EverySecond: also where a slot comes due while others look at the one
// before it, none is lost, late or written again and again.
func TestTurn_EverySecond(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		places []int
		late   time.Duration
	}{
		"AllAreThere":    {[]int{0, 1, 2, 3, 4}, 0},
		"TheFirstIsDead": {[]int{1, 2, 3}, stagger},
		"TwoAreDead":     {[]int{2, 3}, 2 * stagger},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				seats := settledSeats(t, l, test.places, workflow("a", every(t, time.Second)), workflow("b", every(t, 2*time.Second)))
				pass(5*time.Minute + 999*time.Millisecond)
				checkWhole(t, l, "a", time.Second, time.Now().Add(-test.late))
				checkWhole(t, l, "b", 2*time.Second, time.Now().Add(-test.late))
				wrote := int32(0)
				for _, s := range seats {
					wrote += s.wrote.Load()
				}
				for _, r := range append(l.of("a"), l.of("b")...) {
					if late := r.at.Sub(r.Slot); late > test.late || r.State != runner.Queued {
						t.Fatalf("slot %s is %s %s after it", r.Slot, r.State, late)
					}
				}
				if l.twice() != 0 || wrote > 301 {
					t.Errorf("%d transactions for 300 instants, %d slots twice", wrote, l.twice())
				}
			})
		})
	}
}

// TestTurn_ShortDeadline: a slot is not left to a sweep that would find it too
// late.
func TestTurn_ShortDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		strict, very := workflow("strict", every(t, time.Minute)), workflow("very", every(t, time.Minute))
		strict.Policy.StartDeadline, very.Policy.StartDeadline = 20*time.Second, time.Second
		settledSeats(t, l, []int{3, 4}, strict, very)
		pass(10*time.Minute + 30*time.Second)
		checkLate(t, l, "strict", 3*stagger, 3*stagger, 10)
		checkLate(t, l, "very", stagger, stagger, 10)
	})
}

// TestTurn_WhoDoesNotDecide: the first is there but cannot, or has another time.
func TestTurn_WhoDoesNotDecide(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do, undo    func(*seat)
		least, most time.Duration
	}{
		"Held":        {func(s *seat) { s.Hold("disk") }, func(s *seat) { s.Resume() }, stagger, stagger},
		"Partitioned": {func(s *seat) { s.cut.Store(true) }, func(s *seat) { s.cut.Store(false) }, stagger, stagger},
		"ClockBehind": {func(s *seat) { s.clock.jump(-2 * time.Second) }, func(*seat) {}, stagger, stagger},
		"ClockAhead":  {func(s *seat) { s.clock.jump(2 * time.Second) }, func(*seat) {}, -2 * time.Second, stagger},
		"Ended":       {func(s *seat) { s.end() }, func(*seat) {}, stagger, stagger},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				seats := settledSeats(t, l, []int{0, 1, 2, 3}, workflow("a", every(t, time.Minute)))
				test.do(seats[0])
				pass(10*time.Minute + 30*time.Second)
				checkLate(t, l, "a", test.least, test.most, 10)
				before := l.twice()
				test.undo(seats[0])
				pass(5 * time.Minute)
				checkLate(t, l, "a", min(test.least, 0), test.most, 15)
				// What it found on record when it came back it did not write again.
				after := l.twice()
				if before > 10 || after > before+5 || name != "ClockBehind" && name != "ClockAhead" && after > 0 {
					t.Errorf("%d and %d slots were submitted twice", before, after)
				}
			})
		})
	}
}

// TestTurn_Reload changes schedules on one node after the other.
func TestTurn_Reload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		seats := settledSeats(t, l, []int{0, 1, 2, 3}, workflow("a", every(t, time.Minute)), workflow("gone", every(t, time.Minute)))
		pass(5*time.Minute + 10*time.Second)
		for _, s := range seats {
			replace(t, s.running, workflow("a", every(t, time.Second)), workflow("new", every(t, 10*time.Second)))
			pass(3 * time.Second)
		}
		pass(time.Minute)
		var last time.Time
		for _, r := range l.of("a") {
			if !last.IsZero() && r.Slot.After(time.Date(2000, 1, 1, 0, 5, 12, 0, time.UTC)) && r.Slot.Sub(last) != time.Second {
				t.Errorf("slot %s follows %s", r.Slot, last)
			}
			if r.State != runner.Queued {
				t.Errorf("slot %s is %s", r.Slot, r.State)
			}
			last = r.Slot
		}
		if rows := l.of("new"); len(rows) < 7 || rows[0].Slot.Minute() != 5 {
			t.Errorf("the new workflow has %d rows", len(rows))
		}
		for _, r := range l.of("gone") {
			if r.Slot.Minute() > 5 {
				t.Errorf("slot %s of a workflow that is gone", r.Slot)
			}
		}
		for _, s := range seats {
			s.wrote.Store(0)
		}
		pass(time.Minute)
		for _, s := range seats[1:] {
			if s.wrote.Load() != 0 {
				t.Errorf("a node that is not the first wrote %d times", s.wrote.Load())
			}
		}
	})
}

// TestTurn_SameStartWhoeverDecides: jitter is that of the workflow, not of the
// node.
func TestTurn_SameStartWhoeverDecides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		w := workflow("a", every(t, time.Hour))
		w.Jitter = 30 * time.Minute
		seats := settledSeats(t, l, []int{0, 1, 2}, w)
		pass(3 * time.Hour)
		seats[0].end()
		pass(3 * time.Hour)
		delay := schedule.Jitter(w.Jitter, "a", "").Truncate(time.Second)
		rows := l.of("a")
		if len(rows) < 5 || delay < time.Minute {
			t.Fatalf("%d rows with a delay of %s prove little", len(rows), delay)
		}
		for _, r := range rows {
			if late := r.at.Sub(r.Slot); late != delay && late != delay+stagger {
				t.Errorf("slot %s started after %s, want %s", r.Slot, late, delay)
			}
		}
		if l.twice() != 0 {
			t.Errorf("%d slots were submitted twice", l.twice())
		}
	})
}

// TestTurn_AfterAnOutage: what all could not decide is decided when the ledger is
// back, by whoever comes first, and told once.
func TestTurn_AfterAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		settledSeats(t, l, []int{0, 1, 2, 3}, workflow("a", every(t, time.Hour)))
		pass(30 * time.Minute)
		l.set(func() { l.away = errAway })
		pass(150 * time.Minute) // 03:00
		l.set(func() { l.away = nil })
		pass(2 * time.Minute)
		want := []string{"01 01:00:00 schedule skipped/missed", "01 02:00:00 schedule skipped/missed", "01 03:00:00 schedule alert"}
		if got := lines(l.of("a")); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// TestTurn_EachSlotOnce lets nodes come, go, lose the ledger, be held and change
// their places and clocks in any order: each slot is on record once, none is lost,
// and while one node is well none is late by more than a sweep.
func TestTurn_EachSlotOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		interval := rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, time.Minute}).Draw(rt, "every")
		steps := rapid.SliceOfN(rapid.Custom(drawFate), 3, 12).Draw(rt, "what happens")
		synctest.Test(t, func(t *testing.T) { anyInterleaving(t, rt, interval, steps) })
	})
}

// fate is what happens to one node, and how long it stays so.
type fate struct {
	node, what, place int
	skew              time.Duration
	last              time.Duration
}

func drawFate(t *rapid.T) fate {
	return fate{
		node: rapid.IntRange(1, 3).Draw(t, "node"), what: rapid.IntRange(0, 5).Draw(t, "what"), place: rapid.IntRange(0, 4).Draw(t, "place"),
		skew: time.Duration(rapid.IntRange(-2000, 2000).Draw(t, "skew")) * time.Millisecond,
		last: time.Duration(rapid.IntRange(100, 45_000).Draw(t, "last")) * time.Millisecond,
	}
}

func anyInterleaving(t *testing.T, rt *rapid.T, interval time.Duration, steps []fate) {
	l := newLedger()
	w := workflow("w", every(t, interval))
	w.Overlap = runner.OverlapAllow
	// The first is well all the time, in whatever place; its clock is right.
	seats := settledSeats(t, l, []int{3, 0, 1, 2}, w)
	sits := []bool{true, true, true, true}
	for _, f := range steps {
		s := seats[f.node]
		switch f.what {
		case 0:
			if sits[f.node] {
				s.end()
			} else {
				s.sit(t, w)
			}
			sits[f.node] = !sits[f.node]
		case 1:
			s.cut.Store(!s.cut.Load())
		case 2:
			s.Hold("test")
		case 3:
			s.Resume()
		case 4:
			s.clock.jump(f.skew - time.Duration(s.clock.offset.Load()))
		case 5:
			seats[0].place.Store(int32(f.place))
			s.place.Store(int32(4 - f.place))
		}
		pass(f.last)
	}
	pass(31*time.Second + 3*stagger)
	until := time.Now().Add(-31*time.Second - 3*stagger)
	for _, s := range seats {
		s.end()
	}
	checkWhole(t, l, "w", interval, until)
	for _, r := range l.of("w") {
		if late := r.at.Sub(r.Slot); r.State != runner.Queued || late > 30*time.Second+3*stagger || late < -2*time.Second {
			rt.Fatalf("slot %s is %s %s after it", r.Slot, r.State, late)
		}
	}
}
