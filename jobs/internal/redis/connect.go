package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/ghosteam/upkeep/jobs"
)

const (
	// connectTime bounds a connection attempt, answerTime the wait for one
	// answer: a server does one thing after the other, and some take long.
	connectTime = 10 * time.Second
	answerTime  = 30 * time.Second
	// moment is how much earlier than a context a timer of the same deadline may
	// go.
	moment = 50 * time.Millisecond
)

// quiet keeps the client from writing to the standard error output of whoever
// uses it: what it would say there is in the errors that it returns.
var quiet = sync.OnceFunc(logging.Disable) //nolint:gochecknoglobals // the client's logger is one for the process

// Conn is a connection with what is known about its server. Its methods belong
// to one goroutine. When the context that it was made with ends, so does it.
type Conn struct {
	// Server is who answered, as of the last call of Look.
	Server Server

	client *redis.Client
	ctx    context.Context //nolint:containedctx // the connection lives as long as it
	stop   func() bool
	where  string
}

// Server is what a server says of itself.
type Server struct {
	// Version is the server's own name of its version, such as "7.0.15".
	Version string
	// Mode is standalone, cluster or sentinel.
	Mode string
	// Replica tells that the server copies another one.
	Replica bool
	// UsedMemory is what the server has allocated, MaxMemory its limit (0 for
	// none), in bytes; Policy says what goes when that is reached.
	UsedMemory, MaxMemory int64
	Policy                string
	// Pending is how many removed keys are still being freed in the background.
	Pending int64
	// Hits and Misses count looks for keys since the server's start.
	Hits, Misses int64
}

// LFU tells that the server keeps how often a key is used and not when.
func (s Server) LFU() bool { return strings.Contains(s.Policy, "lfu") }

// Connect connects to a and looks at the server. The caller closes the
// connection. An error carries a hint where there is a known remedy.
func Connect(ctx context.Context, a Address) (*Conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.Where(), err)
	}
	config, err := a.TLS()
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.Where(), err)
	}
	// The client would say on the standard error output that it cannot dial.
	dialed, err := dial(ctx, a, config)
	if err != nil {
		return nil, (&Conn{ctx: ctx}).wrap("connect to "+a.Where(), err)
	}
	c, err := connect(ctx, a, func(o *redis.Options) { o.TLSConfig, o.Dialer = nil, handOver(dialed) })
	if err != nil {
		_ = dialed.Close() // it may have been closed already
		return nil, err
	}
	return c, nil
}

// dial connects, and agrees on TLS where the address wants it.
func dial(ctx context.Context, a Address, config *tls.Config) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: connectTime}
	if config == nil {
		return dialer.DialContext(ctx, a.Network, a.Server)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, a.Network, a.Server)
}

// handOver gives the client a connection, once: a lost one is an error.
func handOver(dialed net.Conn) func(context.Context, string, string) (net.Conn, error) {
	var handed atomic.Bool
	return func(context.Context, string, string) (net.Conn, error) {
		if handed.Swap(true) {
			return nil, net.ErrClosed
		}
		return &heard{Conn: dialed}, nil
	}
}

// connect is Connect; prepare may change how.
func connect(ctx context.Context, a Address, prepare func(*redis.Options)) (*Conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.Where(), err)
	}
	config, err := a.TLS()
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.Where(), err)
	}
	options := &redis.Options{
		Network: a.Network, Addr: a.Server, Username: a.Username, Password: a.Password, DB: a.Database(), TLSConfig: config,
		// The older protocol needs no HELLO, and nothing here needs the newer one.
		Protocol: 2, PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: connectTime, ReadTimeout: answerTime, WriteTimeout: answerTime, ContextTimeoutEnabled: true,
		// Without these two each connection makes a server of version 7 count errors.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	prepare(options)
	quiet()
	client := redis.NewClient(options)
	c := &Conn{client: client, ctx: ctx, where: a.Where()}
	// The client heeds deadlines only, so the end of the context closes it.
	c.stop = context.AfterFunc(ctx, func() { _ = client.Close() }) // Close says what there is to say
	if err := c.Look(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", a.Where(), err), c.Close())
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	if !c.stop() {
		return nil // the end of the context has closed it
	}
	if err := c.client.Close(); err != nil {
		return fmt.Errorf("close the connection to %s: %w", c.where, err)
	}
	return nil
}

// Look asks the server who it is and how it is.
func (c *Conn) Look(ctx context.Context) error {
	text, err := c.client.Info(ctx).Result()
	if err != nil {
		return c.wrap("ask the server who it is", err)
	}
	info := parseInfo(text)
	c.Server = Server{
		Version: info["redis_version"], Mode: info["redis_mode"], Replica: info["role"] == "slave",
		UsedMemory: info.number("used_memory"), MaxMemory: info.number("maxmemory"), Policy: info["maxmemory_policy"],
		Pending: info.number("lazyfree_pending_objects"), Hits: info.number("keyspace_hits"), Misses: info.number("keyspace_misses"),
	}
	if info["cluster_enabled"] == "1" {
		c.Server.Mode = "cluster"
	}
	return nil
}

// info is the answer to INFO by field.
type info map[string]string

// parseInfo reads lines of FIELD:VALUE, and leaves out all else.
func parseInfo(text string) info {
	out := info{}
	for line := range strings.Lines(text) {
		if field, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok && !strings.HasPrefix(field, "#") {
			out[field] = value
		}
	}
	return out
}

func (i info) number(field string) int64 {
	n, err := strconv.ParseInt(i[field], 10, 64)
	if err != nil {
		return 0 // servers of other versions do not say
	}
	return n
}

// wrap says what was being done, why it failed and what can be done about it.
func (c *Conn) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	if end, ok := c.ctx.Deadline(); ok && errors.Is(err, os.ErrDeadlineExceeded) && time.Until(end) < moment {
		<-c.ctx.Done() // the client's timer of the same deadline may go first
	}
	if cause := context.Cause(c.ctx); cause != nil {
		return fmt.Errorf("%s: %w", doing, cause)
	}
	return jobs.WithHint(fmt.Errorf("%s: %w", doing, err), advice(err))
}

// advice is what a person can do about an error of a server; empty for most.
func advice(err error) string {
	text := err.Error()
	for _, known := range []struct{ prefix, advice string }{
		{"WRONGPASS", "correct the user and the password in the database's url"},
		{"NOAUTH", "put the password into the database's url"},
		{"ERR AUTH <password>", "the server knows no password: take it out of the database's url"},
		{"NOPERM", "give the user the right, with ACL SETUSER on the server"},
		{"DENIED", "the server takes connections from its own machine only, until it has a password"},
		{"LOADING", "the server reads its data and answers later"},
		{"MISCONF", "the server cannot save its data to disk; its log says why"},
		{"ERR DB index is out of range", "the number of the database must be below the server's databases, 16 by default"},
		{"ERR max number of clients", "the server has as many clients as maxclients allows"},
	} {
		if strings.HasPrefix(text, known.prefix) {
			return known.advice
		}
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "is the server running, and is its address right?"
	}
	if errors.Is(err, io.EOF) {
		return "a server that speaks TLS hangs up on those who do not: try rediss://"
	}
	return ""
}
