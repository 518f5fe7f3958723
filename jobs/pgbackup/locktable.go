package pgbackup

import (
	"context"
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
)

// lockTable is how many locks the server has room for, all sessions together,
// and how many pg_dump needs: one for each table, all of them until its end.
type lockTable struct {
	Tables int64
	// PerSession is max_locks_per_transaction, for each of so many sessions
	// (postgresql.org/docs/current/runtime-config-locks.html).
	PerSession, Sessions int64
}

// lockSetting is the name of the setting, which the server's own message holds
// in every language.
const lockSetting = "max_locks_per_transaction"

// lockTable asks for both.
func (s *snapshot) lockTable(ctx context.Context) (t lockTable, err error) {
	err = s.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
		current_setting('max_locks_per_transaction')::bigint,
		current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint`).Scan(&t.Tables, &t.PerSession, &t.Sessions)
	if err != nil {
		return t, fmt.Errorf("ask for the room for locks: %w", err)
	}
	return t, nil
}

// spareLocks is by how much the room should exceed the tables: their indexes
// and sequences are locked for moments, and other sessions want locks too.
const spareLocks = 2

// enough returns the setting that would do: a multiple of 64, its default.
func (t lockTable) enough() int64 {
	const step = 64
	need := t.Tables * spareLocks / max(1, t.Sessions)
	return max(need, t.PerSession)/step*step + step
}

// advise adds what to do when said, the last words of pg_dump, are that the
// server had no room for its locks.
func (t lockTable) advise(err error, said *tail) error {
	if err == nil || !strings.Contains(strings.Join(said.lines(), " "), lockSetting) {
		return err
	}
	if t.Tables == 0 {
		return jobs.WithHint(err, "raise "+lockSetting+" in the server's configuration and restart it, or leave tables out (exclude_schemas, exclude_tables)")
	}
	return jobs.WithHint(err, fmt.Sprintf("pg_dump locks all %d tables at once, but the server is configured for %d locks (%s = %d, for each of %d sessions): set %s = %d "+
		"in its configuration and restart it, or leave tables out (exclude_schemas, exclude_tables)",
		t.Tables, t.PerSession*t.Sessions, lockSetting, t.PerSession, t.Sessions, lockSetting, t.enough()))
}
