package ledgertest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
)

// Network is what lies between a program and its PostgreSQL server, and breaks
// on demand. Its methods may be called from several goroutines.
type Network struct {
	// Host is its address in place of that of the server, HOST:PORT.
	Host string
	// Came counts the connections that were tried, Refused those of them that were
	// not let through, Lost the answers and Swallowed the messages that vanished.
	Came, Refused, Lost, Swallowed atomic.Int32

	server string
	shut   atomic.Bool
	deep   atomic.Bool
	// after and instead are what LoseAfter and LoseInstead wait for; nil for
	// nothing.
	after, instead atomic.Pointer[[]byte]

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// StartNetwork begins to pass on what comes for the server of a ledger, until the
// test ends, and returns the address of the ledger behind it.
func StartNetwork(t testing.TB, dsn secret.String) (*Network, secret.String) {
	t.Helper()
	u, err := secret.ParseURL(dsn.Reveal())
	if err != nil {
		t.Fatal("the DSN is not a URL")
	}
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &Network{Host: listener.Addr().String(), server: u.Host, conns: map[net.Conn]struct{}{}}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { n.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		n.Close()
		wait.Wait()
	})
	u.Host = n.Host
	query := u.Query()
	// What is encrypted cannot be waited for.
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	return n, secret.New(u.String())
}

// Cut breaks all connections.
func (n *Network) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close()
	}
}

// Close breaks all connections and lets none through until Open.
func (n *Network) Close() {
	n.shut.Store(true)
	n.Cut()
}

// Open lets connections through again.
func (n *Network) Open() { n.shut.Store(false) }

// Swallow lets everything vanish without a word that is sent from now on, until
// Heal; a connection on which something vanished hears nothing ever after.
func (n *Network) Swallow() { n.deep.Store(true) }

// Heal ends Swallow.
func (n *Network) Heal() { n.deep.Store(false) }

// LoseAfter loses once what the server answers to a message of the client that
// contains said, and breaks the connection.
func (n *Network) LoseAfter(said string) {
	text := []byte(said)
	n.after.Store(&text)
}

// LoseInstead loses once a message of the server that contains heard, and breaks
// the connection.
func (n *Network) LoseInstead(heard string) {
	text := []byte(heard)
	n.instead.Store(&text)
}

// met tells whether a message is the one that is waited for, for the last time.
func (n *Network) met(waited *atomic.Pointer[[]byte], message []byte) bool {
	text := waited.Load()
	if text == nil || !bytes.Contains(message, *text) || !waited.CompareAndSwap(text, nil) {
		return false
	}
	n.Lost.Add(1)
	return true
}

// keep notes a connection that Cut breaks; false when none is let through.
func (n *Network) keep(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = struct{}{}
	return !n.shut.Load()
}

func (n *Network) drop(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
	_ = c.Close()
}

func (n *Network) serve(client net.Conn) {
	n.Came.Add(1)
	defer n.drop(client)
	if !n.keep(client) {
		n.Refused.Add(1)
		return
	}
	server, err := net.Dial("tcp", n.server)
	if err != nil {
		return
	}
	defer n.drop(server)
	if !n.keep(server) {
		n.Refused.Add(1)
		return
	}
	l := &link{network: n}
	var both sync.WaitGroup
	both.Go(func() { l.copy(server, client, l.forward) })
	both.Go(func() { l.copy(client, server, l.backward) })
	both.Wait()
}

// link is one connection through a network.
type link struct {
	network *Network
	// sunk tells that something vanished on it, deaf that the client hears
	// nothing any more.
	sunk, deaf atomic.Bool
}

var errLost = errors.New("the message is lost")

// forward looks at what the client says.
func (l *link) forward(message []byte) error {
	if l.network.met(&l.network.after, message) {
		l.deaf.Store(true)
	}
	return nil
}

// backward looks at what the server says.
func (l *link) backward(message []byte) error {
	if l.deaf.Load() || l.network.met(&l.network.instead, message) {
		return errLost
	}
	return nil
}

// copy passes on what one end says as far as look lets it.
func (l *link) copy(to io.WriteCloser, from io.ReadCloser, look func([]byte) error) {
	_, _ = io.Copy(writer(func(message []byte) (int, error) {
		if l.network.deep.Load() {
			l.sunk.Store(true)
		}
		if l.sunk.Load() {
			l.network.Swallowed.Add(1)
			return len(message), nil
		}
		if err := look(message); err != nil {
			return 0, err
		}
		return to.Write(message)
	}), from)
	if l.sunk.Load() {
		return // the other end hears nothing of it
	}
	_, _ = to.Close(), from.Close()
}

// writer is a function as an io.Writer.
type writer func([]byte) (int, error)

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) { return w(p) }
