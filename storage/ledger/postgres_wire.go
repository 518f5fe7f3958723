package ledger

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// dialBound is how long one address may take to accept a connection. Within
	// it the first packet is repeated twice, and who tries again and again is
	// through soon after a network is back.
	dialBound = 3 * time.Second
	// farewellBound is how long a connection of the pool that is given up may take
	// to end, and with that its place in the pool to be free.
	farewellBound = 2 * time.Second
	// avoidFor is for how long an address that did not answer is tried last.
	avoidFor = 30 * time.Second
)

var (
	errNoAnswer = errors.New("it did not answer")
	errSevered  = errors.New("the connection was given up: the database had not answered for too long")
)

// wires are the connections of one process to its server, or to one of several
// that it may be. It is safe for use by several goroutines.
//
// pgx sees a connection that it gives up through in good order, for up to 15 s,
// and its place in the pool is taken meanwhile: where the network swallows
// everything, all places are soon taken by such. So wires bound that, and can
// sever what has been silent. That is done when the lease has ended, when the
// instance registers anew, and with the first renewal that has an answer again.
type wires struct {
	mu   sync.Mutex
	open map[*wire]struct{}
	// mute are addresses that did not answer, and since when.
	mute map[string]time.Duration
}

func newWires() *wires {
	return &wires{open: map[*wire]struct{}{}, mute: map[string]time.Duration{}}
}

// wire is one connection from its first packet on. The fields behind of are
// guarded by its mutex.
type wire struct {
	of *wires
	// address is the one that it was last connected to, and conn that connection;
	// nil when there is none.
	address string
	conn    net.Conn
	// heard is when something came last, or else when it was opened, by steadyTime.
	heard time.Duration
	// answered tells that something came at all, up that pgx may use it, severed
	// that it was given up.
	answered, up, severed bool
}

// wireKey is where a connection keeps its wire.
const wireKey = "wire"

// lay makes config that of one new connection.
func (w *wires) lay(ctx context.Context, config *pgx.ConnConfig) *pgx.ConnConfig {
	one := &wire{of: w}
	config.DialFunc = one.dial
	config.AfterConnect = func(_ context.Context, c *pgconn.PgConn) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		one.up = true
		c.CustomData()[wireKey] = one
		return nil
	}
	w.arrange(ctx, config)
	return config
}

// bury ends a connection of the pool soon, whatever pgx waits for.
func bury(c *pgx.Conn) {
	if one, ok := c.PgConn().CustomData()[wireKey].(*wire); ok {
		time.AfterFunc(farewellBound, one.cut)
	}
}

// dial connects to one address.
func (one *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	one.of.mu.Lock()
	up, severed := one.up, one.severed
	one.of.mu.Unlock()
	switch {
	case severed:
		return nil, errSevered
	case up:
		return dialToCancel(ctx, network, address)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, dialBound, errNoAnswer)
	defer cancel()
	conn, err := dial(bounded, network, address)
	if err != nil {
		if bounded.Err() != nil && !errors.Is(ctx.Err(), context.Canceled) {
			one.of.note(address)
		}
		return nil, err
	}
	one.of.mu.Lock()
	defer one.of.mu.Unlock()
	one.address, one.conn, one.heard, one.answered = address, conn, steadyTime(), false
	one.of.open[one] = struct{}{}
	return &wireConn{Conn: conn, wire: one}, nil
}

// dialToCancel connects in order to say that a statement is not waited for any
// longer, which pgx does when it gives a connection up. Nobody waits for it.
func dialToCancel(ctx context.Context, network, address string) (net.Conn, error) {
	deadline := time.Now().Add(farewellBound)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// cut ends the connection at once. How it ends does not matter any more.
func (one *wire) cut() {
	one.of.mu.Lock()
	conn := one.conn
	one.of.mu.Unlock()
	if conn != nil {
		one.forget(conn)
		_ = conn.Close()
	}
}

// forget notes that conn ends, if it is the one that is open.
func (one *wire) forget(conn net.Conn) {
	one.of.mu.Lock()
	defer one.of.mu.Unlock()
	if one.conn != conn {
		return
	}
	if !one.answered {
		one.of.mute[one.address] = steadyTime()
	}
	one.conn = nil
	delete(one.of.open, one)
}

// wireConn tells its wire what comes.
type wireConn struct {
	net.Conn

	wire *wire
}

// Read implements net.Conn.
func (c *wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.wire.of.mu.Lock()
		defer c.wire.of.mu.Unlock()
		c.wire.heard = steadyTime()
		if !c.wire.answered {
			c.wire.answered = true
			delete(c.wire.of.mute, c.wire.address)
		}
	}
	return n, err
}

// Close implements net.Conn.
func (c *wireConn) Close() error {
	c.wire.forget(c.Conn)
	return c.Conn.Close()
}

// note remembers that an address did not answer.
func (w *wires) note(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mute[address] = steadyTime()
}

// sever gives up all connections on which nothing has come for a while: whoever
// waits for an answer hears of it at once.
func (w *wires) sever(silence time.Duration) {
	w.mu.Lock()
	now := steadyTime()
	var silent []*wire
	for one := range w.open {
		if now-one.heard >= silence {
			one.severed = true
			silent = append(silent, one)
		}
	}
	w.mu.Unlock()
	for _, one := range silent {
		one.cut()
	}
}

// arrange puts the addresses of a server with several last that did not answer
// a while ago: each would cost whoever connects as long as they may take.
func (w *wires) arrange(ctx context.Context, config *pgx.ConnConfig) {
	w.mu.Lock()
	now := steadyTime()
	for address, since := range w.mute {
		if now-since >= avoidFor {
			delete(w.mute, address)
		}
	}
	quiet := len(w.mute) == 0
	w.mu.Unlock()
	if quiet {
		return // as it is written
	}
	list := addressesOf(ctx, config)
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortStableFunc(list, func(a, b *pgconn.FallbackConfig) int {
		// One that is mute for longer is more likely to be back.
		return cmp.Compare(w.mute[dialed(a)], w.mute[dialed(b)])
	})
	config.Host, config.Port, config.TLSConfig = list[0].Host, list[0].Port, list[0].TLSConfig
	config.Fallbacks = list[1:]
}

// dialed is the address that pgx dials.
func dialed(f *pgconn.FallbackConfig) string {
	_, address := pgconn.NetworkAddress(f.Host, f.Port)
	return address
}

// addressesOf are the addresses behind the hosts of config, in its order; a name
// that is not known now stays one.
func addressesOf(ctx context.Context, config *pgx.ConnConfig) (list []*pgconn.FallbackConfig) {
	hosts := append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
	for _, h := range hosts {
		network, _ := pgconn.NetworkAddress(h.Host, h.Port)
		if network == "unix" {
			list = append(list, h)
			continue
		}
		found, err := config.LookupFunc(ctx, h.Host)
		if err != nil || len(found) == 0 {
			found = []string{h.Host}
		}
		for _, ip := range found {
			list = append(list, &pgconn.FallbackConfig{Host: ip, Port: h.Port, TLSConfig: h.TLSConfig})
		}
	}
	return list
}

// hostsOf names the hosts of config, each with its port.
func hostsOf(config *pgx.ConnConfig) []string {
	list := []string{config.Host + ":" + strconv.Itoa(int(config.Port))}
	for _, f := range config.Fallbacks {
		list = append(list, f.Host+":"+strconv.Itoa(int(f.Port)))
	}
	return slices.Compact(list)
}
