package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// raiseChunk is how many incidents one INSERT takes.
const raiseChunk = 40

// raiseAll opens incidents or adds to open ones, each of another fingerprint,
// and returns how many it opened.
func (l *Ledger) raiseAll(ctx context.Context, s session, list []ruling) (opened int, err error) {
	now := time.Now()
	ids, held, err := insertIncidents(ctx, s, list, now)
	if err != nil {
		return 0, err
	}
	r := new(record)
	// In the order of list, so that notices are, too.
	for n, ruled := range list {
		i := held[ruled.fingerprint]
		if i == nil {
			return 0, fmt.Errorf("the incident of %q is neither new nor open", ruled.fingerprint)
		}
		if i.ID == ids[n] {
			opened++
			err = l.begin(ctx, s, i, ruled, r)
		} else {
			err = l.recur(ctx, s, i, ruled, r)
		}
		if err != nil {
			return 0, err
		}
	}
	return opened, r.write(ctx, s, now)
}

// insertIncidents makes sure that every fingerprint has an open incident, and
// returns them by fingerprint. One that was open keeps its ID, and is as it was
// besides its count; a new one gets that of ids.
func insertIncidents(ctx context.Context, s session, list []ruling, now time.Time) (ids []string, held map[string]*heldIncident, err error) {
	const columns = 19
	made, _, err := newRunIDs(now, len(list))
	if err != nil {
		return nil, nil, fmt.Errorf("make IDs: %w", err)
	}
	args := make([]any, 0, columns*len(list))
	for n, r := range list {
		channels, err := pack(appendNew(r.first.Channels, r.last.Channels...))
		if err != nil {
			return nil, nil, fmt.Errorf("channels: %w", err)
		}
		f := r.last
		ids = append(ids, string(made[n]))
		args = append(args, made[n], r.fingerprint, f.Workflow, f.Severity, f.Reason, f.Title, f.Run, channels,
			runner.IncidentOpen, r.count, r.first.At.UnixMicro(), f.At.UnixMicro(), nil, "",
			f.Check, micros(r.first.LastGood), micros(r.first.FirstBad), f.Parent, f.Severity)
	}
	// The condition on the state is that of the index incidents_open, word for
	// word.
	query := `INSERT INTO incidents (id, fingerprint, workflow, severity, reason, title, run, channels, state, count,
			opened_at, last_at, resolved_at, resolver, check_name, last_good, first_bad, parent, told) VALUES ` + tuples(len(list), columns) + `
		ON CONFLICT (fingerprint) WHERE state = 'open' DO UPDATE SET count = incidents.count + excluded.count RETURNING ` + heldColumns
	held = make(map[string]*heldIncident, len(list))
	err = s.each(ctx, query, args, func(rows *sql.Rows) error {
		i, err := scanHeld(rows)
		if err == nil {
			held[i.Fingerprint] = i
		}
		return err
	})
	return ids, held, err
}

