package service_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/storage/ledger"
)

type ledgerNode = ledger.Node

// proxy stands between a service and its database and can be closed, or swallow
// what is sent.
type proxy struct {
	silence

	server string
	// refused counts connections that it did not pass on.
	refused atomic.Int32

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// startProxy returns a proxy and the address of the ledger behind it.
func startProxy(t *testing.T, dsn secret.String) (*proxy, secret.String) {
	t.Helper()
	u, err := url.Parse(dsn.Reveal())
	if err != nil {
		t.Fatal("the DSN is not a URL")
	}
	p := &proxy{server: u.Host, conns: map[net.Conn]struct{}{}}
	listener := listen(t, "127.0.0.1:0")
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.close()
		wait.Wait()
	})
	u.Host = listener.Addr().String()
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	return p, secret.New(u.String())
}

// close breaks all connections and refuses new ones, until open.
func (p *proxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *proxy) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = false
}

// keep notes connections that close breaks; false when it is closed.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = struct{}{}
	}
	return !p.closed
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
		_ = conn.Close()
	}
}

func (p *proxy) serve(from net.Conn) {
	defer p.forget(from)
	if !p.keep(from) {
		p.refused.Add(1)
		return
	}
	to, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer p.forget(to)
	if !p.keep(to) {
		p.refused.Add(1)
		return
	}
	var both sync.WaitGroup
	var sunk atomic.Bool
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			_, _ = io.Copy(&swallower{Conn: way[0], of: &p.silence, sunk: &sunk}, way[1])
			if sunk.Load() {
				return // the other end hears nothing of it
			}
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	both.Wait()
}

// swallower passes on what is written, until something is swallowed.
type swallower struct {
	net.Conn

	of   *silence
	sunk *atomic.Bool
}

// Write implements net.Conn.
func (s *swallower) Write(p []byte) (int, error) {
	if s.of.deep.Load() {
		s.sunk.Store(true)
	}
	if s.sunk.Load() {
		s.of.swallowed.Add(1)
		return len(p), nil
	}
	return s.Conn.Write(p)
}
