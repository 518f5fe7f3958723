package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/ghosteam/upkeep/runner"
)

// Notices returns the notices that f selects, newest first.
func (r *Reader) Notices(ctx context.Context, f runner.NoticeFilter) ([]runner.Notice, error) {
	const what = "list notices"
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if unstorable(f.Incident, f.Channel, f.Before) {
		return nil, nil // no row holds such a text
	}
	high := idBound(f.Before)
	q := new(query)
	switch {
	case f.Incident != "":
		// An incident has few notices: two for each channel.
		q.add("SELECT id FROM notices WHERE incident = ? AND id < ?", f.Incident, high)
		if f.Channel != "" {
			q.add(" AND channel = ?", f.Channel)
		}
		if len(f.States) > 0 {
			q.add(" AND state IN (" + marks(len(f.States)) + ")")
			for _, state := range f.States {
				q.args = append(q.args, state)
			}
		}
		q.add(fmt.Sprintf(" ORDER BY id DESC LIMIT %d", limit))
	case f.Channel != "":
		states := f.States
		if len(states) == 0 {
			states = noticeStates()
		}
		ranges := columnValues("state", states)
		for i := range ranges {
			ranges[i] = append(keyRange{{"channel", f.Channel}}, ranges[i]...)
		}
		q.newestOf("notices", []string{"id"}, ranges, []any{""}, []any{high}, limit)
	default:
		q.newestOf("notices", []string{"id"}, columnValues("state", f.States), []any{""}, []any{high}, limit)
	}
	var list []runner.Notice
	text := "SELECT " + noticeColumns + " FROM notices WHERE id IN (" + q.text.String() + ") ORDER BY id DESC"
	err = r.reading().each(ctx, text, q.args, func(rows *sql.Rows) error {
		n, err := scanNotice(rows)
		list = append(list, n)
		return err
	})
	return list, r.explain(ctx, what, err)
}

// Channels returns the channels that are owed something. It looks up one after
// the other, however much each is owed.
func (r *Reader) Channels(ctx context.Context) ([]string, error) {
	const query = `WITH RECURSIVE channels (name) AS (
			SELECT MIN(n.channel) FROM notices n WHERE ` + owed + `
			UNION ALL SELECT (SELECT MIN(n.channel) FROM notices n WHERE ` + owed + ` AND n.channel > channels.name) FROM channels WHERE channels.name IS NOT NULL)
		SELECT name FROM channels WHERE name IS NOT NULL ORDER BY name`
	var list []string
	err := r.reading().each(ctx, query, nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		list = append(list, name)
		return err
	})
	return list, r.explain(ctx, "list the channels that are owed notices", err)
}

func noticeStates() []runner.NoticeState {
	return []runner.NoticeState{runner.NoticePending, runner.NoticeSending, runner.NoticeSent, runner.NoticeDead, runner.NoticeSuperseded}
}
