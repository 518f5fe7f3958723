package ledger_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestPool: the ledger and the queue beside it share eight connections, and who
// finds them all in use waits.
func TestPool(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, ledgertest.Postgres(t), nil)
	pool := l.Pool()
	var taken []*pgxpool.Conn
	for range 8 {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatalf("take a connection: %v", err)
		}
		taken = append(taken, conn)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Runs(short, runner.Filter{Limit: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a ninth connection: %v, want to wait in vain", err)
	}
	var durable string
	var locks int
	if err := taken[0].QueryRow(t.Context(), "SELECT current_setting('synchronous_commit'), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))").Scan(&durable, &locks); err != nil {
		t.Fatal(err)
	}
	if durable != "on" || locks != 0 {
		t.Errorf("synchronous_commit is %s; %d advisory locks are left of the set-up", durable, locks)
	}
	for _, conn := range taken {
		conn.Release()
	}
	if _, err := l.Runs(t.Context(), runner.Filter{Limit: 1}); err != nil {
		t.Errorf("after they were given back: %v", err)
	}
	if ledgertest.Open(t, ledgertest.SQLite(t), nil).Pool() != nil {
		t.Error("an SQLite ledger has a pool of connections to a server")
	}
}

// TestPool_CloseInUse: a connection that hangs does not keep a process from its
// end.
func TestPool_CloseInUse(t *testing.T) {
	t.Parallel()
	l, err := ledger.Open(t.Context(), ledger.Options{DSN: ledgertest.Postgres(t), Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err == nil {
		t.Error("Close waited for nothing")
	}
	conn.Release()
}
