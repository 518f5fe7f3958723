package ticker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// batch is about how many requests and cursors one transaction writes;
	// after a write that took too long it is fewer, down to leastBatch.
	batch, leastBatch = 2000, 50
	// spoiled is how many calendars of one round may each be refused by the
	// ledger before it is held to be the ledger's fault.
	spoiled = 8
	// oversleep is how late a start may be looked at by what is known of the
	// cursors.
	oversleep = 10 * time.Second
)

// look decides and delivers what is due. What could not be recorded stays due.
func (t *Ticker) look(ctx context.Context, sweep bool) error {
	if t.holding() {
		return nil
	}
	err := t.tick(ctx, sweep)
	switch {
	case err == nil:
		t.uncertain, t.trouble = false, trouble{}
	case t.trouble.since.IsZero():
		t.trouble = trouble{since: t.now(), why: err.Error()}
	}
	return err
}

func (t *Ticker) tick(ctx context.Context, sweep bool) error {
	if t.known && t.overslept() {
		// While this process was stopped others may have decided its slots.
		t.known = false
	}
	why := occasion{sweep: sweep, fresh: !t.known}
	if !t.known {
		if err := t.learn(ctx); err != nil {
			return err
		}
	}
	mine, others := t.divide(t.now(), why)
	failed := t.decide(ctx, mine)
	if unavailable(failed) || ctx.Err() != nil {
		return failed
	}
	rest, err := t.remaining(ctx, others, why)
	return errors.Join(failed, err, t.decide(ctx, rest))
}

