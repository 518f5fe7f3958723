package ledger

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// clear takes everything out that was copied.
func (to *copyTarget) clear(ctx context.Context, tables []copyTable) error {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = pgx.Identifier{t.name}.Sanitize()
	}
	return pgx.BeginFunc(ctx, to.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "TRUNCATE "+strings.Join(names, ", ")); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM "+copyTableName+" WHERE name <> ''")
		return err
	})
}

// fill copies the rows of a feed into a table and notes that it is there, all or
// nothing.
func (to *copyTarget) fill(ctx context.Context, t copyTable, feed *rowFeed) error {
	return pgx.BeginFunc(ctx, to.conn, func(tx pgx.Tx) error {
		restore, err := strip(ctx, tx, t.name)
		if err != nil {
			return err
		}
		n, err := tx.CopyFrom(ctx, pgx.Identifier{t.name}, t.columnNames(), feed)
		switch {
		case feed.Err() != nil:
			return feed.Err()
		case err != nil:
			return err
		case n != feed.sum.rows:
			return fmt.Errorf("%d rows were sent and %d stored", feed.sum.rows, n)
		}
		if err := restore(ctx); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO "+copyTableName+" (name, digest) VALUES ($1, $2)", t.name, feed.sum.String())
		return err
	})
}

// strip takes the indexes and foreign keys of a table away, which are made
// quicker of all its rows than row by row, and returns what puts them back.
func strip(ctx context.Context, tx pgx.Tx, table string) (restore func(context.Context) error, err error) {
	rows, err := tx.Query(ctx, `SELECT 'DROP INDEX ' || i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
		WHERE i.indrelid = $1::text::regclass AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
		UNION ALL SELECT format('ALTER TABLE %I DROP CONSTRAINT %I', $1::text, f.conname), format('ALTER TABLE %I ADD CONSTRAINT %I %s', $1::text, f.conname, pg_get_constraintdef(f.oid))
		FROM pg_constraint f WHERE f.conrelid = $1::text::regclass AND f.contype = 'f'`, table)
	if err != nil {
		return nil, err
	}
	var away, back []string
	var drop, create string
	if _, err := pgx.ForEachRow(rows, []any{&drop, &create}, func() error {
		away, back = append(away, drop), append(back, create)
		return nil
	}); err != nil {
		return nil, err
	}
	do := func(ctx context.Context, statements []string) error {
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}
	return func(ctx context.Context) error { return do(ctx, back) }, do(ctx, away)
}

// digest reads a table back.
func (to *copyTarget) digest(ctx context.Context, t copyTable, tell func(int64)) (sum rowDigest, err error) {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = pgx.Identifier{c.name}.Sanitize()
	}
	rows, err := to.conn.Query(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+pgx.Identifier{t.name}.Sanitize())
	if err != nil {
		return sum, err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return sum, err
		}
		sum.add(values)
		tell(sum.rows)
	}
	tell(-sum.rows)
	return sum, rows.Err()
}

// finish makes the target an ordinary ledger: numbers that the database gives
// go on where they were, and it knows how much there is of what.
func (to *copyTarget) finish(ctx context.Context, tables []copyTable) error {
	for _, t := range tables {
		if _, err := to.conn.Exec(ctx, "ANALYZE "+pgx.Identifier{t.name}.Sanitize()); err != nil {
			return fmt.Errorf("analyze table %s: %w", t.name, err)
		}
	}
	return pgx.BeginFunc(ctx, to.conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT format('SELECT setval(%L, COALESCE(MAX(%I), 1), MAX(%I) IS NOT NULL) FROM %I', pg_get_serial_sequence(quote_ident(table_name), column_name), column_name, column_name, table_name)
			FROM information_schema.columns WHERE table_schema = current_schema() AND is_identity = 'YES' AND table_name NOT LIKE 'river%'`)
		if err != nil {
			return err
		}
		counters, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, statement := range counters {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("set a counter: %w", err)
			}
		}
		return unmark(ctx, tx)
	})
}
