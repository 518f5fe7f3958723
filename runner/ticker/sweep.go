package ticker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// page is how many pending runs are read at once.
	page = 500
	// jump is by how much the wall clock may differ from the time that passed
	// before it counts as set.
	jump = 2 * time.Second
)

// sweep looks at everything again.
func (t *Ticker) sweep(ctx context.Context) error {
	t.checkClock(ctx)
	failed := []error{t.look(ctx, true)}
	if unavailable(failed[0]) {
		return failed[0]
	}
	if t.known && t.clock != nil {
		t.arm(ctx, t.now())
	}
	for _, step := range []func(context.Context) error{t.redeliver, t.freshness, t.pauses} {
		err := step(ctx)
		failed = append(failed, err)
		if unavailable(err) {
			break
		}
	}
	return errors.Join(failed...)
}

func unavailable(err error) bool {
	return errors.Is(err, runner.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// checkClock notices a wall clock that was set, and a machine that slept.
func (t *Ticker) checkClock(ctx context.Context) {
	wall, steady := t.now(), time.Now()
	if !t.lastSteady.IsZero() {
		by := wall.Sub(t.lastWall) - steady.Sub(t.lastSteady)
		if by.Abs() > jump {
			t.log.InfoContext(ctx, "the clock was set or the machine slept", "by", by.Round(time.Second))
		}
		if by < -setBack {
			t.dropFuture(ctx, wall)
		}
	}
	t.lastWall, t.lastSteady = wall, steady
}

// redeliver hands over again what nobody works on.
func (t *Ticker) redeliver(ctx context.Context) error {
	if t.options.Backlog == nil {
		return nil
	}
	for after := runner.RunID(""); !t.holding(); {
		var ids []runner.RunID
		err := t.bounded(ctx, "read pending runs", func(ctx context.Context) (err error) {
			ids, err = t.options.Backlog.Pending(ctx, after, page)
			return err
		})
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			err = t.bounded(ctx, "deliver pending runs", func(ctx context.Context) error {
				return t.options.Queue.Deliver(ctx, ids...)
			})
			if err != nil {
				return err
			}
			after = ids[len(ids)-1]
		}
		if len(ids) < page {
			return nil
		}
	}
	return nil
}

// freshness tells of workflows without a success for too long. The ledger is
// asked only about those that look stale by what is known of them.
func (t *Ticker) freshness(ctx context.Context) error {
	if !t.known || t.options.Stale == nil {
		return nil
	}
	now := t.now()
	stale := t.stale(now)
	if len(stale) == 0 {
		return nil
	}
	names := make([]string, len(stale))
	for i, c := range stale {
		names[i] = c.Name
	}
	var successes map[string]time.Time
	err := t.bounded(ctx, "read the latest successes", func(ctx context.Context) (err error) {
		successes, err = t.options.Ledger.Successes(ctx, names)
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range stale {
		c.success = successes[c.Name]
	}
	var failed []error
	for _, c := range t.stale(now) {
		err := t.bounded(ctx, fmt.Sprintf("tell that %s is stale", c.Name), func(ctx context.Context) error {
			return t.options.Stale(ctx, c.Workflow, c.fresh())
		})
		failed = append(failed, err)
		if unavailable(err) {
			break
		}
	}
	return errors.Join(failed...)
}

// stale returns the calendars whose latest known success is too old.
func (t *Ticker) stale(now time.Time) []*calendar {
	var stale []*calendar
	for _, c := range t.agenda.heap {
		if c.FreshWithin > 0 && now.Sub(c.fresh()) > c.FreshWithin {
			stale = append(stale, c)
		}
	}
	return stale
}

// fresh is when c was last well.
func (c *calendar) fresh() time.Time {
	if c.success.After(c.since) {
		return c.success
	}
	return c.since
}

// pauses passes on the pauses in force. Those that have ended need nothing: the
// ledger does not count them.
func (t *Ticker) pauses(ctx context.Context) error {
	if t.options.Paused == nil {
		return nil
	}
	var pauses []runner.Pause
	err := t.bounded(ctx, "read the pauses", func(ctx context.Context) (err error) {
		pauses, err = t.options.Ledger.Pauses(ctx)
		return err
	})
	if err != nil || len(pauses) == 0 {
		return err
	}
	return t.bounded(ctx, "look after pauses", func(ctx context.Context) error { return t.options.Paused(ctx, pauses) })
}
