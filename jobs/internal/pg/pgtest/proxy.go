package pgtest

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is the network between a job and its server: it can be cut, it can
// lose what is sent, and it can do something at a moment of a conversation.
type Proxy struct {
	// URL is the address of the server by way of the proxy.
	URL string

	doorway
	target string
	stall  atomic.Bool

	// What is done with connections that come.
	arm            sync.Mutex
	opened, closed func(n int)
	trap           *trap
}

// trap does something once, when a client sends a text.
type trap struct {
	text   []byte
	late   bool
	do     func()
	sprung atomic.Bool
}

// NewProxy leads to the server of an address until the test ends.
func NewProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	p := &Proxy{target: parse(t, address).Host}
	p.open(t, p.serve)
	p.URL = By(t, address, p.listener.Addr().String())
	return p
}

// Watch sets who is told of later connections, by their numbers from 1: opened
// before the first byte of one goes on, closed when it has ended. Connections
// that were there before count.
func (p *Proxy) Watch(opened, closed func(n int)) {
	p.arm.Lock()
	defer p.arm.Unlock()
	p.opened, p.closed = opened, closed
}

// Trap sets what is done, once, when a client on a later connection sends a
// text for the first time; then that connection ends. The text does not reach
// the server, except when late: then it does, and what is done is done when
// the server has answered; the answer is lost.
func (p *Proxy) Trap(text string, late bool, do func()) {
	p.arm.Lock()
	defer p.arm.Unlock()
	p.trap = &trap{text: []byte(text), late: late, do: do}
}

// Sprung tells whether the trap was.
func (p *Proxy) Sprung() bool {
	p.arm.Lock()
	defer p.arm.Unlock()
	return p.trap != nil && p.trap.sprung.Load()
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
	p.arm.Lock()
	opened, closed := p.opened, p.closed
	w := &way{proxy: p, client: client, server: server, trap: p.trap, answered: make(chan struct{}, 1)}
	p.arm.Unlock()
	if opened != nil {
		opened(n)
	}
	p.wg.Go(w.answers)
	w.questions()
	if closed != nil {
		closed(n)
	}
}

// way is one connection through a proxy.
type way struct {
	proxy          *Proxy
	client, server net.Conn
	trap           *trap // or nil
	// mute keeps answers from the client, and answered is told of them.
	mute     atomic.Bool
	answered chan struct{}
}

// questions hands on what the client sends.
func (w *way) questions() {
	defer w.server.Close() //nolint:errcheck // a cut is meant
	defer w.client.Close() //nolint:errcheck // a cut is meant
	buf := make([]byte, 32<<10)
	var seen []byte
	for {
		n, err := w.client.Read(buf)
		if err != nil {
			return
		}
		if w.proxy.stall.Load() {
			continue // it is lost on the way
		}
		if w.trap != nil {
			seen = append(seen[max(0, len(seen)-len(w.trap.text)):], buf[:n]...)
			if bytes.Contains(seen, w.trap.text) && w.trap.sprung.CompareAndSwap(false, true) {
				w.spring(buf[:n])
				return
			}
		}
		if _, err := w.server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (w *way) spring(sent []byte) {
	if w.trap.late {
		w.mute.Store(true)
		if _, err := w.server.Write(sent); err == nil {
			<-w.answered
		}
	}
	w.trap.do()
}

// answers hands on what the server says.
func (w *way) answers() {
	defer w.server.Close() //nolint:errcheck // a cut is meant
	defer w.client.Close() //nolint:errcheck // a cut is meant
	defer close(w.answered)
	buf := make([]byte, 32<<10)
	for {
		n, err := w.server.Read(buf)
		switch {
		case err != nil:
			return
		case w.proxy.stall.Load():
		case w.mute.Load():
			select {
			case w.answered <- struct{}{}:
			default: // it was told before
			}
		default:
			if _, err := w.client.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}
