package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

// PhaseAuth is the phase in which the server lets us in and says who it is.
const PhaseAuth = "auth"

// ConnectTimed is Connect for whoever wants to know what takes the time: clock
// runs through the phases dns, connect, tls and auth, of which the last ends with
// the first answer. Nothing outlasts the deadline of ctx.
func ConnectTimed(ctx context.Context, a Address, clock *reach.Clock) (*Conn, error) {
	config, err := a.TLS()
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.Where(), err)
	}
	// The client would dial in its own time, and again and again behind our back.
	dialed, err := clock.Dial(ctx, &net.Dialer{}, a.Network, a.Server, config)
	if err != nil {
		return nil, jobs.WithHint(fmt.Errorf("connect to %s: %w", a.Where(), err), advice(err))
	}
	clock.Begin(PhaseAuth)
	c, err := connect(ctx, a, func(o *redis.Options) {
		if end, ok := ctx.Deadline(); ok {
			left := max(time.Millisecond, time.Until(end))
			o.DialTimeout, o.ReadTimeout, o.WriteTimeout = left, left, left
		}
		o.TLSConfig, o.Dialer = nil, handOver(dialed)
	})
	if err != nil {
		_ = dialed.Close() // it may have been closed already
		return nil, err
	}
	clock.Begin("")
	return c, nil
}

// heard is a connection on which the last words of a server are heard that hangs
// up before it was spoken to, as one does that has too many clients.
type heard struct {
	net.Conn

	// said is what the server said when it had hung up.
	said atomic.Pointer[refusal]
}

// lastWords bounds how long and how far a server's last words are read.
const (
	lastWords     = time.Second
	longestRefuse = 512
)

// Write writes p. When the server has hung up, the error is what it said.
func (h *heard) Write(p []byte) (int, error) {
	if last := h.said.Load(); last != nil {
		return 0, *last
	}
	n, err := h.Conn.Write(p)
	if err == nil || h.SetReadDeadline(time.Now().Add(lastWords)) != nil {
		return n, err
	}
	_, _ = h.Read(make([]byte, longestRefuse))
	if last := h.said.Load(); last != nil {
		return n, *last
	}
	return n, err
}

// Read reads into p. Last words are remembered, because the client may take
// them for the answer to a command that it can do without.
func (h *heard) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if n == 0 || p[0] != '-' {
		return n, err
	}
	line, _, _ := strings.Cut(string(p[1:min(n, longestRefuse)]), "\r\n")
	if strings.HasPrefix(line, tooManyClients) || strings.HasPrefix(line, "DENIED ") {
		last := refusal(line)
		h.said.Store(&last)
	}
	return n, err
}

// refusal is an error that a server gave without being asked.
type refusal string

// Error returns the server's words.
func (r refusal) Error() string { return string(r) }

// RedisError marks it as the server's.
func (refusal) RedisError() {}

// Ping asks for a sign of life.
func (c *Conn) Ping(ctx context.Context) error {
	return c.wrap("ping", c.client.Ping(ctx).Err())
}

// Info returns what the server says of itself: the answer to INFO by field
// (redis.io/docs/latest/commands/info).
func (c *Conn) Info(ctx context.Context) (map[string]string, error) {
	text, err := c.client.Info(ctx).Result()
	if err != nil {
		return nil, c.wrap("ask the server how it is", err)
	}
	return parseInfo(text), nil
}

// tooManyClients begins what a server says that has as many clients as it allows.
const tooManyClients = "ERR max number of clients"

// CodeClients is the Code of a server that has as many clients as it allows.
const CodeClients = "MAXCLIENTS"

// Code returns the first word of a server's error, such as WRONGPASS or
// LOADING, and the empty string for errors that are not the server's.
func Code(err error) string {
	said, ok := errors.AsType[redis.Error](err)
	if !ok {
		return ""
	}
	text := said.Error()
	if strings.HasPrefix(text, tooManyClients) {
		return CodeClients
	}
	code, _, _ := strings.Cut(text, " ")
	return code
}
