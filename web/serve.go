package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/socket"
)

const (
	// mostHeader bounds a request's headers in bytes.
	mostHeader = 64 << 10
	// readHeaderWithin is how long a client may take to send them.
	readHeaderWithin = 5 * time.Second
	// idleWithin is how long a connection may wait for its next request.
	idleWithin = 2 * time.Minute
)

func newHTTPServer(s *Server) *http.Server {
	return &http.Server{
		Handler:           s.Handler(),
		MaxHeaderBytes:    mostHeader,
		ReadHeaderTimeout: readHeaderWithin,
		IdleTimeout:       idleWithin,
		// What net/http has to say is about clients: broken requests and the like.
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: s.identify,
	}
}

// newTCPServer answers through a door.
func newTCPServer(s *Server) *http.Server {
	server := newHTTPServer(s)
	server.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return access.Through(ctx, s.o.Door) }
	server.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: mostStreams, SendPingTimeout: pingAfter, PingTimeout: pingWithin, WriteByteTimeout: writeWithin,
	}
	return server
}

const (
	// mostStreams bounds the requests that one connection of HTTP/2 has under way.
	mostStreams = 100
	// pingAfter is when a silent connection of HTTP/2 is asked whether it is
	// still there, and pingWithin how long it may take to say so.
	pingAfter  = time.Minute
	pingWithin = 15 * time.Second
)

// identify asks the kernel who is at the other end of a new connection.
func (s *Server) identify(ctx context.Context, conn net.Conn) context.Context {
	peer, err := socket.PeerOf(conn)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "nobody can tell who connected", slog.Any("error", err))
		return ctx
	}
	who := Identity{Name: peer.Name(), Role: None, Means: access.BySocket}
	if peer.Trusted() {
		who.Role = Admin
	}
	return Identify(ctx, who)
}

// ServeUnix answers on l until Shutdown, and closes l.
func (s *Server) ServeUnix(l *socket.Listener) error {
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the API on %s: %w", l.Path(), err)
}

// ServeTCP answers on l, through Options.Door, until Shutdown or until l is
// closed; it returns nil after either. Connections that are open then stay. It
// may be called again, with another listener.
func (s *Server) ServeTCP(l net.Listener) error {
	if s.o.Door == nil {
		return errors.New("serve the API over TCP: nobody could tell who asks")
	}
	err := s.tcp.Serve(l)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve the API on %s: %w", l.Addr(), err)
}

// Shutdown stops accepting requests, ends the streams, and waits until the
// requests under way are answered. When ctx ends first it cuts them off and
// returns its cause.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
	tcp := make(chan error, 1)
	go func() { tcp <- s.tcp.Shutdown(ctx) }()
	err := errors.Join(s.http.Shutdown(ctx), <-tcp)
	if rest := s.refusals.rest(); len(rest) > 0 {
		s.keep(ctx, rest...)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return errors.Join(fmt.Errorf("end the requests under way: %w", err), s.http.Close(), s.tcp.Close())
}
