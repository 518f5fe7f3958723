package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

var _ runner.Outbox = (*Ledger)(nil)

// owed is the condition of the index notices_owed, word for word; blocked is
// that on a notice n of an incident while an earlier one is owed to the same
// channel, withheld that on one of which nobody is to be told at present, and
// takable that on one that may be sent.
const (
	owed    = "n.state IN ('pending', 'sending')"
	blocked = `(n.turn > 0 AND EXISTS (SELECT 1 FROM notices o WHERE o.incident = n.incident AND o.channel = n.channel
		AND o.turn < n.turn AND o.state IN ('pending', 'sending')))`
	withheld = `(n.action <> 'resolve' AND EXISTS (SELECT 1 FROM incidents h WHERE h.id = n.incident AND h.suppressed <> ''))`
	takable  = owed + " AND NOT " + blocked + " AND NOT " + withheld
)

// Take marks what is due on a channel as being sent by this instance.
func (l *Ledger) Take(ctx context.Context, channel string, now time.Time, lease time.Duration, limit int) ([]runner.Notice, time.Time, error) {
	what := fmt.Sprintf("take the notices of channel %q", clean(channel, maxName))
	if limit < 1 || lease <= 0 {
		return nil, time.Time{}, fmt.Errorf("%s: a limit of %d and a lease of %s make no sense", what, limit, lease)
	}
	var taken []runner.Notice
	var next time.Time
	err := l.transact(ctx, what, func(ctx context.Context, s session) error {
		owner, err := l.proveAlive(ctx, s)
		if err != nil {
			return err
		}
		if err := l.inheritNotices(ctx, s, channel, owner, now); err != nil {
			return err
		}
		ids, err := dueNotices(ctx, s, channel, now, limit)
		if err != nil {
			return err
		}
		if taken, err = markSending(ctx, s, ids, owner, now.Add(lease)); err != nil {
			return err
		}
		next, err = nextDue(ctx, s, channel, ids)
		return err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return taken, next, nil
}

// inheritNotices makes due what dead instances were sending. After the database
// was away nobody has a lease: whoever comes back first gives the others time to
// put on record what they have sent.
func (l *Ledger) inheritNotices(ctx context.Context, s session, channel, owner string, now time.Time) error {
	var others []string
	err := s.each(ctx, "SELECT DISTINCT n.owner FROM notices n WHERE n.channel = ? AND n.state = 'sending' AND n.owner <> ?",
		[]any{channel, owner}, func(rows *sql.Rows) error {
			var other string
			err := rows.Scan(&other)
			others = append(others, other)
			return err
		})
	if err != nil {
		return err
	}
	for _, other := range others {
		n, err := readNode(ctx, s, other)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			// It left, or was seen to be dead.
		case err != nil:
			return err
		case n.Alive || !l.mayTakeOver(n):
			continue
		}
		if _, err := s.exec(ctx, "UPDATE notices SET next_at = ? WHERE channel = ? AND state = 'sending' AND owner = ? AND next_at > ?",
			now.UnixMicro(), channel, other, now.UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}

// dueNotices returns the IDs of what may be sent now, and keeps others from
// taking it until the transaction ends.
func dueNotices(ctx context.Context, s session, channel string, now time.Time, limit int) ([]string, error) {
	query := "SELECT n.id FROM notices n WHERE n.channel = ? AND n.next_at <= ? AND " + takable +
		fmt.Sprintf(" ORDER BY n.next_at, n.id LIMIT %d", limit) + s.d.skipLocked
	var ids []string
	err := s.each(ctx, query, []any{channel, now.UnixMicro()}, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// markSending marks notices as being sent by owner and returns them in the
// order of ids.
func markSending(ctx context.Context, s session, ids []string, owner string, until time.Time) ([]runner.Notice, error) {
	place := make(map[string]int, len(ids))
	for i, id := range ids {
		place[id] = i
	}
	var taken []runner.Notice
	for chunk := range slices.Chunk(ids, inChunk) {
		args := []any{owner, until.UnixMicro()}
		for _, id := range chunk {
			args = append(args, id)
		}
		query := "UPDATE notices SET state = 'sending', attempts = attempts + 1, owner = ?, next_at = ? WHERE id IN (" + marks(len(chunk)) + ") RETURNING " + noticeColumns
		err := s.each(ctx, query, args, func(rows *sql.Rows) error {
			n, err := scanNotice(rows)
			taken = append(taken, n)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(taken, func(a, b runner.Notice) int { return cmp.Compare(place[a.ID], place[b.ID]) })
	return taken, nil
}

// nextDue returns when the channel has something due besides what was taken.
func nextDue(ctx context.Context, s session, channel string, taken []string) (time.Time, error) {
	args := []any{channel}
	query := "SELECT n.next_at FROM notices n WHERE n.channel = ? AND " + takable
	if len(taken) > 0 {
		query += " AND n.id NOT IN (" + marks(len(taken)) + ")"
		for _, id := range taken {
			args = append(args, id)
		}
	}
	var next sql.NullInt64
	err := s.row(ctx, query+" ORDER BY n.next_at, n.id LIMIT 1", args...).Scan(&next)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return instant(next), err
}

// Sent records that a notice was accepted.
func (l *Ledger) Sent(ctx context.Context, id, receipt string) error {
	return l.settle(ctx, "record that notice "+clean(id, maxName)+" was sent", id, func(ctx context.Context, s session, n heldNotice) error {
		switch n.state {
		case runner.NoticeSent, runner.NoticeSuperseded:
			return nil
		default:
			return n.set(ctx, s, runner.NoticeSent, "ended_at = ?, receipt = ?, error = ''", time.Now().UnixMicro(), cleanLine(receipt, maxLine))
		}
	})
}

// Retry gives a notice back that this instance took.
func (l *Ledger) Retry(ctx context.Context, id, why string, next time.Time) error {
	why = clean(why, maxLine)
	return l.settle(ctx, "give notice "+clean(id, maxName)+" back", id, func(ctx context.Context, s session, n heldNotice) error {
		mine := n.owner == l.Instance()
		if lost := n.state == runner.NoticePending || n.state == runner.NoticeSuperseded; mine && lost && n.error == why {
			return nil // the answer to an earlier call was lost
		}
		if !mine || n.state != runner.NoticeSending {
			return fmt.Errorf("%w: this instance is not sending it, it is %s", runner.ErrNoticeState, n.state)
		}
		if done, err := n.yield(ctx, s, why); done || err != nil {
			return err
		}
		return n.set(ctx, s, runner.NoticePending, "next_at = ?, error = ?", next.UnixMicro(), why)
	})
}

// Bury gives a notice up.
func (l *Ledger) Bury(ctx context.Context, id, why string) error {
	why = clean(why, maxLine)
	return l.settle(ctx, "give notice "+clean(id, maxName)+" up", id, func(ctx context.Context, s session, n heldNotice) error {
		switch n.state {
		case runner.NoticePending, runner.NoticeSending:
		case runner.NoticeDead:
			return nil
		case runner.NoticeSuperseded:
			if n.error == why {
				return nil // the answer to an earlier call was lost
			}
			fallthrough
		default:
			return fmt.Errorf("%w: it is %s", runner.ErrNoticeState, n.state)
		}
		if done, err := n.yield(ctx, s, why); done || err != nil {
			return err
		}
		return n.set(ctx, s, runner.NoticeDead, "ended_at = ?, error = ?", time.Now().UnixMicro(), why)
	})
}

// Revive makes a dead or waiting notice due now.
func (l *Ledger) Revive(ctx context.Context, id string) error {
	return l.settle(ctx, "revive notice "+clean(id, maxName), id, func(ctx context.Context, s session, n heldNotice) error {
		if n.state != runner.NoticeDead && n.state != runner.NoticePending {
			return fmt.Errorf("%w: it is %s", runner.ErrNoticeState, n.state)
		}
		s.owe()
		return n.set(ctx, s, runner.NoticePending, "next_at = ?, ended_at = NULL", time.Now().UnixMicro())
	})
}

// heldNotice is what a change of a notice needs to know; nobody else changes
// it, nor ends its incident, until the transaction ends.
type heldNotice struct {
	id       string
	incident string
	channel  string
	action   runner.NoticeAction
	state    runner.NoticeState
	owner    string
	error    string
}

// settle lets do change one notice.
func (l *Ledger) settle(ctx context.Context, what, id string, do func(context.Context, session, heldNotice) error) error {
	if checkText("the ID", id, maxName) != nil {
		return fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		n := heldNotice{id: id}
		if s.d.lockIncident != "" {
			// The incident goes first, as in clearOne.
			if _, err := s.exec(ctx, s.d.lockIncident, id); err != nil {
				return err
			}
		}
		var incident sql.NullString
		err := s.row(ctx, "SELECT n.incident, n.channel, n.action, n.state, n.owner, n.error FROM notices n WHERE n.id = ?"+s.d.lockNotice, id).
			Scan(&incident, &n.channel, &n.action, &n.state, &n.owner, &n.error)
		if errors.Is(err, sql.ErrNoRows) {
			return runner.ErrNotFound
		}
		if err != nil {
			return err
		}
		n.incident = incident.String
		return do(ctx, s, n)
	})
}

// set changes the notice's state and, by assignments, more.
func (n heldNotice) set(ctx context.Context, s session, state runner.NoticeState, assignments string, args ...any) error {
	args = append(append([]any{state}, args...), n.id)
	changed, err := s.exec(ctx, "UPDATE notices SET state = ?, "+assignments+" WHERE id = ?", args...)
	if err == nil && changed != 1 {
		err = runner.ErrNotFound
	}
	return err
}

// yield lets the notice of an end, when it waits behind this one that was not
// sent, say all that the channel has not heard.
func (n heldNotice) yield(ctx context.Context, s session, why string) (bool, error) {
	if n.incident == "" || n.action == runner.NoticeResolve {
		return false, nil
	}
	var end string
	err := s.row(ctx, "SELECT e.id FROM notices e WHERE e.incident = ? AND e.channel = ? AND e.action = 'resolve' AND e.state = 'pending'",
		n.incident, n.channel).Scan(&end)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := n.set(ctx, s, runner.NoticeSuperseded, "ended_at = ?, error = ?", time.Now().UnixMicro(), why); err != nil {
		return false, err
	}
	states, _, err := toldStates(ctx, s, n.incident)
	if err != nil {
		return false, err
	}
	s.owe()
	_, err = s.exec(ctx, "UPDATE notices SET combined = ? WHERE id = ?", bit(!states[n.channel].heard), end)
	return err == nil, err
}
