package ticker_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/ticker"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// counting is a ledger that counts what a ticker asks of it.
type counting struct {
	*ledger.Ledger

	decided, looked atomic.Int32
	sweeper         running
}

func (c *counting) Decide(ctx context.Context, decided ...runner.Decided) ([]runner.Submission, error) {
	c.decided.Add(1)
	return c.Ledger.Decide(ctx, decided...)
}

func (c *counting) CursorsOf(ctx context.Context, workflows []string) ([]runner.Cursor, error) {
	c.looked.Add(1)
	return c.Ledger.CursorsOf(ctx, workflows)
}

// TestTurn_OnPostgres has four nodes with ledgers of their own on one server. By
// one clock that the test sets they look one after the other, the first last and
// the first first, and all at once; then the first is gone.
func TestTurn_OnPostgres(t *testing.T) {
	t.Parallel()
	const nodes, steps, workflows = 4, 6, 5
	address, clock := ledgertest.Postgres(t), &wall{}
	clock.jump(time.Until(time.Now().Truncate(time.Hour).Add(90*time.Minute + 5*time.Second)).Truncate(time.Second))
	var plans []ticker.Workflow
	for i := range workflows {
		w := workflow(fmt.Sprintf("w%d", i), every(t, 10*time.Minute))
		w.Spec.Text, w.Overlap = "jobs: {}", runner.OverlapAllow
		plans = append(plans, w)
	}
	var all [nodes]*counting
	for i := range all {
		name := fmt.Sprintf("n%d", i)
		c := &counting{Ledger: ledgertest.Open(t, address, func(o *ledger.Options) { o.Node = name })}
		o := ticker.Options{Ledger: c, Queue: discard{}, Node: name, Workflows: plans, Turn: func(string) (time.Duration, bool) {
			return time.Duration(min(i, 3)) * stagger, i < 3
		}}
		o.Follow(clock.Now)
		c.sweeper = start(t, o)
		all[i] = c
		sweepOf(t, c)
		c.decided.Store(0)
		c.looked.Store(0)
	}
	from := clock.Now()
	for range steps {
		clock.jump(10 * time.Minute)
		for _, c := range all {
			sweepOf(t, c)
		}
	}
	if d := all[0].decided.Load(); d != steps {
		t.Errorf("the first node decided %d times %d slots that were due together", d, steps)
	}
	for i, c := range all[1:] {
		// A suspended machine may have been held for dead, so it reads everything.
		if d, l := c.decided.Load(), c.looked.Load(); d != 0 || l > steps {
			t.Errorf("node %d decided %d times and looked %d times", i+1, d, l)
		}
	}
	for range steps {
		clock.jump(10 * time.Minute)
		var together sync.WaitGroup
		for _, c := range all {
			together.Go(func() { sweepOf(t, c) })
		}
		together.Wait()
	}
	all[0].sweeper.end()
	for range steps {
		clock.jump(10 * time.Minute)
		for _, c := range all[1:] {
			sweepOf(t, c)
		}
	}
	if d := all[2].decided.Load() + all[3].decided.Load(); d > 2*steps {
		t.Errorf("those after the second decided %d times", d)
	}
	for _, w := range plans {
		rows, err := all[1].Slots(t.Context(), w.Name, from, clock.Now(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 3*steps {
			t.Errorf("%s: %d slots on record, want %d", w.Name, len(rows), 3*steps)
		}
		for i, r := range rows {
			if i > 0 && r.Slot.Sub(rows[i-1].Slot) != 10*time.Minute {
				t.Errorf("%s: slot %s follows %s", w.Name, r.Slot, rows[i-1].Slot)
			}
		}
	}
}

func sweepOf(t *testing.T, c *counting) {
	t.Helper()
	if err := c.sweeper.Sweep(t.Context()); err != nil {
		t.Errorf("Sweep: %v", err)
	}
}
