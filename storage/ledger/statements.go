package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"

	"modernc.org/sqlite"
)

const (
	// maxStatements bounds how many prepared statements a connection keeps; all
	// that runs need are about 40.
	maxStatements = 64
	// longText is the length from which a text carries a list, whose length may
	// differ from call to call, so that only the last few are kept; the pages ask
	// about the same list of workflows again and again. A text longer than
	// maxStatementText is never kept.
	longText         = 2 << 10
	maxLong          = 4
	maxStatementText = 64 << 10
)

// openPrepared opens an SQLite database whose connections keep the statements
// that they have prepared: parsing takes longer than most of our statements
// run. (pgx does the same for PostgreSQL.)
func openPrepared(uri string) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(uri)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(preparing{connector}), nil
}

// preparing makes connections that keep prepared statements.
type preparing struct{ driver.Connector }

// Connect implements driver.Connector.
func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	made, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := made.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks what the ledger needs of a connection"), made.Close())
	}
	return &preparedConn{sqliteConn: conn}, nil
}

// sqliteConn is what database/sql and the ledger use of the driver's
// connection.
type sqliteConn interface {
	sqliteSession
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	sqlite.HookRegisterer
}

// sqliteSession is a connection without what runs on it.
type sqliteSession interface {
	driver.Conn
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// sqliteStmt is what the ledger uses of the driver's prepared statement.
type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// preparedConn is a connection that keeps prepared statements. database/sql
// lets one goroutine at a time use it.
type preparedConn struct {
	sqliteConn
	// idle are the statements that nobody uses just now, least recently used
	// first. One in use is not among them, so that a query within the rows of
	// the same query gets a statement of its own.
	idle []preparedStmt
}

type preparedStmt struct {
	text string
	sqliteStmt
}

// keepable tells whether the statement may be run again after it was prepared
// once: some PRAGMAs do their work while they are prepared
// (https://www.sqlite.org/pragma.html, introduction).
func keepable(query string) bool {
	if len(query) > maxStatementText {
		return false
	}
	verb, _, _ := strings.Cut(query, " ")
	switch verb {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK":
		return true
	}
	return false
}

// take returns a prepared statement for the exclusive use of the caller, who
// gives it back by keep, or closes it.
func (c *preparedConn) take(ctx context.Context, query string) (preparedStmt, error) {
	for i, p := range slices.Backward(c.idle) {
		if p.text == query {
			c.idle = slices.Delete(c.idle, i, i+1)
			return p, nil
		}
	}
	made, err := c.PrepareContext(ctx, query)
	if err != nil {
		return preparedStmt{}, err
	}
	stmt, ok := made.(sqliteStmt)
	if !ok {
		return preparedStmt{}, errors.Join(errors.New("the SQLite driver lacks what the ledger needs of a statement"), made.Close())
	}
	return preparedStmt{query, stmt}, nil
}

// keep makes a statement idle. One that failed is not used again.
func (c *preparedConn) keep(p preparedStmt, failed bool) error {
	if failed {
		return p.Close()
	}
	c.idle = append(c.idle, p)
	if len(p.text) > longText {
		return c.forget(maxLong, func(p preparedStmt) bool { return len(p.text) > longText })
	}
	return c.forget(maxStatements, func(preparedStmt) bool { return true })
}

// forget closes the least recently used of those that fit, when there are more
// of them than most.
func (c *preparedConn) forget(most int, fits func(preparedStmt) bool) error {
	oldest, number := -1, 0
	for i, p := range c.idle {
		if fits(p) {
			if number++; oldest < 0 {
				oldest = i
			}
		}
	}
	if number <= most {
		return nil
	}
	p := c.idle[oldest]
	c.idle = slices.Delete(c.idle, oldest, oldest+1)
	return p.Close()
}

// ExecContext implements driver.ExecerContext.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if !keepable(query) {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	p, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := p.ExecContext(ctx, args)
	return result, errors.Join(err, c.keep(p, err != nil))
}

// QueryContext implements driver.QueryerContext.
func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if !keepable(query) {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	p, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := p.QueryContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, c.keep(p, true))
	}
	return &preparedRows{Rows: rows, conn: c, stmt: p}, nil
}

// Close implements driver.Conn.
func (c *preparedConn) Close() error {
	var errs []error
	for _, p := range c.idle {
		errs = append(errs, p.Close())
	}
	c.idle = nil
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// preparedRows gives its statement back when it is closed.
type preparedRows struct {
	driver.Rows
	conn   *preparedConn
	stmt   preparedStmt
	closed bool
}

// Close implements driver.Rows.
func (r *preparedRows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.Rows.Close()
	return errors.Join(err, r.conn.keep(r.stmt, err != nil))
}
