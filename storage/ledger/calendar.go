package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Cursors returns the cursors of all calendars whose host is empty or host,
// ordered by workflow and host.
func (r *Reader) Cursors(ctx context.Context, host string) ([]runner.Cursor, error) {
	list, err := r.cursors(ctx, "host = '' OR host = ?", host)
	return list, r.explain(ctx, "read the cursors", err)
}

// mostNamed is of how many workflows cursors are looked up by name; of more, all
// are read.
const mostNamed = 1 << 10

// CursorsOf returns the cursors that are on record of the calendars without host
// of some workflows, ordered by workflow. It takes one query.
func (r *Reader) CursorsOf(ctx context.Context, workflows []string) ([]runner.Cursor, error) {
	if len(workflows) == 0 {
		return nil, nil
	}
	condition, args := "host = ''", []any(nil)
	if len(workflows) <= mostNamed {
		// Powers of two: each number of names is another statement to prepare.
		places := 1
		for places < len(workflows) {
			places *= 2
		}
		condition += " AND workflow IN (" + marks(places) + ")"
		for i := range places {
			args = append(args, workflows[min(i, len(workflows)-1)])
		}
	}
	list, err := r.cursors(ctx, condition, args...)
	if len(workflows) > mostNamed {
		asked := make(map[string]bool, len(workflows))
		for _, name := range workflows {
			asked[name] = true
		}
		list = slices.DeleteFunc(list, func(c runner.Cursor) bool { return !asked[c.Workflow] })
	}
	return list, r.explain(ctx, "read the cursors of what is due", err)
}

// cursors returns those that meet a condition.
func (r *Reader) cursors(ctx context.Context, condition string, args ...any) (list []runner.Cursor, err error) {
	err = r.reading().each(ctx, "SELECT workflow, host, schedule, through, since FROM cursors WHERE "+condition+" ORDER BY workflow, host", args, func(rows *sql.Rows) error {
		var c runner.Cursor
		var through, since int64
		err := rows.Scan(&c.Workflow, &c.Host, &c.Schedule, &through, &since)
		c.Through, c.Since = time.UnixMicro(through).UTC(), time.UnixMicro(since).UTC()
		list = append(list, c)
		return err
	})
	return list, err
}

// Decide records slots and cursors in one transaction, all or none, and
// answers each request in the order of the arguments. Slots of a workflow that
// is paused, and those that lie within its last pause, become Skipped; so do
// those whose Overlap says so, as with Submit. The since of a cursor on record
// stays.
func (l *Ledger) Decide(ctx context.Context, decided ...runner.Decided) ([]runner.Submission, error) {
	if len(decided) == 0 {
		return nil, nil
	}
	var requests []runner.Request
	cursors := make(map[runner.CalendarKey]runner.Cursor, len(decided))
	for _, d := range decided {
		if err := checkDecided(d); err != nil {
			return nil, fmt.Errorf("decide the slots of %s: %w", clean(d.Cursor.Workflow, maxName), err)
		}
		requests = append(requests, d.Requests...)
		cursors[d.Cursor.CalendarKey] = d.Cursor
	}
	what := fmt.Sprintf("decide %d slots of %d calendars", len(requests), len(cursors))
	if len(decided) == 1 {
		what = fmt.Sprintf("decide %d slots of %s", len(requests), clean(decided[0].Cursor.Workflow, maxName))
	}
	list, err := prepareRequests(requests)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var answer []runner.Submission
	err = l.transact(ctx, what, func(ctx context.Context, s session) error {
		work := slices.Clone(list)
		if len(work) > 0 {
			pauses, err := listPauses(ctx, s, "")
			if err != nil {
				return err
			}
			if err := l.record(ctx, s, work, pauses); err != nil {
				return err
			}
		}
		answer = answers(work)
		return moveCursors(ctx, s, cursors)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func checkDecided(d runner.Decided) error {
	c := d.Cursor
	if c.Through.IsZero() {
		return errors.New("the cursor says through no instant")
	}
	for _, r := range d.Requests {
		if r.Spec.Workflow != c.Workflow || r.Host != c.Host {
			return fmt.Errorf("a slot of the workflow %q on host %q is not of this calendar", clean(r.Spec.Workflow, maxName), clean(r.Host, maxName))
		}
	}
	return errors.Join(checkName("the workflow", c.Workflow), checkText("the host", c.Host, maxName), checkText("the schedule", c.Schedule, maxLine))
}

// moveCursors records how far calendars are decided, in the order of their
// keys, so that two transactions never wait for each other. A cursor moves
// back only with another schedule.
func moveCursors(ctx context.Context, s session, cursors map[runner.CalendarKey]runner.Cursor) error {
	list := make([]runner.Cursor, 0, len(cursors))
	for _, c := range cursors {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b runner.Cursor) int {
		return cmp.Or(strings.Compare(a.Workflow, b.Workflow), strings.Compare(a.Host, b.Host))
	})
	const columns = 5
	now := time.Now().UnixMicro()
	for chunk := range slices.Chunk(list, insertChunk) {
		args := make([]any, 0, columns*len(chunk))
		for _, c := range chunk {
			since := now
			if !c.Since.IsZero() {
				since = c.Since.UnixMicro()
			}
			args = append(args, c.Workflow, c.Host, c.Schedule, c.Through.UnixMicro(), since)
		}
		query := "INSERT INTO cursors (workflow, host, schedule, through, since) VALUES " + tuples(len(chunk), columns) +
			` ON CONFLICT (workflow, host) DO UPDATE SET schedule = excluded.schedule, through = excluded.through
			WHERE cursors.schedule <> excluded.schedule OR cursors.through < excluded.through`
		if _, err := s.exec(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}
