package pgbackup

import (
	"context"
	"fmt"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// differs returns how the rows of a restored database differ from its manifest,
// as damage; nil when they do not, or nobody can tell because tables are missing.
func differs(ctx context.Context, c *pg.Conn, d *Database) error {
	for i := range d.Tables {
		t := &d.Tables[i]
		if !t.Dumped || !t.Exact {
			continue
		}
		var rows int64
		if err := c.QueryRow(ctx, "SELECT count(*) FROM ONLY "+pg.Name(t.Schema, t.Name)).Scan(&rows); err != nil {
			return nil //nolint:nilerr // what was restored is not there, which says nothing about the dump
		}
		if rows != t.Rows {
			return damage("table %s has %d rows when it is restored, but had %d in its snapshot", pg.Name(t.Schema, t.Name), rows, t.Rows)
		}
	}
	return nil
}

// holds asks the assertions in a transaction that can change nothing. One that
// does not hold is a *jobs.AssertionError; one that cannot be asked is another
// error.
func holds(ctx context.Context, c *pg.Conn, assertions []string) error {
	for _, assertion := range assertions {
		answer, err := ask(ctx, c, assertion)
		if err != nil {
			return jobs.WithHint(fmt.Errorf("ask %q: %w", jobs.OneLine(assertion), err), "correct the assertion: one statement that returns true, or rows")
		}
		if answer != "" {
			return &jobs.AssertionError{Assertion: assertion, Answer: answer}
		}
	}
	return nil
}

// ask returns why an assertion does not hold; nothing when it does: it returns
// at least one row, and when its first column is of the type boolean, none that
// is not true there.
func ask(ctx context.Context, c *pg.Conn, assertion string) (answer string, err error) {
	if _, err := c.Exec(ctx, "BEGIN READ ONLY"); err != nil {
		return "", err
	}
	defer func() {
		if _, back := c.Exec(ctx, "ROLLBACK"); err == nil {
			err = back
		}
	}()
	rows, err := c.Query(ctx, assertion)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	seen := 0
	for rows.Next() {
		seen++
		values, err := rows.Values()
		if err != nil {
			return "", err
		}
		if len(values) == 0 {
			return "it returns no column", nil
		}
		if is, boolean := values[0].(bool); (boolean && !is || values[0] == nil) && answer == "" {
			answer = "false"
			if values[0] == nil {
				answer = "null"
			}
			if seen > 1 {
				answer += fmt.Sprintf(" in row %d", seen)
			}
		}
	}
	if seen == 0 && rows.Err() == nil {
		answer = "no rows"
	}
	return answer, rows.Err()
}
