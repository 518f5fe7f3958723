package access

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

// mostConnections bounds how many connections are open at once: each costs a
// file descriptor, and those the jobs need too.
const mostConnections = 2048

// Listener accepts connections over TCP, encrypts them when there is a
// certificate, and closes those at once that are too many.
type Listener struct {
	net.Listener

	certificate func() *Certificate
	open        atomic.Int64
}

// NewListener makes one of l. certificate returns the one in force, or nil for
// connections that are not encrypted; it is asked for each.
func NewListener(l net.Listener, certificate func() *Certificate) *Listener {
	return &Listener{Listener: l, certificate: certificate}
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) > mostConnections {
			l.open.Add(-1)
			_ = conn.Close() // it is not wanted
			continue
		}
		counted := &countedConn{Conn: conn, done: sync.OnceFunc(func() { l.open.Add(-1) })}
		if c := l.certificate(); c != nil {
			return tls.Server(counted, c.Config()), nil
		}
		return counted, nil
	}
}

// countedConn tells when it is closed.
type countedConn struct {
	net.Conn

	done func()
}

// Close closes the connection.
func (c *countedConn) Close() error {
	defer c.done()
	return c.Conn.Close()
}
