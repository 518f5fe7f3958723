package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// parentGrace is how long after the end of a fault those that it caused stay
// suppressed: they need a few good answers of their own to end.
const parentGrace = 2 * time.Minute

// suppressionOf says why nobody is to be told of an incident at an instant.
func (l *Ledger) suppressionOf(ctx context.Context, s session, i *heldIncident, at time.Time) (suppression, error) {
	caused := false
	if i.Parent != "" {
		var one int
		err := s.row(ctx, "SELECT 1 FROM incidents WHERE fingerprint = ? AND state = 'open'", i.Parent).Scan(&one)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return suppression{}, fmt.Errorf("look for the cause of %q: %w", i.Fingerprint, err)
		}
		caused = err == nil
	}
	silences, err := silencesAt(ctx, s, at)
	if err != nil {
		return suppression{}, err
	}
	return l.suppressedBy(ctx, s, i, caused, silences, at)
}

// suppressedBy says why nobody is to be told of an incident at an instant.
// caused tells whether its parent is open.
func (l *Ledger) suppressedBy(ctx context.Context, s session, i *heldIncident, caused bool, silences []runner.Silence, at time.Time) (suppression, error) {
	if caused && i.Parent != i.Fingerprint {
		return suppression{why: "parent " + i.Parent}, nil
	}
	for _, silence := range silences {
		if selects(silence, i.Fault) {
			return suppression{why: "silence " + silence.ID}, nil
		}
	}
	m := l.maintenance()
	if m == nil {
		return suppression{}, nil
	}
	if workflow, closes := m.Window(i.Fault, at); workflow != "" {
		return suppression{why: "window " + workflow, until: closes}, nil
	}
	disturbed, err := disturbance(ctx, s, m.Disturbers(i.Fault), at)
	if disturbed.why != "" || err != nil {
		return disturbed, err
	}
	return suppression{until: m.Opens(i.Fault, at)}, nil
}

// suppress notes that nobody is told of an incident from an instant on.
func (i *heldIncident) suppress(s session, why string, at time.Time, r *record) {
	i.Suppressed, i.releaseAt = why, time.Time{}
	r.entry(i, at, runner.EntrySuppressed, why, "")
	s.owe()
}

// resuppress looks anew whether people are to be told of an incident, and does
// nothing but note it. Without its cause an incident stays suppressed for a
// moment.
func (l *Ledger) resuppress(ctx context.Context, s session, i *heldIncident, at time.Time, r *record) error {
	found, err := l.suppressionOf(ctx, s, i, at)
	i.changesAt = found.until
	switch {
	case err != nil:
		return err
	case found.why == i.Suppressed:
		i.releaseAt = time.Time{}
		return nil
	case found.why != "":
		i.suppress(s, found.why, at, r)
		return nil
	}
	if i.byParent() {
		if i.releaseAt.IsZero() {
			i.releaseAt = at.Add(parentGrace)
			s.owe()
		}
		if at.Before(i.releaseAt) {
			return nil
		}
	}
	r.entry(i, at, runner.EntryReleased, "no longer: "+i.Suppressed, "")
	i.Suppressed, i.releaseAt = "", time.Time{}
	s.owe() // what was withheld may go
	return nil
}

// byParent tells whether the incident is suppressed because of another one.
func (i *heldIncident) byParent() bool { return strings.HasPrefix(i.Suppressed, "parent ") }

// Settle looks at all open incidents as of now. It writes only where there is
// something to do.
func (l *Ledger) Settle(ctx context.Context, now time.Time) (time.Time, error) {
	const what = "settle the incidents"
	now = now.UTC().Truncate(time.Microsecond)
	open := map[string]*heldIncident{}
	err := l.reading().each(ctx, "SELECT "+heldColumns+" FROM incidents WHERE state = 'open'", nil, func(rows *sql.Rows) error {
		i, err := scanHeld(rows)
		if err == nil {
			open[i.Fingerprint] = i
		}
		return err
	})
	if err != nil || len(open) == 0 {
		return time.Time{}, l.explain(ctx, what, err)
	}
	silences, err := silencesAt(ctx, l.reading(), now)
	if err != nil {
		return time.Time{}, l.explain(ctx, what, err)
	}
	next, err := nextSilence(ctx, l.reading(), now)
	if err != nil {
		return time.Time{}, l.explain(ctx, what, err)
	}
	var errs []error
	for _, fingerprint := range slices.Sorted(maps.Keys(open)) {
		i := open[fingerprint]
		found, err := l.suppressedBy(ctx, l.reading(), i, open[i.Parent] != nil, silences, now)
		i.changesAt = found.until
		if err != nil {
			errs = append(errs, l.explain(ctx, what, err))
			continue
		}
		until := i.next()
		if i.due(now, found.why) {
			if until, err = l.settleOne(ctx, i.ID, now); err != nil {
				errs = append(errs, err)
			}
		}
		next = sooner(next, until)
	}
	return next, errors.Join(errs...)
}

// due tells whether time, or why nobody is to be told now, has something to do
// to the incident.
func (i *heldIncident) due(now time.Time, why string) bool {
	switch {
	case !i.AckedUntil.IsZero() && !i.AckedUntil.After(now), i.Flapping && !i.steadyAt.After(now):
		return true
	case why != "":
		return why != i.Suppressed || !i.releaseAt.IsZero()
	case i.byParent():
		return i.releaseAt.IsZero() || !i.releaseAt.After(now)
	}
	return i.Suppressed != ""
}

// next returns when time will have something to do to an incident by itself.
func (i *heldIncident) next() time.Time {
	if i.State != runner.IncidentOpen {
		return time.Time{}
	}
	return sooner(i.changesAt, sooner(i.AckedUntil, sooner(i.releaseAt, i.steadyAt)))
}

// sooner returns the earlier of two instants, of which zero stands for never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// settleOne does to one incident what time does to it, and returns when there
// will be more.
func (l *Ledger) settleOne(ctx context.Context, id string, now time.Time) (next time.Time, err error) {
	err = l.transact(ctx, "settle incident "+id, func(ctx context.Context, s session) error {
		next = time.Time{}
		i, err := holdIncident(ctx, s, "i.id = ?", id)
		if errors.Is(err, runner.ErrNotFound) || err == nil && i.State != runner.IncidentOpen {
			return nil
		}
		if err != nil {
			return err
		}
		r := new(record)
		if err := l.settleHeld(ctx, s, i, now, r); err != nil {
			return err
		}
		next = i.next()
		return r.write(ctx, s, time.Now())
	})
	return next, err
}

// settleHeld does to an open incident what time does to it.
func (l *Ledger) settleHeld(ctx context.Context, s session, i *heldIncident, now time.Time, r *record) error {
	before := *i
	if !i.AckedUntil.IsZero() && !i.AckedUntil.After(now) {
		i.unack(now, "the time of the acknowledgement is over", r)
	}
	if err := l.resuppress(ctx, s, i, now, r); err != nil {
		return err
	}
	if i.Flapping && !i.steadyAt.After(now) {
		if !i.recoveredAt.IsZero() {
			return i.resolve(ctx, s, i.recoveredAt, "it was well ever since", "", r)
		}
		return i.steady(ctx, s, now, r)
	}
	if before.Suppressed != "" {
		if err := i.tell(ctx, s, false, r); err != nil {
			return err
		}
	}
	if i.Suppressed == before.Suppressed && i.releaseAt.Equal(before.releaseAt) && i.AckedAt.Equal(before.AckedAt) {
		return nil
	}
	return i.save(ctx, s)
}
