package pgvacuum_test

import (
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// front listens for the job in place of the server.
type front struct {
	net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

// newFront hands each connection to serve, in a goroutine of its own.
func newFront(t *testing.T, serve func(f *front, c net.Conn)) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{Listener: l}
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.own(c)
			f.wg.Go(func() { serve(f, c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // it may be closed already
		f.cut()
		f.wg.Wait()
	})
	return f
}

func (f *front) own(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c)
}

// cut ends all connections.
func (f *front) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close() // it may be closed already
	}
}

// through returns the bench's address by way of f.
func (b *bench) through(f *front) string {
	b.t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	u.Host = f.Addr().String()
	return u.String()
}

// TestConnectionLost: when the way to the server breaks, the run fails, and the
// statement on the server ends although nobody is there to cancel it.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	b, _, c := twoTables(t, "ACCESS EXCLUSIVE")
	b.options.LockTimeout, b.options.SkipLocked = unit.Duration(time.Hour), false
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	f := newFront(t, func(f *front, in net.Conn) {
		out, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		f.own(out)
		f.wg.Go(func() {
			_, _ = io.Copy(in, out) // ends when the test cuts it
		})
		_, _ = io.Copy(out, in) // as above
	})
	b.url = b.through(f)
	done := b.begin(t.Context())
	b.worker(c)
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	f.cut()
	o := <-done
	if o.err == nil || o.result.Values["tables_left"] != 2 || !strings.Contains(o.err.Error(), "lost") {
		t.Errorf("%v, values %v", o.err, o.result.Values)
	}
	b.noWork(c)
}

// TestPooler: a pooler that lends connections for one transaction is refused.
func TestPooler(t *testing.T) {
	t.Parallel()
	b := newBench(t, bloated("orders", "5000")...)
	before := world(t, b.url)
	free := make(chan *pgx.Conn, 3)
	for range cap(free) {
		free <- connect(t, b.url)
	}
	f := newFront(t, func(_ *front, c net.Conn) { _ = pool(c, free) }) // it ends with its client
	b.url = b.through(f)
	_, err := b.run(t.Context())
	if !refused(err) || !strings.Contains(err.Error(), "connection pooler") || !strings.Contains(jobs.HintOf(err), "direct address") {
		t.Errorf("%v", err)
	}
	if after := world(t, serverURL(t, b.name)); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("before %q, after %q", before, after)
	}
}

// pool serves one client with whatever connection is free, for one transaction
// at a time.
func pool(c net.Conn, free chan *pgx.Conn) error {
	back := pgproto3.NewBackend(c, c)
	if _, err := back.ReceiveStartupMessage(); err != nil {
		return err
	}
	back.Send(&pgproto3.AuthenticationOk{})
	back.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	back.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := back.Flush(); err != nil {
		return err
	}
	var lent *pgx.Conn
	defer func() {
		if lent != nil {
			free <- lent
		}
	}()
	for {
		m, err := back.Receive()
		if err != nil {
			return err
		}
		if _, bye := m.(*pgproto3.Terminate); bye {
			return nil
		}
		if lent == nil {
			lent = <-free
		}
		server := lent.PgConn().Frontend()
		server.Send(m)
		_, query := m.(*pgproto3.Query)
		_, sync := m.(*pgproto3.Sync)
		if !query && !sync {
			continue
		}
		if err := server.Flush(); err != nil {
			return err
		}
		for ready := false; !ready; {
			answer, err := server.Receive()
			if err != nil {
				return err
			}
			if r, ok := answer.(*pgproto3.ReadyForQuery); ok {
				ready = true
				if r.TxStatus == 'I' {
					free <- lent
					lent = nil
				}
			}
			back.Send(answer)
		}
		if err := back.Flush(); err != nil {
			return err
		}
	}
}