// decide settles what is due of calendars and puts it on record.
func (t *Ticker) decide(ctx context.Context, due []*calendar) error {
	if len(due) == 0 {
		return nil
	}
	now := t.now()
	m := moment{now: now, trouble: t.trouble, usual: t.usual(ctx, due)}
	var failed []error
	for len(due) > 0 && ctx.Err() == nil {
		var chunk []settled
		for size := 0; size < t.batch && len(due) > 0; due = due[1:] {
			s := m.settle(due[0])
			chunk = append(chunk, s)
			size += 1 + len(s.decided.Requests)
		}
		if err := t.record(ctx, now, chunk, &failed); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

// overslept tells that a start has passed for so long that others may hold this
// node to be dead.
func (t *Ticker) overslept() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := t.agenda.next()
	return !next.IsZero() && t.now().Sub(next) > oversleep
}

// record writes settled calendars in one transaction. When the ledger refuses
// them for another reason than being away, it looks for the calendar that is
// refused, so that one cannot keep all others from running.
func (t *Ticker) record(ctx context.Context, now time.Time, chunk []settled, failed *[]error) error {
	err := t.submit(ctx, now, chunk)
	if err == nil {
		return nil
	}
	t.known, t.uncertain = false, true
	if ctx.Err() != nil || errors.Is(err, runner.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if len(chunk) == 1 {
		err = fmt.Errorf("workflow %s: %w", chunk[0].calendar.Name, err)
		if *failed = append(*failed, err); len(*failed) >= spoiled {
			return errors.Join(*failed...)
		}
		return nil
	}
	half := len(chunk) / 2
	if err := t.record(ctx, now, chunk[:half], failed); err != nil {
		return err
	}
	return t.record(ctx, now, chunk[half:], failed)
}

// submit writes settled calendars, remembers that they are settled, and
// delivers the runs among them.
func (t *Ticker) submit(ctx context.Context, now time.Time, chunk []settled) error {
	decided := make([]runner.Decided, len(chunk))
	slots := 0
	for i, s := range chunk {
		decided[i] = s.decided
		slots += len(s.decided.Requests)
	}
	var answers []runner.Submission
	err := t.bounded(ctx, "record what is due", func(ctx context.Context) (err error) {
		answers, err = t.options.Ledger.Decide(ctx, decided...)
		return err
	})
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			// What is too much at once would otherwise be begun for ever.
			t.batch = max(t.batch/4, leastBatch)
		}
		return err
	}
	t.batch = min(2*t.batch, batch)
	if len(answers) != slots {
		return fmt.Errorf("record what is due: the ledger answered %d of %d requests", len(answers), slots)
	}
	t.accept(ctx, now, chunk, slots)
	ids := make([]runner.RunID, 0, len(answers))
	for _, a := range answers {
		// A duplicate is somebody else's to deliver, unless it may be ours.
		if !a.State.Final() && (!a.Duplicate || t.uncertain) {
			ids = append(ids, a.Run)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	err = t.bounded(ctx, "deliver what is due", func(ctx context.Context) error { return t.options.Queue.Deliver(ctx, ids...) })
	if err != nil && ctx.Err() == nil {
		// They are on record: the sweep delivers them.
		t.log.WarnContext(ctx, "runs are on record and not delivered yet", "runs", len(ids), "error", err)
	}
	return nil
}

// accept moves the cursors of calendars that are on record.
func (t *Ticker) accept(ctx context.Context, now time.Time, chunk []settled, slots int) {
	end := t.now()
	var lag time.Duration
	for _, s := range chunk {
		if s.missed > 0 {
			t.log.WarnContext(ctx, "slots were missed", "workflow", s.calendar.Name, "slots", s.missed)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range chunk {
		c := s.calendar
		c.through, c.past, c.unrecorded = s.decided.Cursor.Through, nil, false
		if c.idle() {
			t.agenda.remove(c)
		} else {
			t.agenda.move(c)
		}
		if !s.start.IsZero() {
			lag = max(lag, end.Sub(s.start))
		}
	}
	if slots > 0 {
		t.status.Ticked, t.status.Slots, t.status.Lag = now, slots, lag
	}
}

// usual asks how long those due usually take whose window may close on them.
// Without an answer it is enough that the window is open.
func (t *Ticker) usual(ctx context.Context, due []*calendar) map[string]runner.Usual {
	var names []string
	for _, c := range due {
		if !c.Window.IsZero() {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	var usual map[string]runner.Usual
	err := t.bounded(ctx, "read how long workflows take", func(ctx context.Context) (err error) {
		usual, err = t.options.Ledger.Usual(ctx, names)
		return err
	})
	if err != nil && ctx.Err() == nil {
		t.log.WarnContext(ctx, "windows are judged without the usual durations", "error", err)
	}
	return usual
}

// learn reads the cursors. What nobody configures any more gets a cursor
// without a schedule.
func (t *Ticker) learn(ctx context.Context) error {
	var cursors []runner.Cursor
	err := t.bounded(ctx, "read the calendars", func(ctx context.Context) (err error) {
		cursors, err = t.options.Ledger.Cursors(ctx, t.options.Node)
		return err
	})
	if err != nil {
		return err
	}
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, cursor := range cursors {
		c := t.agenda.byKey[cursor.CalendarKey]
		if c == nil && !t.greeted && cursor.Schedule != noRule {
			c = &calendar{rule: t.rule(Workflow{Name: cursor.Workflow, Host: cursor.Host}), seen: now, adopts: true}
			t.agenda.add(c)
		}
		switch {
		case c == nil:
		case cursor.Through.Sub(now) <= setBack:
			c.adopt(cursor)
		case c.adopts:
			t.log.WarnContext(ctx, "the clock was set back: slots are counted from now on", "workflow", c.Name, "decided", cursor.Through)
			cursor.Through = c.seen
			c.adopt(cursor)
		}
	}
	for _, c := range t.agenda.heap {
		c.begin()
	}
	t.known, t.greeted = true, true
	t.agenda.arm()
	return nil
}

// dropFuture lets calendars begin anew that were decided under a clock that
// was far ahead.
func (t *Ticker) dropFuture(ctx context.Context, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.agenda.heap {
		if c.through.Sub(now) > setBack {
			t.log.WarnContext(ctx, "the clock was set back: slots are counted from now on", "workflow", c.Name, "decided", c.through)
			c.through, c.past = now.Truncate(time.Second), nil
		}
	}
	t.agenda.arm()
}
