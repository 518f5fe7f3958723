package ledger_test

import (
	"context"
	"errors"
	"net"
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

// swamp stands between a ledger and its server. While it is deep it swallows
// everything, and what has been in it never comes out.
type swamp struct {
	server string
	deep   atomic.Bool
	// swallowed counts what somebody sent in vain, and came those who connected.
	swallowed, came atomic.Int32
}

// dig makes a swamp before the server of a ledger, and returns its address.
func dig(t *testing.T, dsn secret.String) (*swamp, string) {
	t.Helper()
	u, err := url.Parse(dsn.Reveal())
	if err != nil {
		t.Fatal("the DSN is not a URL")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &swamp{server: u.Host}
	var wait sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
	}
	wait.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			s.came.Add(1)
			keep(client)
			wait.Go(func() { s.pass(client, keep) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wait.Wait()
	})
	return s, listener.Addr().String()
}

// pass passes on what one client and the server say, until something is
// swallowed; from then on this connection hears nothing.
func (s *swamp) pass(client net.Conn, keep func(net.Conn)) {
	var sunk atomic.Bool
	server, err := net.Dial("tcp", s.server)
	if err != nil {
		return
	}
	keep(server)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			buffer := make([]byte, 1<<16)
			for {
				n, err := way[0].Read(buffer)
				if s.deep.Load() {
					sunk.Store(true)
				}
				if sunk.Load() {
					if s.swallowed.Add(int32(min(n, 1))); err != nil {
						return
					}
					continue
				}
				_, failed := way[1].Write(buffer[:n])
				if err != nil || failed != nil {
					_ = way[1].Close()
					return
				}
			}
		})
	}
	both.Wait()
	_ = server.Close()
}

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
	swamp, address := dig(t, dsn)
	l := ledgertest.Join(t, through(t, dsn, address, nil), "a", 2*time.Second)
	warm(t, l)
	swamp.deep.Store(true)
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
	swamp.deep.Store(false)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := l.Register(ctx); err != nil {
		t.Fatalf("register when the network is back: %v", err)
	}
	warm(t, l)
	t.Logf("registered %s after the network was back; %d messages were swallowed, %d connections came", time.Since(began).Round(time.Millisecond), swamp.swallowed.Load(), swamp.came.Load())
	if swamp.swallowed.Load() < 8 || inTime.Load() != 4 {
		t.Errorf("%d messages were swallowed; %d of 4 who waited heard that the database is away", swamp.swallowed.Load(), inTime.Load())
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
	swamp, deaf := dig(t, dsn)
	swamp.deep.Store(true)
	_, well := dig(t, dsn)
	at := through(t, dsn, deaf+","+well, url.Values{"connect_timeout": {"1"}, "target_session_attrs": {"read-write"}})
	l := ledgertest.Join(t, at, "a", time.Hour)
	warm(t, l)
	if n := swamp.came.Load(); n == 0 || n > 2 {
		t.Errorf("%d connections were tried with the server that does not answer, want one or two", n)
	}
	if want := deaf + "," + well + "/"; len(l.Address()) < len(want) || l.Address()[:len(want)] != want {
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
