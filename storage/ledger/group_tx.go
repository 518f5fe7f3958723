package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// groupTx is a transaction that members share.
type groupTx struct {
	*group
	conn *sql.Conn
	// done are the members whose work is part of it; over are those that know
	// how they ended.
	done, over []*member
	// err is why it cannot be committed.
	err error
}

// begin starts a transaction on the writer's connection.
func (g *group) begin() (*groupTx, error) {
	conn, err := g.db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	t := &groupTx{group: g, conn: conn}
	if err := t.exec("BEGIN IMMEDIATE"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return t, nil
}

func (t *groupTx) exec(statement string) error {
	_, err := t.conn.ExecContext(context.Background(), statement)
	return err
}

// fill takes members in while there are any, not too many, and not for too
// long. The first one needs no savepoint: when it fails, there is nothing else
// to commit.
func (t *groupTx) fill() {
	began := time.Now()
	for t.err == nil && len(t.done)+len(t.over) < maxMembers && time.Since(began) < maxGroupTime {
		m := t.next()
		switch {
		case m == nil:
			return
		case len(t.done) == 0:
			t.err = m.work(t.conn, t.d)
			t.settle(m, t.err)
		default:
			t.settle(m, t.takeIn(m))
		}
	}
}

// takeIn lets one more member work and undoes what it did if it fails. t.err
// is set when that is not possible, because the failure ended the transaction,
// as that of a full disk may.
func (t *groupTx) takeIn(m *member) error {
	if t.err = t.exec("SAVEPOINT member"); t.err != nil {
		return t.err
	}
	err := m.work(t.conn, t.d)
	if err != nil {
		t.err = t.exec("ROLLBACK TO member")
	}
	if t.err == nil {
		t.err = t.exec("RELEASE member")
	}
	if err == nil {
		err = t.err
	}
	return err
}

// settle remembers how a member's work ended.
func (t *groupTx) settle(m *member, err error) {
	m.err = err
	if err == nil {
		t.done = append(t.done, m)
	} else {
		t.over = append(t.over, m)
	}
}

// end commits, or rolls back and gives those another turn whose work was undone
// through no fault of theirs. A commit that fails, fails for all. Each
// transaction that cannot be committed has at least one member that is over, so
// that nobody has turns without end.
func (t *groupTx) end() {
	if t.err != nil {
		t.again(t.done)
		t.rollback()
		return
	}
	t.over = append(t.over, t.done...)
	if t.err = t.exec("COMMIT"); t.err != nil {
		for _, m := range t.done {
			m.err = fmt.Errorf("commit: %w", t.err)
		}
		t.rollback()
		return
	}
	t.conn.Close() //nolint:errcheck // it only gives the connection back
}

// rollback undoes everything and gives the connection back, or closes it when
// nobody knows in which state it is.
func (t *groupTx) rollback() {
	err := t.exec("ROLLBACK")
	if err == nil || t.d.rolledBack(err) {
		t.conn.Close() //nolint:errcheck // it only gives the connection back
		return
	}
	for _, m := range t.over {
		if m.err != nil {
			m.err = fmt.Errorf("%w (and the rollback failed: %w)", m.err, err)
		}
	}
	_ = t.conn.Raw(func(any) error { return driver.ErrBadConn })
}

// work does what the member wants within a transaction. A panic is the
// caller's, so the others go on.
func (m *member) work(on executor, d *dialect) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			m.panicked = fmt.Sprintf("%v\n\n%s", reason, debug.Stack())
			err = errors.New("the work on the ledger panicked")
		}
	}()
	if m.ctx.Err() != nil {
		return context.Cause(m.ctx)
	}
	m.owes = false
	return m.do(m.ctx, session{on: steady{on}, d: d, owes: &m.owes})
}

// steady never interrupts a statement, and begins none whose context has ended.
type steady struct{ on executor }

func steadied(ctx context.Context) context.Context {
	if ctx.Err() != nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// ExecContext implements executor.
func (s steady) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return s.on.ExecContext(steadied(ctx), query, args...)
}

// QueryContext implements executor.
func (s steady) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return s.on.QueryContext(steadied(ctx), query, args...)
}

// QueryRowContext implements executor.
func (s steady) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return s.on.QueryRowContext(steadied(ctx), query, args...)
}
