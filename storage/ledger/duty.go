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

var _ runner.Duties = (*Ledger)(nil)

// onIncident lets do owe more about one incident.
func (l *Ledger) onIncident(ctx context.Context, what, incident string, do func(ctx context.Context, s session, i *heldIncident, r *record) error) error {
	what += " " + clean(incident, maxName)
	if checkText("the ID", incident, maxName) != nil {
		return fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		i, err := holdIncident(ctx, s, "i.id = ?", incident)
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

// quiet tells whether time alone gives nobody anything to hear of an incident.
func (i *heldIncident) quiet(at time.Time) bool {
	acked := !i.AckedAt.IsZero() && (i.AckedUntil.IsZero() || at.Before(i.AckedUntil))
	return i.State != runner.IncidentOpen || i.Suppressed != "" || i.Flapping || acked
}

// Repeat owes a channel that was told of an incident a repetition.
func (l *Ledger) Repeat(ctx context.Context, incident, channel string, seq int, at time.Time) (bool, error) {
	if seq < 0 || seq >= firstSteadySeq {
		return false, fmt.Errorf("repeat incident %s: impossible number %d", clean(incident, maxName), seq)
	}
	owed := false
	err := l.onIncident(ctx, "repeat incident", incident, func(ctx context.Context, s session, i *heldIncident, r *record) error {
		owed = false
		if i.quiet(at) || !slices.Contains(i.Channels, channel) {
			return nil
		}
		states, turn, err := toldStates(ctx, s, i.ID)
		if err != nil || states[channel].owed {
			return err
		}
		var one int
		err = s.row(ctx, "SELECT 1 FROM notices WHERE incident = ? AND channel = ? AND action = 'repeat' AND seq = ?", i.ID, channel, seq).Scan(&one)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		owed = true
		r.owe(runner.Notice{Incident: i.ID, Action: runner.NoticeRepeat, Seq: seq}, turn, channel)
		return nil
	})
	return owed && err == nil, err
}

// Widen tells further channels of an incident.
func (l *Ledger) Widen(ctx context.Context, incident, text string, at time.Time, channels ...string) (int, error) {
	for _, channel := range channels {
		if err := checkName("a channel", channel); err != nil {
			return 0, fmt.Errorf("tell more channels of incident %s: %w", clean(incident, maxName), err)
		}
	}
	owed := 0
	err := l.onIncident(ctx, "tell more channels of incident", incident, func(ctx context.Context, s session, i *heldIncident, r *record) error {
		owed = 0
		if i.quiet(at) {
			return nil
		}
		var err error
		owed, err = i.widen(ctx, s, text, channels, r)
		return err
	})
	if err != nil {
		return 0, err
	}
	return owed, nil
}

// widen owes the opening to those of channels that were not told, and returns
// how many these are.
func (i *heldIncident) widen(ctx context.Context, s session, text string, channels []string, r *record) (int, error) {
	all := appendNew(i.Channels, channels...)
	added := all[len(i.Channels):]
	if len(added) == 0 {
		return 0, nil
	}
	_, turn, err := toldStates(ctx, s, i.ID)
	if err != nil {
		return 0, err
	}
	r.owe(runner.Notice{Incident: i.ID, Action: runner.NoticeOpen, Text: clean(text, maxNoticeText)}, turn, added...)
	i.Channels = all
	i.waiting = slices.DeleteFunc(i.waiting, func(name string) bool { return slices.Contains(all, name) })
	return len(added), i.save(ctx, s)
}

// Divert owes another channel what a notice tells.
func (l *Ledger) Divert(ctx context.Context, notice, to, text string) (bool, error) {
	what := fmt.Sprintf("owe channel %q what notice %s tells", clean(to, maxName), clean(notice, maxName))
	if err := checkName("the channel", to); err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	owed := false
	err := l.settle(ctx, what, notice, func(ctx context.Context, s session, n heldNotice) error {
		owed = false
		r := new(record)
		var err error
		if n.incident == "" {
			owed, err = n.copyTo(ctx, s, to, r)
		} else {
			owed, err = n.divertTo(ctx, s, to, text, r)
		}
		if err != nil {
			return err
		}
		return r.write(ctx, s, time.Now())
	})
	return owed && err == nil, err
}

// copyTo owes another channel a notice of no incident, once.
func (n heldNotice) copyTo(ctx context.Context, s session, to string, r *record) (bool, error) {
	original, err := scanNotice(s.row(ctx, "SELECT "+noticeColumns+" FROM notices WHERE id = ?", n.id))
	if err != nil {
		return false, err
	}
	id := runner.DerivedID(original.CreatedAt, n.id, to)
	var one int
	err = s.row(ctx, "SELECT 1 FROM notices WHERE id = ?", id).Scan(&one)
	if !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	r.owe(runner.Notice{ID: id, Action: original.Action, Subject: original.Subject, Text: original.Text}, 0, to)
	return true, nil
}

// divertTo owes another channel what a notice of an incident tells.
func (n heldNotice) divertTo(ctx context.Context, s session, to, text string, r *record) (bool, error) {
	i, err := holdIncident(ctx, s, "i.id = ?", n.incident)
	switch {
	case err != nil:
		return false, err
	case i.State == runner.IncidentOpen:
		added, err := i.widen(ctx, s, text, []string{to}, r)
		return added > 0, err
	case n.action != runner.NoticeResolve || slices.Contains(i.Channels, to):
		return false, nil
	}
	_, turn, err := toldStates(ctx, s, i.ID)
	if err != nil {
		return false, err
	}
	r.owe(runner.Notice{Incident: i.ID, Action: runner.NoticeResolve, Combined: true, Text: clean(text, maxNoticeText)}, turn, to)
	i.Channels = append(i.Channels, to)
	return true, i.save(ctx, s)
}
