package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

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

// identify asks the kernel who is at the other end of a new connection.
func (s *Server) identify(ctx context.Context, conn net.Conn) context.Context {
	peer, err := socket.PeerOf(conn)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "nobody can tell who connected", slog.Any("error", err))
		return ctx
	}
	return Identify(ctx, Identity{Name: peer.Name(), Trusted: peer.Trusted()})
}

// ServeUnix answers on l until Shutdown, and closes l.
func (s *Server) ServeUnix(l *socket.Listener) error {
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the API on %s: %w", l.Path(), err)
}

// Shutdown stops accepting requests, ends the streams, and waits until the
// requests under way are answered. When ctx ends first it cuts them off and
// returns its cause.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
	err := s.http.Shutdown(ctx)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return errors.Join(fmt.Errorf("end the requests under way: %w", err), s.http.Close())
}
