package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// noticeChunk is how many notices one INSERT takes.
	noticeChunk = 50
	// maxNoticeText bounds the body of a reminder or a test.
	maxNoticeText = 16 << 10
)

// noticeColumns are what scanNotice reads, from notices. The last repeats
// withheld.
const noticeColumns = `id, incident, channel, action, combined, subject, text, state, attempts,
	created_at, next_at, ended_at, receipt, error, seq,
	(state = 'pending' AND action <> 'resolve' AND EXISTS (SELECT 1 FROM incidents h WHERE h.id = incident AND h.suppressed <> ''))`

func scanNotice(row scanner) (runner.Notice, error) {
	var n runner.Notice
	var incident sql.NullString
	var created, next, ended sql.NullInt64
	err := row.Scan(&n.ID, &incident, &n.Channel, &n.Action, &n.Combined, &n.Subject, &n.Text, &n.State, &n.Attempts,
		&created, &next, &ended, &n.Receipt, &n.Error, &n.Seq, &n.Withheld)
	n.Incident = incident.String
	n.CreatedAt, n.NextAt, n.EndedAt = instant(created), instant(next), instant(ended)
	return n, err
}

// Owe records notices that belong to no incident, all or none.
func (l *Ledger) Owe(ctx context.Context, notices ...runner.Notice) error {
	if len(notices) == 0 {
		return nil
	}
	what := fmt.Sprintf("owe %d notices", len(notices))
	list := make([]owedNotice, len(notices))
	for i, n := range notices {
		if err := checkNotice(n); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		n.Subject, n.Text = cleanLine(n.Subject, maxLine), clean(n.Text, maxNoticeText)
		list[i].Notice = n
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		return insertNotices(ctx, s, list, time.Now())
	})
}

func checkNotice(n runner.Notice) error {
	switch {
	case n.Incident != "":
		return errors.New("the notices of incidents are owed by what happens to them")
	case !slices.Contains([]runner.NoticeAction{runner.NoticeRemind, runner.NoticeTest, runner.NoticeDigest, runner.NoticeWeekly, runner.NoticeChange}, n.Action):
		return fmt.Errorf("a notice of nothing cannot tell %q", n.Action)
	case n.Combined:
		return errors.New("only the notice of an incident's end is combined")
	}
	return errors.Join(checkName("the channel", n.Channel), checkID(n.ID))
}

// checkID refuses what is neither empty nor a UUID of version 7 in its
// canonical form: lists are ordered by it.
func checkID(id string) error {
	if id == "" {
		return nil
	}
	parsed, err := uuid.Parse(id)
	if err != nil || parsed.Version() != 7 || parsed.String() != id {
		return fmt.Errorf("%q is not a canonical UUID of version 7", clean(id, maxName))
	}
	return nil
}

// insertNotices records notices as pending. One that is on record already
// stays as it is.
func insertNotices(ctx context.Context, s session, list []owedNotice, now time.Time) error {
	const columns = 17
	ids, _, err := newRunIDs(now, len(list))
	if err != nil {
		return fmt.Errorf("make IDs: %w", err)
	}
	for from := 0; from < len(list); from += noticeChunk {
		chunk := list[from:min(from+noticeChunk, len(list))]
		args := make([]any, 0, columns*len(chunk))
		for i, n := range chunk {
			id, next := n.ID, n.NextAt
			if id == "" {
				id = string(ids[from+i])
			}
			if next.IsZero() {
				next = now
			}
			args = append(args, id, sql.NullString{String: n.Incident, Valid: n.Incident != ""}, n.Channel, n.Action, bit(n.Combined),
				n.Subject, n.Text, runner.NoticePending, 0, "", now.UnixMicro(), next.UnixMicro(), nil, "", "", n.Seq, n.turn)
		}
		query := `INSERT INTO notices (id, incident, channel, action, combined, subject, text, state, attempts, owner,
			created_at, next_at, ended_at, receipt, error, seq, turn) VALUES ` + tuples(len(chunk), columns) + ` ON CONFLICT (id) DO NOTHING`
		if _, err := s.exec(ctx, query, args...); err != nil {
			return err
		}
		s.owe()
	}
	return nil
}
