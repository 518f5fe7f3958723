package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// clearOne ends the open incident of a fingerprint, if there is one. It returns
// false when there is none, and when one stays open because it comes and goes.
func (l *Ledger) clearOne(ctx context.Context, s session, ruled ruling) (bool, error) {
	i, err := holdIncident(ctx, s, "i.fingerprint = ? AND i.state = 'open'", ruled.fingerprint)
	if errors.Is(err, runner.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// An end before the latest occurrence comes from a clock that is behind.
	at := ruled.clearedAt.UTC()
	if i.LastAt.After(at) {
		at = i.LastAt
	}
	r, now := new(record), time.Now()
	if i.Flapping {
		if i.recoveredAt.IsZero() {
			i.recoveredAt, i.steadyAt = at, at.Add(l.o.Flapping.Stable)
			s.owe()
		}
		return false, i.save(ctx, s)
	}
	flapping, err := l.flaps(ctx, s, i, at, false)
	if err != nil {
		return false, err
	}
	if flapping {
		l.flap(s, i, at, r)
		i.recoveredAt = at
		return false, errors.Join(i.save(ctx, s), r.write(ctx, s, now))
	}
	i.Resolver = ruled.by
	if err := i.resolve(ctx, s, at, "", "", r); err != nil {
		return false, err
	}
	return true, r.write(ctx, s, now)
}

// resolve ends an incident and owes the channels that were told of it that.
// What says that it is open and was not sent, and is not being sent, is
// superseded.
func (i *heldIncident) resolve(ctx context.Context, s session, at time.Time, text, by string, r *record) error {
	silenced := i.Suppressed != ""
	i.State, i.ResolvedAt = runner.IncidentResolved, at
	i.waiting, i.Suppressed, i.releaseAt = nil, "", time.Time{}
	i.Flapping, i.steadyAt, i.recoveredAt = false, time.Time{}, time.Time{}
	r.entry(i, at, runner.EntryResolved, text, by)
	// The end of this one may be that of the suppression of others.
	s.owe()
	// The row of the incident is ours: notices that are given back meanwhile wait
	// for it and see that it has ended.
	if _, err := s.exec(ctx, "UPDATE notices SET state = 'superseded', ended_at = ? WHERE incident = ? AND action <> 'resolve' AND state IN ('pending', 'dead')",
		time.Now().UnixMicro(), i.ID); err != nil {
		return err
	}
	states, turn, err := toldStates(ctx, s, i.ID)
	if err != nil {
		return err
	}
	if silenced {
		// A channel from which all was withheld hears of no end either.
		i.Channels = slices.DeleteFunc(i.Channels, func(name string) bool { return !states[name].reached })
	}
	if err := i.save(ctx, s); err != nil {
		return err
	}
	for _, channel := range i.Channels {
		r.owe(runner.Notice{Incident: i.ID, Action: runner.NoticeResolve, Combined: !states[channel].heard}, turn, channel)
	}
	return nil
}

// flaps tells whether a change of an incident at an instant makes it one that
// comes and goes. opening tells that the change is its opening.
func (l *Ledger) flaps(ctx context.Context, s session, i *heldIncident, at time.Time, opening bool) (bool, error) {
	rule := l.o.Flapping
	if rule.Changes < 0 {
		return false, nil
	}
	since := at.Add(-rule.Within).UnixMicro()
	changes := 1
	if !opening {
		if i.OpenedAt.UnixMicro() >= since {
			changes++
		}
		var shaken int
		err := s.row(ctx, "SELECT COUNT(*) FROM entries WHERE incident = ? AND at >= ? AND kind IN ('worse', 'better')", i.ID, since).Scan(&shaken)
		if err != nil {
			return false, fmt.Errorf("count the changes of incident %s: %w", i.ID, err)
		}
		changes += shaken
	}
	query := fmt.Sprintf("SELECT opened_at, resolved_at FROM incidents WHERE fingerprint = ? AND state = 'resolved' ORDER BY id DESC LIMIT %d", rule.Changes)
	err := s.each(ctx, query, []any{i.Fingerprint}, func(rows *sql.Rows) error {
		var opened, resolved int64
		err := rows.Scan(&opened, &resolved)
		for _, change := range []int64{opened, resolved} {
			if change >= since {
				changes++
			}
		}
		return err
	})
	return changes >= rule.Changes, err
}

// flap notes that an incident comes and goes.
func (l *Ledger) flap(s session, i *heldIncident, at time.Time, r *record) {
	rule := l.o.Flapping
	i.Flapping, i.steadyAt = true, at.Add(rule.Stable)
	r.entry(i, at, runner.EntryFlapping, fmt.Sprintf("%d changes or more within %s; it stays open until it is steady for %s", rule.Changes, rule.Within, rule.Stable), "")
	s.owe()
}

// steady ends the coming and going of an incident that lasts: the channels hear
// how it is now.
func (i *heldIncident) steady(ctx context.Context, s session, at time.Time, r *record) error {
	i.Flapping, i.steadyAt = false, time.Time{}
	r.entry(i, at, runner.EntrySteady, fmt.Sprintf("it lasts, %s: %s", i.Severity, i.Title), "")
	if i.Suppressed != "" || !i.AckedAt.IsZero() {
		return i.save(ctx, s)
	}
	worse := i.Severity.Rank() > i.told.Rank()
	told := slices.Clone(i.Channels)
	if err := i.tell(ctx, s, false, r); err != nil {
		return err
	}
	if !worse {
		states, turn, err := toldStates(ctx, s, i.ID)
		if err != nil {
			return err
		}
		seq, err := nextSeq(ctx, s, i.ID, runner.NoticeRepeat, firstSteadySeq)
		if err != nil {
			return err
		}
		told = slices.DeleteFunc(told, func(name string) bool { return states[name].covers })
		r.owe(runner.Notice{Incident: i.ID, Action: runner.NoticeRepeat, Seq: seq}, turn, told...)
	}
	return i.save(ctx, s)
}

// firstSteadySeq keeps the repetitions that steady owes apart from those of
// Duties, whose Seq is chosen by the caller.
const firstSteadySeq = 1 << 30