// appendNew appends those of more that are not there yet to a copy of list.
func appendNew(list []string, more ...string) []string {
	out := slices.Clone(list)
	for _, name := range more {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// begin does what follows from the opening of an incident.
func (l *Ledger) begin(ctx context.Context, s session, i *heldIncident, ruled ruling, r *record) error {
	at := i.OpenedAt
	r.entry(i, at, runner.EntryOpened, i.Title, "")
	r.entries = append(r.entries, evidenceOf(i.ID, at, ruled.first.Evidence)...)
	found, err := l.suppressionOf(ctx, s, i, at)
	if err != nil {
		return err
	}
	flapping, err := l.flaps(ctx, s, i, at, true)
	if err != nil {
		return err
	}
	if flapping {
		l.flap(s, i, at, r)
	}
	if found.why != "" {
		i.suppress(s, found.why, at, r)
		i.waiting, i.Channels, i.told = i.Channels, nil, ""
	}
	r.owe(runner.Notice{Incident: i.ID, Action: runner.NoticeOpen}, 0, i.Channels...)
	if flapping || found.why != "" {
		return i.save(ctx, s)
	}
	return nil
}

// recur adds an occurrence to an incident that is open.
func (l *Ledger) recur(ctx context.Context, s session, i *heldIncident, ruled ruling, r *record) error {
	f, before := ruled.last, i.Severity
	i.Workflow, i.Severity, i.Reason, i.Title, i.Fault.Run = f.Workflow, f.Severity, f.Reason, f.Title, f.Run
	i.Check, i.Parent = f.Check, f.Parent
	if i.FirstBad.IsZero() {
		i.LastGood, i.FirstBad = f.LastGood, f.FirstBad
	}
	// An occurrence before the latest one comes from a clock that is behind.
	at := f.At.UTC()
	if i.LastAt.After(at) {
		at = i.LastAt
	}
	i.LastAt = at
	rose := i.Severity.Rank() > before.Rank()
	if err := l.shake(ctx, s, i, before, at, r); err != nil {
		return err
	}
	if rose && !i.AckedAt.IsZero() {
		i.unack(at, "it got worse", r)
	}
	if rose || i.Suppressed != "" {
		if err := l.resuppress(ctx, s, i, at, r); err != nil {
			return err
		}
	}
	i.waiting = appendNew(i.waiting, appendNew(ruled.first.Channels, f.Channels...)...)
	if err := i.tell(ctx, s, rose && !i.Flapping, r); err != nil {
		return err
	}
	return i.save(ctx, s)
}

// shake notes what an occurrence changed about an incident that may come and
// go: its severity, or that it was well for a moment.
func (l *Ledger) shake(ctx context.Context, s session, i *heldIncident, before jobs.Severity, at time.Time, r *record) error {
	changed := i.Severity != before
	switch {
	case i.Flapping && (changed || !i.recoveredAt.IsZero()):
		i.recoveredAt, i.steadyAt = time.Time{}, at.Add(l.o.Flapping.Stable)
		s.owe()
	case !i.Flapping && changed:
		kind := runner.EntryBetter
		if i.Severity.Rank() > before.Rank() {
			kind = runner.EntryWorse
		}
		r.entry(i, at, kind, fmt.Sprintf("%s, was %s: %s", i.Severity, before, i.Title), "")
		flapping, err := l.flaps(ctx, s, i, at, false)
		if err != nil {
			return err
		}
		if flapping {
			l.flap(s, i, at, r)
		}
	}
	return nil
}

// tell owes the waiting channels the opening, and, when the severity rose or is
// above what was told last, the others that. What waits to be sent will say so
// anyway. Nobody is told while the incident is suppressed.
func (i *heldIncident) tell(ctx context.Context, s session, rose bool, r *record) error {
	i.waiting = slices.DeleteFunc(i.waiting, func(name string) bool { return slices.Contains(i.Channels, name) })
	rose = (rose || i.Severity.Rank() > i.told.Rank()) && len(i.Channels) > 0
	if i.Suppressed != "" || !rose && len(i.waiting) == 0 {
		return nil
	}
	states, turn, err := toldStates(ctx, s, i.ID)
	if err != nil {
		return err
	}
	if rose {
		seq, err := nextSeq(ctx, s, i.ID, runner.NoticeWorse, 0)
		if err != nil {
			return err
		}
		uncovered := slices.DeleteFunc(slices.Clone(i.Channels), func(name string) bool { return states[name].covers })
		r.owe(runner.Notice{Incident: i.ID, Action: runner.NoticeWorse, Seq: seq}, turn, uncovered...)
	}
	r.owe(runner.Notice{Incident: i.ID, Action: runner.NoticeOpen}, turn, i.waiting...)
	i.Channels, i.waiting, i.told = append(i.Channels, i.waiting...), nil, i.Severity
	return nil
}

// unack notes that nobody works on an incident any more.
func (i *heldIncident) unack(at time.Time, why string, r *record) {
	r.entry(i, at, runner.EntryUnacked, why, "")
	i.AckedAt, i.AckedUntil, i.AckedBy = time.Time{}, time.Time{}, ""
}
