package alerts

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// dutyPage is how many incidents are read at once, dutyPause the least time
	// between two looks, whatever happens meanwhile.
	dutyPage  = 200
	dutyPause = time.Second
)

// duty owes what follows from the passing of time: repetitions, escalations,
// the ends of suppressions, the digest of the week. It looks when something
// changed and at the instant at which something follows; all of it is decided
// from what is on record.
func (d *Dispatcher) duty(ctx context.Context) {
	w := &worker{Dispatcher: d, wake: d.moved, log: d.o.Log, complaints: map[string]string{}}
	failed := 0
	for ctx.Err() == nil {
		now := d.o.Now()
		next, err := d.discharge(ctx, now)
		idle := longestIdle
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failed++
			w.complain(ctx, noDuty, err)
			idle = d.wait(failed, 0)
		default:
			failed = 0
			delete(w.complaints, noDuty)
			if !next.IsZero() {
				idle = min(idle, next.Sub(now))
			}
		}
		pause := time.NewTimer(dutyPause)
		select {
		case <-ctx.Done():
		case <-pause.C:
			w.sleep(ctx, max(0, idle-dutyPause))
		}
		pause.Stop()
	}
}

const noDuty = "could not look which faults are to be told again"

// discharge owes what is due at now and returns when something will be.
func (d *Dispatcher) discharge(ctx context.Context, now time.Time) (next time.Time, err error) {
	if d.o.Settler != nil {
		if next, err = d.o.Settler.Settle(ctx, now); err != nil {
			return next, err
		}
	}
	if at, err := d.weekly(ctx, now); err != nil {
		return next, err
	} else {
		next = earliest(next, at)
	}
	if err := d.changes(ctx, now); err != nil {
		return next, err
	}
	policy := d.o.Policy()
	filter := runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: dutyPage}
	for policy != nil {
		open, err := d.o.Records.Incidents(ctx, filter)
		if err != nil {
			return next, err
		}
		for _, i := range open {
			at, err := d.insistOn(ctx, i, policy.duties(i), now)
			if err != nil {
				return next, err
			}
			next = earliest(next, at)
		}
		if len(open) < filter.Limit {
			break
		}
		filter.Before = open[len(open)-1].ID
	}
	return next, nil
}

// insistOn owes what is due about one open incident.
func (d *Dispatcher) insistOn(ctx context.Context, i runner.Incident, is duties, now time.Time) (next time.Time, err error) {
	switch {
	case i.Suppressed != "" || i.Flapping:
		return time.Time{}, nil // its end is a change
	case !i.AckedAt.IsZero() && i.AckedUntil.IsZero():
		return time.Time{}, nil
	case !i.AckedAt.IsZero() && i.AckedUntil.After(now):
		return i.AckedUntil, nil
	}
	if untold := without(is.untold, i.Channels); len(untold) > 0 {
		owed, err := d.o.Duties.Widen(ctx, i.ID, fmt.Sprintf("It failed %d times in a row.", i.Count), now, untold...)
		if err != nil {
			return next, err
		}
		if owed > 0 {
			d.Wake()
			i.Channels = append(slices.Clone(i.Channels), untold...)
		}
	}
	for _, e := range is.escalate {
		if len(i.Channels) == 0 {
			break // it has not failed often enough yet
		}
		untold := without(e.To, i.Channels)
		if len(untold) == 0 {
			continue
		}
		due := i.OpenedAt.Add(e.After.Std())
		if due.After(now) {
			next = earliest(next, due)
			continue
		}
		text := fmt.Sprintf("Nobody has acknowledged it for %s.", e.After)
		owed, err := d.o.Duties.Widen(ctx, i.ID, text, now, untold...)
		if err != nil {
			return next, err
		}
		if owed == 0 {
			next = earliest(next, now.Add(shortestRepeat))
			continue
		}
		d.Wake()
		i.Channels = append(slices.Clone(i.Channels), untold...)
		d.o.Log.WarnContext(ctx, "a fault lasts and nobody has acknowledged it: further channels are told", "incident", i.ID, "title", i.Title, "since", i.OpenedAt, "channels", untold)
	}
	at, err := d.repeat(ctx, i, is, now)
	return earliest(next, at), err
}

// repeat owes the repetitions of one open incident.
func (d *Dispatcher) repeat(ctx context.Context, i runner.Incident, is duties, now time.Time) (next time.Time, err error) {
	var notices []runner.Notice
	for _, channel := range i.Channels {
		every, repeats := is.repeat[channel]
		if !repeats {
			continue
		}
		if first := i.OpenedAt.Add(every); first.After(now) {
			next = earliest(next, first)
			continue
		}
		if notices == nil {
			filter := runner.NoticeFilter{Incident: i.ID, Limit: 1000}
			if notices, err = d.o.Records.Notices(ctx, filter); err != nil {
				return next, err
			}
		}
		last, seq := lastTold(notices, channel, now)
		due := last.Add(every)
		if !i.AckedUntil.IsZero() && i.AckedUntil.After(due) {
			due = i.AckedUntil
		}
		if !due.After(now) {
			owed, err := d.o.Duties.Repeat(ctx, i.ID, channel, seq, now)
			if err != nil {
				return next, err
			}
			if owed {
				d.Wake()
			}
			due = now.Add(every)
		}
		next = earliest(next, due)
	}
	return next, nil
}

// lastTold returns when a channel was last told, or given up, about the
// incident of the notices, now when it is owed something still, and the number
// of its next repetition.
func lastTold(notices []runner.Notice, channel string, now time.Time) (last time.Time, seq int) {
	for _, n := range notices {
		if n.Channel != channel {
			continue
		}
		if n.Action == runner.NoticeRepeat && n.Seq < mostRepeats {
			seq = max(seq, n.Seq+1)
		}
		switch {
		case n.EndedAt.IsZero():
			last = now
		case n.EndedAt.After(last) && !last.Equal(now):
			last = n.EndedAt
		}
	}
	return last, seq
}

// mostRepeats is above the numbers of all repetitions that are owed here.
const mostRepeats = 1 << 30

// without returns those of names that are not among told.
func without(names, told []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(told, name) })
}

// earliest returns the earlier of two instants; zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
