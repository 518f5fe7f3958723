package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// snapshot is a connection that holds a snapshot open for pg_dump and the
// catalog.
type snapshot struct {
	*pg.Conn
	// id is what other sessions import; taken is its instant by the server's
	// clock.
	id    string
	taken time.Time
	lsn   string
	held  time.Time
}

// unlimited are the settings that could end a session which only holds a
// snapshot, or lie about rows, or let counting take processors that the dump
// needs. Versions of the server know different ones.
const unlimited = `SELECT set_config(name, CASE name WHEN 'row_security' THEN 'off' WHEN 'search_path' THEN 'pg_catalog' ELSE '0' END, false)
	FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',
		'idle_session_timeout', 'transaction_timeout', 'max_parallel_workers_per_gather', 'row_security', 'search_path')`

// openSnapshot connects and exports a snapshot. The caller closes it.
func openSnapshot(ctx context.Context, s source, application string) (_ *snapshot, err error) {
	c, err := pg.Connect(ctx, s.address, application)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(pg.Advise(err), c.Hangup(ctx))
		}
	}()
	if _, err := pg.Texts(ctx, c, unlimited); err != nil {
		return nil, fmt.Errorf("prepare the session: %w", err)
	}
	if _, err := c.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", err)
	}
	snap := &snapshot{Conn: c, held: time.Now()}
	err = c.QueryRow(ctx, `SELECT pg_export_snapshot(), clock_timestamp(),
		CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text`).Scan(&snap.id, &snap.taken, &snap.lsn)
	if err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", err)
	}
	return snap, nil
}

// attempt runs do so that its failure does not end the snapshot, and frees the
// locks that it took.
func (s *snapshot) attempt(ctx context.Context, do func() error) error {
	if _, err := s.Exec(ctx, "SAVEPOINT attempt"); err != nil {
		return fmt.Errorf("hold the snapshot: %w", err)
	}
	err := do()
	if _, back := s.Exec(ctx, "ROLLBACK TO SAVEPOINT attempt"); back != nil {
		return &lostError{cause: errors.Join(err, back)}
	}
	return err
}

// lostError says that the snapshot is gone, with whatever else went wrong.
type lostError struct{ cause error }

func (e *lostError) Error() string {
	return "the connection that holds the snapshot was lost: " + e.cause.Error()
}
func (e *lostError) Unwrap() error { return e.cause }

// Hint says what to do.
func (e *lostError) Hint() string {
	return "try again; see the server's log for why it ended the session"
}
