package ticker_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/runner/ticker"
	"github.com/ghosteam/upkeep/storage/ledger"
)

func openLedger(t *testing.T, path string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Options{DSN: secret.New("sqlite:" + path), Exclusive: true, Node: "here"})
	if err != nil {
		t.Fatalf("open the ledger: %v", err)
	}
	return l
}

// discard takes deliveries.
type discard struct{}

func (discard) Deliver(context.Context, ...runner.RunID) error { return nil }

// sweeper is a ticker on the real ledger whose wall clock the test sets.
type sweeper struct {
	*ledger.Ledger
	running
	clock *wall
}

func startOn(t *testing.T, path string, clock *wall, workflows ...ticker.Workflow) sweeper {
	t.Helper()
	l := openLedger(t, path)
	o := ticker.Options{Ledger: l, Queue: discard{}, Backlog: l, Node: "here", Workflows: workflows}
	o.Follow(clock.Now)
	s := sweeper{Ledger: l, running: start(t, o), clock: clock}
	s.sweep(t, 0)
	return s
}

// sweep lets wall time pass at once.
func (s sweeper) sweep(t *testing.T, by time.Duration) {
	t.Helper()
	s.clock.jump(by)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatalf("Sweep: %v", err)
	}
}

func (s sweeper) close(t *testing.T) {
	t.Helper()
	s.end()
	if err := s.Close(); err != nil {
		t.Errorf("close the ledger: %v", err)
	}
}

// TestTicker_OnTheLedger goes through ten days on the SQLite ledger, with
// restarts, downtime, a pause and a reload.
func TestTicker_OnTheLedger(t *testing.T) {
	t.Parallel()
	named := func(name string, s schedule.Schedule) ticker.Workflow {
		w := workflow(name, s)
		w.Spec.Text, w.Overlap = "jobs: {}", runner.OverlapAllow
		return w
	}
	hourly := named("hourly", every(t, time.Hour))
	hourly.Policy.CatchUp = schedule.CatchUp{Run: schedule.CatchUpAll, Max: 3}
	minutes := named("minutes", every(t, 10*time.Minute))
	seconds := named("seconds", every(t, 20*time.Second))
	path := filepath.Join(t.TempDir(), "upkeep.db")
	clock := &wall{}
	// The test begins in the middle of an hour.
	clock.jump(time.Until(time.Now().Truncate(time.Hour).Add(90*time.Minute + 5*time.Second)).Truncate(time.Second))
	from := clock.Now()
	s := startOn(t, path, clock, hourly, minutes, seconds)
	for range 60 {
		s.sweep(t, 10*time.Minute)
	}
	if err := s.Pause(t.Context(), runner.Pause{Workflow: "minutes", By: "anna", Why: "a move", Since: clock.Now()}); err != nil {
		t.Fatal(err)
	}
	s.sweep(t, 10*time.Minute)
	if _, err := s.Unpause(t.Context(), "minutes", "anna"); err != nil {
		t.Fatal(err)
	}
	s.close(t)
	clock.jump(9 * 24 * time.Hour)
	s = startOn(t, path, clock, hourly, minutes, seconds)
	defer s.close(t)
	until := clock.Now()
	if err := s.Replace(t.Context(), []ticker.Workflow{hourly, minutes, named("seconds", every(t, 15*time.Second))}); err != nil {
		t.Fatal(err)
	}
	s.sweep(t, 0)

	for _, w := range []ticker.Workflow{hourly, minutes, seconds} {
		rows, err := s.Slots(t.Context(), w.Name, from, until, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		var want, got []time.Time
		for slot := range w.Schedule.Slots(from, until.Add(-1)) {
			want = append(want, slot)
		}
		counts := map[string]int{}
		for _, r := range rows {
			if r.Slots <= 1 {
				got = append(got, r.Slot)
			} else {
				for slot := range w.Schedule.Slots(r.Slot.Add(-1), r.LastSlot) {
					got = append(got, slot)
				}
			}
			counts[fmt.Sprintf("%s/%s%s", r.Trigger, r.State, r.Reason)]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", w.Name, diff)
		}
		t.Logf("%s: %d slots in %d rows: %v", w.Name, len(got), len(rows), counts)
		switch w.Name {
		case "hourly":
			// Three of nine days are caught up, besides those found late by the sweeps.
			if counts["catch_up/queued"] < 3 || counts["schedule/skippedmissed"] != 9*24-3 {
				t.Errorf("hourly: %v", counts)
			}
		case "minutes":
			if counts["schedule/skippedmissed"] < 1000 {
				t.Errorf("minutes: %v", counts)
			}
		}
	}
}

// TestTicker_ManyOnTheLedger lets 1,000 slots come due at once, beside 9,000
// idle calendars, on a ledger that is durable.
func TestTicker_ManyOnTheLedger(t *testing.T) {
	t.Parallel()
	var workflows []ticker.Workflow
	for i := range 10_000 {
		interval := 24 * time.Hour
		if i < 1000 {
			interval = time.Hour
		}
		w := workflow(fmt.Sprintf("w%05d", i), every(t, interval))
		w.Spec.Text = "jobs: {}"
		workflows = append(workflows, w)
	}
	clock := &wall{}
	clock.jump(time.Until(time.Now().Truncate(24 * time.Hour).Add(36*time.Hour + 5*time.Second)).Truncate(time.Second))
	begun := time.Now()
	s := startOn(t, filepath.Join(t.TempDir(), "upkeep.db"), clock, workflows...)
	defer s.close(t)
	ready := time.Since(begun)
	begun = time.Now()
	s.sweep(t, time.Hour)
	due := time.Since(begun)
	if got := s.Status(); got.Slots != 1000 || got.Calendars != 10_000 {
		t.Fatalf("status %+v", got)
	}
	begun = time.Now()
	s.sweep(t, 0)
	t.Logf("10,000 calendars new and ready in %s; 1,000 slots on record in %s; an idle sweep with 1,000 pending runs %s", ready, due, time.Since(begun))
}
