package redis

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

// PhaseAuth is the phase in which the server lets us in and says who it is.
const PhaseAuth = "auth"

// ConnectTimed is Connect for whoever wants to know what takes the time: clock
// runs through the phases dns, connect, tls and auth, of which the last ends with
// the first answer. Nothing outlasts the deadline of ctx.
func ConnectTimed(ctx context.Context, a Address, clock *reach.Clock) (*Conn, error) {
	c, err := connect(ctx, a, func(o *redis.Options) {
		if end, ok := ctx.Deadline(); ok {
			left := max(time.Millisecond, time.Until(end))
			o.DialTimeout, o.ReadTimeout, o.WriteTimeout = left, left, left
		}
		config := o.TLSConfig
		o.Dialer = func(dialing context.Context, network, address string) (net.Conn, error) {
			// The client dials in its own time, which must not be longer than ours.
			dialing, cancel := context.WithCancelCause(dialing)
			defer cancel(nil)
			defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
			conn, err := clock.Dial(dialing, &net.Dialer{}, network, address, config)
			if err == nil {
				clock.Begin(PhaseAuth)
			}
			return conn, err
		}
	})
	if err == nil {
		clock.Begin("")
	}
	return c, err
}

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
	if strings.HasPrefix(text, "ERR max number of clients") {
		return CodeClients
	}
	code, _, _ := strings.Cut(text, " ")
	return code
}
