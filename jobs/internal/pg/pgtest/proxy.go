package pgtest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is the network between a job and its server: it can be cut, and it
// can lose what is sent.
type Proxy struct {
	// URL is the address of the server by way of the proxy.
	URL string

	doorway
	target string
	stall  atomic.Bool

	// opened and closed are told of connections.
	watch          sync.Mutex
	opened, closed func(n int)
}

// NewProxy leads to the server of an address until the test ends.
func NewProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	p := &Proxy{target: parse(t, address).Host}
	p.open(t, p.serve)
	p.URL = By(t, address, p.listener.Addr().String())
	return p
}

// Watch sets who is told of connections, by their numbers from 1: opened
// before the first byte of one goes on, closed when it has ended. Connections
// that are there already count.
func (p *Proxy) Watch(opened, closed func(n int)) {
	p.watch.Lock()
	defer p.watch.Unlock()
	p.opened, p.closed = opened, closed
}

// Stall lets everything that is sent from now on be lost, while connections
// stay.
func (p *Proxy) Stall() { p.stall.Store(true) }

// Cut ends every connection. New ones are served.
func (p *Proxy) Cut() { p.cut() }

// Close ends every connection and refuses new ones.
func (p *Proxy) Close() {
	_ = p.listener.Close() // it may be closed already
	p.cut()
}

func (p *Proxy) serve(n int, client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close() // nobody is told but the client
		return
	}
	p.own(server)
	p.watch.Lock()
	opened, closed := p.opened, p.closed
	p.watch.Unlock()
	if opened != nil {
		opened(n)
	}
	p.wg.Go(func() { p.pump(server, client) })
	p.pump(client, server)
	if closed != nil {
		closed(n)
	}
}

func (p *Proxy) pump(from, to net.Conn) {
	defer to.Close()   //nolint:errcheck // a cut is meant
	defer from.Close() //nolint:errcheck // a cut is meant
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if p.stall.Load() {
			continue // it is lost on the way
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// doorway listens in a server's place and owns the connections that come.
type doorway struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

// open hands each connection with its number, from 1, to serve, in a goroutine
// of its own, until the test ends.
func (d *doorway) open(t testing.TB, serve func(n int, c net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.listener = l
	d.wg.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.own(c)
			d.wg.Go(func() { serve(n, c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // it may be closed already
		d.mu.Lock()
		d.shut = true
		d.mu.Unlock()
		d.cut()
		d.wg.Wait()
	})
}

// own ends c with the others; after the end of the test, at once.
func (d *doorway) own(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		_ = c.Close() // nobody needs it any more
		return
	}
	d.conns = append(d.conns, c)
}

func (d *doorway) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		_ = c.Close() // it may be closed already
	}
	d.conns = nil
}
