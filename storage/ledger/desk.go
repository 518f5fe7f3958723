package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

var (
	_ runner.Desk    = (*Ledger)(nil)
	_ runner.Settler = (*Ledger)(nil)
)

// sameWithin is how long after an entry of a person the same once more counts
// as a repetition of the call.
const sameWithin = time.Minute

// work lets do change one incident that a person named, in the name of by.
func (l *Ledger) work(ctx context.Context, what, incident, by string, do func(ctx context.Context, s session, i *heldIncident, r *record) error) error {
	what += " " + clean(incident, maxName)
	if strings.TrimSpace(by) == "" {
		return fmt.Errorf("%s: it is not said by whom", what)
	}
	named, err := l.Incident(ctx, incident)
	if err != nil {
		return err
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		i, err := holdIncident(ctx, s, "i.id = ?", named.ID)
		if err != nil {
			return err
		}
		r := new(record)
		if err := do(ctx, s, i, r); err != nil {
			return err
		}
		return r.write(ctx, s, time.Now())
	})
}

// said tells whether the latest entry of a kind is what somebody says just now:
// the answer to an earlier call was lost.
func said(ctx context.Context, s session, i *heldIncident, e runner.Entry) (bool, error) {
	var text, by string
	var at int64
	err := s.row(ctx, "SELECT text, made_by, at FROM entries WHERE incident = ? AND kind = ? ORDER BY at DESC, id DESC LIMIT 1", i.ID, e.Kind).Scan(&text, &by, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return text == clean(e.Text, maxLine) && by == cleanLine(e.By, maxShortText) && e.At.Sub(time.UnixMicro(at)) < sameWithin, err
}

// Ack records that somebody works on an open incident.
func (l *Ledger) Ack(ctx context.Context, incident, by, note string, until time.Time) error {
	by = cleanLine(by, maxShortText)
	return l.work(ctx, "acknowledge incident", incident, by, func(ctx context.Context, s session, i *heldIncident, r *record) error {
		now := time.Now().UTC()
		switch {
		case i.State != runner.IncidentOpen:
			return fmt.Errorf("%w: it is resolved", runner.ErrIncidentState)
		case !until.IsZero() && !until.After(now):
			return fmt.Errorf("the time until %s has passed", until.UTC().Format(time.RFC3339))
		case i.AckedBy == by && i.AckedUntil.Equal(until.Truncate(time.Microsecond)) && note == "":
			return nil
		}
		text := note
		if !until.IsZero() {
			text = strings.TrimPrefix(note+"; until "+until.UTC().Format(time.RFC3339), "; ")
		}
		entry := runner.Entry{At: now, Kind: runner.EntryAcked, Text: text, By: by}
		if repeated, err := said(ctx, s, i, entry); err != nil || repeated && i.AckedBy == by {
			return err
		}
		another := i.AckedBy != by
		i.AckedAt, i.AckedBy, i.AckedUntil = now, by, until
		r.entry(i, now, entry.Kind, entry.Text, by)
		s.owe()
		if another && i.Suppressed == "" && len(i.Channels) > 0 {
			_, turn, err := toldStates(ctx, s, i.ID)
			if err != nil {
				return err
			}
			seq, err := nextSeq(ctx, s, i.ID, runner.NoticeAck, 0)
			if err != nil {
				return err
			}
			r.owe(runner.Notice{Incident: i.ID, Action: runner.NoticeAck, Seq: seq}, turn, i.Channels...)
		}
		return i.save(ctx, s)
	})
}

// Note adds a line to the timeline of any incident.
func (l *Ledger) Note(ctx context.Context, incident, by, text string) error {
	if strings.TrimSpace(text) == "" {
		return fmt.Errorf("add a note to incident %s: it says nothing", clean(incident, maxName))
	}
	return l.work(ctx, "add a note to incident", incident, by, func(ctx context.Context, s session, i *heldIncident, r *record) error {
		entry := runner.Entry{At: time.Now().UTC(), Kind: runner.EntryNote, Text: text, By: by}
		if repeated, err := said(ctx, s, i, entry); err != nil || repeated {
			return err
		}
		r.entry(i, entry.At, entry.Kind, text, by)
		return nil
	})
}

// Began says when the fault of any incident really began.
func (l *Ledger) Began(ctx context.Context, incident, by string, at time.Time) error {
	at = at.UTC().Truncate(time.Microsecond)
	return l.work(ctx, "say when the fault began of incident", incident, by, func(ctx context.Context, s session, i *heldIncident, r *record) error {
		switch {
		case at.IsZero():
			return jobs.Fieldf("at", "it is not said when it began")
		case at.After(i.OpenedAt):
			return jobs.Fieldf("at", "%s is after the incident opened, at %s", at.Format(time.RFC3339), i.OpenedAt.Format(time.RFC3339))
		case i.FirstBad.Equal(at) && i.LastGood.Equal(at):
			return nil
		}
		text := "it began at " + at.Format(time.RFC3339)
		if !i.FirstBad.IsZero() {
			text += "; the first bad answer was at " + i.FirstBad.Format(time.RFC3339)
		}
		i.LastGood, i.FirstBad = at, at
		r.entry(i, time.Now().UTC(), runner.EntryBegan, text, by)
		return i.save(ctx, s)
	})
}

// Resolve ends an open incident by hand, also one that comes and goes. By the
// same person within a minute it may be repeated.
func (l *Ledger) Resolve(ctx context.Context, incident, by, note string) error {
	return l.work(ctx, "resolve incident", incident, by, func(ctx context.Context, s session, i *heldIncident, r *record) error {
		now := time.Now().UTC()
		if i.State != runner.IncidentOpen {
			repeated, err := said(ctx, s, i, runner.Entry{At: now, Kind: runner.EntryResolved, Text: note, By: by})
			if err == nil && !repeated {
				err = fmt.Errorf("%w: it is resolved", runner.ErrIncidentState)
			}
			return err
		}
		if i.LastAt.After(now) {
			now = i.LastAt
		}
		return i.resolve(ctx, s, now, note, by, r)
	})
}
