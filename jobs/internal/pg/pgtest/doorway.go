package pgtest

import (
	"net"
	"sync"
	"testing"
)

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
