package ledger_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// through is the address of a ledger with other hosts.
func through(t *testing.T, dsn secret.String, hosts string, more url.Values) secret.String {
	t.Helper()
	u, err := secret.ParseURL(dsn.Reveal())
	if err != nil {
		t.Fatal("the DSN is not a URL")
	}
	u.Host = hosts
	query := u.Query()
	query.Set("sslmode", "disable")
	for name := range more {
		query.Set(name, more.Get(name))
	}
	u.RawQuery = query.Encode()
	return secret.New(u.String())
}

// TestPostgres_Swallowed: a node that the network cut off from its database
// without a word gives up everything that waits for an answer when its lease has
// ended, and registers as soon as the network is back: no connection that hangs
// keeps others from being made.
func TestPostgres_Swallowed(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	swamp, at := ledgertest.StartNetwork(t, dsn)
	l := ledgertest.Join(t, at, "a", 2*time.Second)
	warm(t, l)
	swamp.Swallow()
	var given sync.WaitGroup
	var inTime atomic.Int32
	for i := range 8 {
		given.Go(func() {
			ctx := context.WithoutCancel(t.Context())
			if i%2 == 0 { // who gives up by himself leaves a connection that hangs as well
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Second)
				defer cancel()
			}
			if _, err := l.Runs(ctx, runner.Filter{Limit: 1}); err == nil {
				t.Error("the database answered")
			} else if i%2 == 1 && errors.Is(err, runner.ErrUnavailable) {
				inTime.Add(1)
			}
		})
	}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := l.Heartbeat(ctx)
		cancel()
		if errors.Is(err, runner.ErrLeaseLost) {
			break
		}
		if err == nil {
			t.Fatal("the lease was renewed")
		}
	}
	given.Wait() // for good, if somebody still waited for an answer
	swamp.Heal()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := l.Register(ctx); err != nil {
		t.Fatalf("register when the network is back: %v", err)
	}
	warm(t, l)
	t.Logf("registered %s after the network was back; %d messages were swallowed, %d connections came", time.Since(began).Round(time.Millisecond), swamp.Swallowed.Load(), swamp.Came.Load())
	if swamp.Swallowed.Load() < 8 || inTime.Load() != 4 {
		t.Errorf("%d messages were swallowed; %d of 4 who waited heard that the database is away", swamp.Swallowed.Load(), inTime.Load())
	}
}

// warm opens all connections of the pool.
func warm(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := l.Pool().Exec(t.Context(), "SELECT pg_sleep(0.1)"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestPostgres_SeveralHosts: of several servers one is found that may be written
// to, and one that does not answer does not slow every connection down.
func TestPostgres_SeveralHosts(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	swamp, _ := ledgertest.StartNetwork(t, dsn)
	swamp.Swallow()
	well, _ := ledgertest.StartNetwork(t, dsn)
	at := through(t, dsn, swamp.Host+","+well.Host, url.Values{"connect_timeout": {"1"}, "target_session_attrs": {"read-write"}})
	l := ledgertest.Join(t, at, "a", time.Hour)
	warm(t, l)
	if n := swamp.Came.Load(); n == 0 || n > 2 {
		t.Errorf("%d connections were tried with the server that does not answer, want one or two", n)
	}
	if want := swamp.Host + "," + well.Host + "/"; len(l.Address()) < len(want) || l.Address()[:len(want)] != want {
		t.Errorf("the ledger is called %s", l.Address())
	}
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: at})
	if err != nil {
		t.Fatalf("a reader, which must not write, of a server that may be written to: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestPostgres_ReadOnly: a server that is found read-only counts as one that is
// away, and its connections are given up: the next one may be another's.
func TestPostgres_ReadOnly(t *testing.T) {
	t.Parallel()
	l := ledgertest.Join(t, ledgertest.Postgres(t), "a", time.Hour)
	var all []*pgxpool.Conn
	for range 8 {
		c, err := l.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), "SET default_transaction_read_only = on"); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		c.Release()
	}
	refused := 0
	for {
		_, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
		if err == nil {
			break
		}
		if refused++; refused > 8 || !errors.Is(err, runner.ErrUnavailable) {
			t.Fatalf("%d connections refused to write: %v", refused, err)
		}
	}
	if refused == 0 {
		t.Error("no connection was read-only")
	}
}
