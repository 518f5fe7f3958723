package ledger

import (
	"context"
	"database/sql"
	"errors"

	"modernc.org/sqlite"
)

// MaxMembers and MaxStatements are the bounds of a shared transaction and of
// what a connection keeps.
const (
	MaxMembers    = maxMembers
	MaxStatements = maxStatements
)

// Waiting returns how many writers of an SQLite ledger wait for their turn.
func (l *Ledger) Waiting() int {
	l.group.mu.Lock()
	defer l.group.mu.Unlock()
	return len(l.group.waiting)
}

// OnCommitAsk calls f for every transaction that SQLite is about to commit on
// the writer's connection; false turns the commit into a rollback.
func (l *Ledger) OnCommitAsk(ctx context.Context, f func() bool) error {
	conn, err := l.write.Conn(ctx)
	if err != nil {
		return err
	}
	err = conn.Raw(func(c any) error {
		hooks, ok := c.(sqlite.HookRegisterer)
		if !ok {
			return errors.New("the driver has no hooks")
		}
		hooks.RegisterCommitHook(func() int32 {
			if f() {
				return 0
			}
			return 1
		})
		return nil
	})
	return errors.Join(err, conn.Close())
}

// Kept returns the texts of the statements that a connection keeps.
func Kept(conn *sql.Conn) (texts []string, err error) {
	err = conn.Raw(func(c any) error {
		prepared, ok := c.(*preparedConn)
		if !ok {
			return errors.New("the connection keeps nothing")
		}
		for _, p := range prepared.idle {
			texts = append(texts, p.text)
		}
		return nil
	})
	return texts, err
}
