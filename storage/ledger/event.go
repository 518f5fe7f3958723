package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

var _ runner.Chronicle = (*Ledger)(nil)

// eventChunk is how many events one INSERT takes.
const eventChunk = 100

// Record records events, all or none.
func (l *Ledger) Record(ctx context.Context, happenings ...runner.Happening) error {
	if len(happenings) == 0 {
		return nil
	}
	what := fmt.Sprintf("record %d events", len(happenings))
	now := time.Now()
	list := slices.Clone(happenings)
	ids, _, err := newRunIDs(now, len(list))
	if err != nil {
		return fmt.Errorf("%s: make IDs: %w", what, err)
	}
	for i := range list {
		h := &list[i]
		if err := errors.Join(checkName("the kind of the event", h.Kind), checkID(h.ID)); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if h.ID == "" {
			h.ID = string(ids[i])
		}
		if h.At.IsZero() {
			h.At = now
		}
		h.Subject, h.Text, h.By = cleanLine(h.Subject, maxShortText), cleanLine(h.Text, maxLine), cleanLine(h.By, maxShortText)
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		s.owe() // some channels are told of changes
		return insertEvents(ctx, s, list)
	})
}

// insertEvents records events as they are. One that is on record already stays
// as it is.
func insertEvents(ctx context.Context, s session, list []runner.Happening) error {
	for chunk := range slices.Chunk(list, eventChunk) {
		const columns = 6
		args := make([]any, 0, columns*len(chunk))
		for _, h := range chunk {
			args = append(args, h.ID, h.Kind, h.Subject, h.Text, h.By, h.At.UnixMicro())
		}
		if _, err := s.exec(ctx, "INSERT INTO events (id, kind, subject, text, made_by, at) VALUES "+tuples(len(chunk), columns)+
			" ON CONFLICT (id) DO NOTHING", args...); err != nil {
			return err
		}
	}
	return nil
}

// eventsOf are the events that an ended attempt reports. Their IDs follow from
// the attempt, so that an end recorded twice reports them once.
func eventsOf(c runner.Claim, a runner.Attempt, events []jobs.Event) []runner.Happening {
	list := make([]runner.Happening, len(events))
	for i, e := range events {
		identity := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d/%d", c.Run, a.Job, a.Number, i))
		list[i] = runner.Happening{
			ID: string(tickOf(a.FinishedAt).id([8]byte(identity[:8]))), Kind: e.Kind, Subject: e.Subject, Text: e.Text,
			By: cleanLine(fmt.Sprintf("%s of run %s", a.Job, c.Run), maxShortText), At: a.FinishedAt,
		}
	}
	return list
}

// Happenings returns the events that f selects, the latest first, and those of
// one microsecond by descending ID.
func (r *Reader) Happenings(ctx context.Context, f runner.HappeningFilter) ([]runner.Happening, error) {
	const what = "list events"
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if unstorable(f.Kinds...) {
		return nil, nil // no event is of such a kind
	}
	low, high := eventPlace{at: -1 << 62}, eventPlace{at: 1<<63 - 1}
	if !f.Since.IsZero() {
		low.at = ceilMicro(f.Since)
	}
	if !f.Until.IsZero() {
		high.at = ceilMicro(f.Until)
	}
	if f.Before != "" {
		before, err := r.placeOfEvent(ctx, f.Before)
		if err != nil {
			return nil, r.explain(ctx, what, err)
		}
		high = high.earlier(before)
	}
	q := new(query)
	kinds := slices.Compact(slices.Sorted(slices.Values(f.Kinds)))
	q.newestOf("events", []string{"at", "id"}, columnValues("kind", kinds), []any{low.at, low.id}, []any{high.at, high.id}, limit)
	var list []runner.Happening
	text := "SELECT id, kind, subject, text, made_by, at FROM events WHERE id IN (" + q.text.String() + ") ORDER BY at DESC, id DESC"
	err = r.reading().each(ctx, text, q.args, func(rows *sql.Rows) error {
		var h runner.Happening
		var at sql.NullInt64
		err := rows.Scan(&h.ID, &h.Kind, &h.Subject, &h.Text, &h.By, &at)
		h.At = instant(at)
		list = append(list, h)
		return err
	})
	return list, r.explain(ctx, what, err)
}

// eventPlace is where an event stands in the order of the list.
type eventPlace struct {
	at int64
	id string
}

func (p eventPlace) earlier(q eventPlace) eventPlace {
	if q.at < p.at || q.at == p.at && q.id < p.id {
		return q
	}
	return p
}

func (r *Reader) placeOfEvent(ctx context.Context, id string) (eventPlace, error) {
	p := eventPlace{id: id}
	if checkText("the ID", id, maxName) != nil {
		return p, runner.ErrNotFound
	}
	err := r.reading().row(ctx, "SELECT at FROM events WHERE id = ?", id).Scan(&p.at)
	if errors.Is(err, sql.ErrNoRows) {
		err = runner.ErrNotFound
	}
	return p, err
}

// ceilMicro returns the first microsecond that is not before t.
func ceilMicro(t time.Time) int64 {
	micro := t.UnixMicro()
	if t.After(time.UnixMicro(micro)) {
		micro++
	}
	return micro
}
