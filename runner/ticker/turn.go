package ticker

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// occasion is what a round looks at its calendars for.
type occasion struct {
	// sweep tells that this is the time for what was left to others until
	// somebody sweeps.
	sweep bool
	// fresh tells that the cursors were read in this very round.
	fresh bool
}

// patience is for how long a slot of c is left to others, and whether to look
// at it then. It is never left so long that it would be late, whatever Turn
// says.
func (t *Ticker) patience(c *calendar) (wait time.Duration, look bool) {
	wait, look = t.options.Turn(c.Name)
	deadline := c.Policy.StartDeadline
	if deadline <= 0 {
		deadline = schedule.DefaultStartDeadline
	}
	return min(wait, deadline/2), look || deadline < 2*t.options.Sweep
}

// isShared tells whether other nodes decide the slots of c as well, and its
// cursor says which of them. What a reload changed is for each node to record.
func (t *Ticker) isShared(c *calendar) bool {
	return t.options.Turn != nil && c.Host == "" && !c.unrecorded && len(c.past) == 0
}

// divide says which of the calendars that are due to decide at once, and of
// which to find out first what others have decided. What belongs to neither is
// left to others for now.
func (t *Ticker) divide(now time.Time, why occasion) (mine, others []*calendar) {
	t.mu.Lock()
	defer t.mu.Unlock()
	due := t.agenda.due(now)
	if why.sweep {
		due = append(due, t.agenda.left()...)
	}
	for _, c := range due {
		if !t.isShared(c) {
			mine = append(mine, c)
			continue
		}
		wait, look := t.patience(c)
		came := c.came
		if came.IsZero() {
			came = c.wake
		}
		switch {
		case c.came.IsZero() && wait <= 0 && look:
			mine = append(mine, c)
		case (look || why.sweep || why.fresh) && !now.Before(came.Add(wait)):
			others = append(others, c)
		default:
			t.agenda.leave(c, came, wait, look)
		}
	}
	return mine, others
}

// remaining takes over what others have decided of calendars, and returns those
// of which that is not all that is due.
func (t *Ticker) remaining(ctx context.Context, list []*calendar, why occasion) ([]*calendar, error) {
	if len(list) == 0 {
		return nil, nil
	}
	var cursors []runner.Cursor
	if !why.fresh {
		names := make([]string, len(list))
		for i, c := range list {
			names[i] = c.Name
		}
		err := t.bounded(ctx, "read what others decided", func(ctx context.Context) (err error) {
			cursors, err = t.options.Ledger.CursorsOf(ctx, names)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, cursor := range cursors {
		if c := t.agenda.byKey[cursor.CalendarKey]; c != nil && cursor.Through.Sub(now) <= setBack {
			c.adopt(cursor)
		}
	}
	var rest []*calendar
	for _, c := range list {
		t.agenda.move(c)
		if c.wake.After(now) {
			continue
		}
		if wait, look := t.patience(c); now.Before(c.wake.Add(wait)) {
			// Others have decided some of it, and have time for this one.
			t.agenda.leave(c, c.wake, wait, look)
			continue
		}
		rest = append(rest, c)
	}
	if len(rest) > 0 && !why.fresh {
		t.log.DebugContext(ctx, "slots were left to other nodes, which did not decide them", "workflows", len(rest), "first", rest[0].Name)
	}
	return rest, nil
}

// settleAgain sets the timer for what was left to others for a moment: gocron's
// calendar knows no instants between seconds. What a round failed at is repeated
// anyway.
func (t *Ticker) settleAgain(timer *time.Timer) {
	if t.options.Turn == nil {
		return
	}
	now := t.now()
	t.mu.Lock()
	again := t.agenda.again(now)
	t.mu.Unlock()
	if again.Before(never()) {
		timer.Reset(again.Sub(now))
	}
}
