package ledger

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// dialect is what differs between the two databases. Queries are written for
// SQLite; everything else they need stands here.
type dialect struct {
	name string
	// now is the database's clock in microseconds since 1970.
	now string
	// lockRun ends a SELECT of one run so that the row r stays as it is until
	// the transaction ends. SQLite needs none: its write transactions exclude
	// each other.
	lockRun string
	// lockLocks keeps other transactions from taking or freeing several named
	// locks until this one ends, so that two never wait for each other. SQLite
	// needs none.
	lockLocks string
	// lockWorkflow takes one of workflowLocks locks, whose number is its
	// argument, until the transaction ends: what is decided by looking at the
	// open runs of a workflow is decided by one transaction at a time. SQLite
	// needs none.
	lockWorkflow string
	// lockIncident keeps the incident of the notice that its argument names as
	// it is until the transaction ends; lockNotice ends a SELECT of one notice
	// n likewise, and lockHeld one of an incident i. SQLite needs none.
	lockIncident, lockNotice, lockHeld string
	// skipLocked ends a SELECT of rows that are to be changed, leaving out those
	// that other transactions are changing. SQLite needs none.
	skipLocked string
	// local tells that only processes of this machine use the database.
	local bool
	// numbered tells that placeholders are $1, $2 and not ?.
	numbered  bool
	isolation sql.IsolationLevel
	// goose names the dialect to the migrator; countVersionTables counts the
	// tables of a given name.
	goose              goose.Dialect
	countVersionTables string
	// conflict tells that a transaction was rolled back only because of
	// another one and may simply be repeated.
	conflict func(error) bool
	// rolledBack tells that a rollback failed only because the database had
	// done it by itself.
	rolledBack func(error) bool
	// explain adds runner.ErrUnavailable or a hint where one is known.
	explain func(error) error
}

// rebind writes query's placeholders the way of d. Queries of this package
// contain no question mark besides placeholders.
func (d *dialect) rebind(query string) string {
	if !d.numbered {
		return query
	}
	var b strings.Builder
	b.Grow(len(query) + 32)
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		query = after
	}
}

// executor is a database handle, a connection or a transaction.
type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// session runs queries of either dialect.
type session struct {
	on executor
	d  *dialect
	// owes is set when the transaction leaves notices to be sent; nil outside
	// of transactions.
	owes *bool
	// bells are rung when the transaction is durable; nil for no bells.
	bells *[]Bell
}

// exec runs a statement and returns how many rows it changed.
func (s session) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := s.on.ExecContext(ctx, s.d.rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row reads one row.
func (s session) row(ctx context.Context, query string, args ...any) *sql.Row {
	return s.on.QueryRowContext(ctx, s.d.rebind(query), args...)
}

// each calls scan for every row that query yields.
func (s session) each(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) (err error) {
	rows, err := s.on.QueryContext(ctx, s.d.rebind(query), args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// marks returns n placeholders separated by commas.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// tuples returns n rows of width placeholders each, as VALUES takes them.
func tuples(n, width int) string {
	return strings.TrimSuffix(strings.Repeat("("+marks(width)+"), ", n), ", ")
}
