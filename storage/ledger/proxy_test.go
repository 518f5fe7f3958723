package ledger_test

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
)

// proxy stands between a ledger and its server and loses answers on demand.
type proxy struct {
	t      *testing.T
	server string
	// lose counts the commits whose answer is still to be lost: the server
	// gets them, the client sees its connection break.
	lose, lost atomic.Int32

	mu    sync.Mutex
	conns []net.Conn
}

// startProxy returns a proxy and the address of the ledger behind it.
func startProxy(t *testing.T, dsn secret.String) (*proxy, secret.String) {
	t.Helper()
	u, err := url.Parse(dsn.Reveal())
	if err != nil {
		t.Fatal("the DSN is not a URL")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, server: u.Host}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		wait.Wait()
	})
	u.Host = listener.Addr().String()
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	return p, secret.New(u.String())
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) serve(client net.Conn) {
	p.mu.Lock()
	address := p.server
	p.mu.Unlock()
	server, err := net.Dial("tcp", address)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	deaf := new(atomic.Bool)
	var wait sync.WaitGroup
	wait.Go(func() { p.forward(server, client, deaf) })
	wait.Go(func() { p.backward(client, server, deaf) })
	wait.Wait()
}

// forward passes what the client says. From a commit on whose answer is to be
// lost, nothing comes back.
func (p *proxy) forward(server, client net.Conn, deaf *atomic.Bool) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if bytes.Contains(buffer[:n], []byte("commit\x00")) && p.lose.Add(-1) >= 0 {
			deaf.Store(true)
			p.lost.Add(1)
		}
		if n > 0 {
			if _, err := server.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = server.Close()
}

func (p *proxy) backward(client, server net.Conn, deaf *atomic.Bool) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := server.Read(buffer)
		if deaf.Load() || err != nil {
			break
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			break
		}
	}
	_ = client.Close()
}

// failing is a test that only notes why it failed.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
