package river_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/runner/queue/queuetest"
	"github.com/ghosteam/upkeep/runner/queue/river"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

func TestMain(m *testing.M) { os.Exit(queuetest.Main(m, subject())) }

func TestSuite(t *testing.T) {
	t.Parallel()
	queuetest.Exercise(t, subject())
}

// subject is River's queue on a PostgreSQL ledger.
func subject() queuetest.Subject {
	return queuetest.Subject{
		Fresh:    func(t *testing.T) string { return ledgertest.Postgres(t).Reveal() },
		Open:     open,
		Contents: contents,
		Several:  true,
	}
}

// stateDir is where the processes of one ledger keep live output: they are on
// one machine.
func stateDir(address string) string {
	return filepath.Join(os.TempDir(), "upkeep-queuetest-"+filepath.Base(address))
}

func open(ctx context.Context, s queuetest.Setting) (*queuetest.Process, error) {
	dir := stateDir(s.Address)
	l, err := ledger.Open(ctx, ledger.Options{
		DSN: secret.New(s.Address), Node: s.Node, Command: "suite", LeaseTTL: s.Lease, StateDir: dir,
		Live: func(key runner.AttemptKey) (runner.Output, bool, error) {
			return executor.ReadLive(filepath.Join(dir, "live"), key)
		},
	})
	if err != nil {
		return nil, err
	}
	p := &queuetest.Process{Ledger: l, LiveDir: l.LiveDir(), Heartbeat: l.Heartbeat, Close: l.Close}
	if !s.Execute {
		p.Close = func() error { return errors.Join(l.Close(), os.RemoveAll(dir)) }
		return p, nil
	}
	err = l.Register(ctx)
	if err == nil {
		p.Queue, err = river.New(ctx, river.Options{
			Ledger: l, Pool: l.Pool(), Node: s.Node, Slots: s.Slots, Base: s.Base,
			Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if s.Lease == 0 {
		p.Close = beating(l)
	}
	return p, nil
}

// beating keeps the lease until the returned function closes the ledger.
func beating(l *ledger.Ledger) (end func() error) {
	ctx, stop := context.WithCancel(context.Background())
	var beats sync.WaitGroup
	beats.Go(func() {
		for ctx.Err() == nil {
			if err := l.Heartbeat(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "heartbeat:", err)
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	})
	return func() error {
		stop()
		beats.Wait()
		return l.Close()
	}
}

// contents are all rows of all tables, as they are sent in binary.
func contents(t *testing.T, address string) []byte {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var all bytes.Buffer
	for _, table := range ask[string](t, conn, "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = 'upkeep'") {
		if _, err := conn.PgConn().CopyTo(t.Context(), &all, fmt.Sprintf("COPY upkeep.%s TO STDOUT (FORMAT binary)", table)); err != nil {
			t.Fatalf("copy %s: %v", table, err)
		}
	}
	return all.Bytes()
}

// ask returns the first column of all rows.
func ask[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) []T {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return list
}
