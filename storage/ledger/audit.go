package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

var (
	_ runner.Auditor     = (*Ledger)(nil)
	_ runner.AuditReader = (*Reader)(nil)
)

const actionColumns = "id, at, who, role, means, origin, via, what, subject, ending, status, request_id, alike"

// actionChunk is how many actions one INSERT takes.
const actionChunk = 100

// Audit records actions, all or none.
func (l *Ledger) Audit(ctx context.Context, actions ...runner.Action) error {
	if len(actions) == 0 {
		return nil
	}
	what := fmt.Sprintf("record %d actions in the audit", len(actions))
	list := slices.Clone(actions)
	for i := range list {
		a := &list[i]
		if a.At.IsZero() {
			a.At = time.Now()
		}
		if err := checkID(a.ID); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if a.ID == "" {
			ids, _, err := newRunIDs(a.At, 1)
			if err != nil {
				return fmt.Errorf("%s: make an ID: %w", what, err)
			}
			a.ID = string(ids[0])
		}
		a.Count = max(a.Count, 1)
		for _, text := range []*string{&a.Who, &a.Means, &a.From, &a.Via, &a.What, &a.Subject, &a.RequestID} {
			*text = cleanLine(*text, maxShortText)
		}
		a.Role = runner.Role(cleanLine(string(a.Role), maxShortText))
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		for chunk := range slices.Chunk(list, actionChunk) {
			const columns = 13
			args := make([]any, 0, columns*len(chunk))
			for _, a := range chunk {
				args = append(args, a.ID, a.At.UnixMicro(), a.Who, a.Role, a.Means, a.From, a.Via, a.What, a.Subject, a.End, a.Status, a.RequestID, a.Count)
			}
			if _, err := s.exec(ctx, "INSERT INTO actions ("+actionColumns+") VALUES "+tuples(len(chunk), columns)+" ON CONFLICT (id) DO NOTHING", args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Actions returns the actions that f selects, newest first.
func (r *Reader) Actions(ctx context.Context, f runner.ActionFilter) ([]runner.Action, error) {
	const what = "list the audit"
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if unstorable(f.Who, f.What, string(f.End), f.Before) {
		return nil, nil
	}
	low, high := idRange(runner.Filter{Since: f.Since, Until: f.Until, Before: runner.RunID(f.Before)})
	q := new(query)
	q.add("SELECT "+actionColumns+" FROM actions WHERE id >= ? AND id < ?", low, high)
	for _, equal := range []struct{ column, value string }{{"who", f.Who}, {"what", f.What}, {"ending", string(f.End)}} {
		if equal.value != "" {
			q.add(" AND "+equal.column+" = ?", equal.value)
		}
	}
	q.add(fmt.Sprintf(" ORDER BY id DESC LIMIT %d", limit))
	var list []runner.Action
	err = r.reading().each(ctx, q.text.String(), q.args, func(rows *sql.Rows) error {
		var a runner.Action
		var at sql.NullInt64
		err := rows.Scan(&a.ID, &at, &a.Who, &a.Role, &a.Means, &a.From, &a.Via, &a.What, &a.Subject, &a.End, &a.Status, &a.RequestID, &a.Count)
		a.At = instant(at)
		list = append(list, a)
		return err
	})
	return list, r.explain(ctx, what, err)
}
