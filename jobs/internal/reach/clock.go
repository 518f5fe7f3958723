package reach

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// LateError says that a probe used up the time that its options give it.
type LateError struct {
	// Limit is that time.
	Limit time.Duration
}

// Error says how long was waited.
func (e *LateError) Error() string { return fmt.Sprintf("no answer within %s", e.Limit) }

// Deadline returns a context that ends after limit with a *LateError as its
// cause.
func Deadline(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, &LateError{Limit: limit})
}

// moment is how much earlier than a context a timer of the same deadline may go.
const moment = 50 * time.Millisecond

// Ended returns err as a Fault, as FaultOf does. When ctx, which Deadline made,
// has ended, its cause is what happened, unless err is a Fault already.
func (c *Clock) Ended(ctx context.Context, err error, fallback string) *Fault {
	phase := c.Phase()
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	if end, ok := ctx.Deadline(); ok && natureOf(err) == Timeout && time.Until(end) < moment {
		<-ctx.Done() // who shares our deadline may notice a moment before us
	}
	if cause := context.Cause(ctx); cause != nil {
		return FaultOf(cause, phase, fallback)
	}
	return FaultOf(err, phase, fallback)
}

// Clock measures the phases of one conversation with a server. The phase under
// way ends when the next begins, so their sum is the whole time; a phase that
// happens several times adds up. It is safe for use by several goroutines.
type Clock struct {
	mu    sync.Mutex
	now   string
	since time.Time
	took  map[string]time.Duration
	order []string
}

// NewClock returns a clock with no phase under way.
func NewClock() *Clock { return &Clock{took: map[string]time.Duration{}} }

// Begin ends the phase under way and begins another; the empty string begins
// none.
func (c *Clock) Begin(phase string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if phase == c.now {
		return
	}
	at := time.Now()
	if c.now != "" {
		c.took[c.now] += at.Sub(c.since)
	}
	if _, known := c.took[phase]; !known && phase != "" {
		c.took[phase] = 0
		c.order = append(c.order, phase)
	}
	c.now, c.since = phase, at
}

// Phase returns the phase under way.
func (c *Clock) Phase() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Lap is a phase and how long it took.
type Lap struct {
	Phase string
	Took  time.Duration
}

// Laps returns the phases in the order in which they first began, that under
// way with its time so far.
func (c *Clock) Laps() []Lap {
	c.mu.Lock()
	defer c.mu.Unlock()
	laps := make([]Lap, len(c.order))
	for i, phase := range c.order {
		laps[i] = Lap{Phase: phase, Took: c.took[phase]}
		if phase == c.now {
			laps[i].Took += time.Since(c.since)
		}
	}
	return laps
}

// Total returns the time of all phases.
func (c *Clock) Total() time.Duration {
	var sum time.Duration
	for _, lap := range c.Laps() {
		sum += lap.Took
	}
	return sum
}

// Connect is the phase of making a connection. The phases before and after it
// are called DNS and TLS, as the faults in them are.
const Connect = "connect"

// Trace returns a context under which dialers and clients of HTTP run the clock
// through the phases dns, connect and tls.
func (c *Clock) Trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { c.Begin(DNS) },
		ConnectStart:      func(string, string) { c.Begin(Connect) },
		TLSHandshakeStart: func() { c.Begin(TLS) },
	})
}

// Dial connects by d, with TLS when config is not nil, and runs the clock through the
// phases dns, connect and tls. The last phase is left under way.
func (c *Clock) Dial(ctx context.Context, d *net.Dialer, network, address string, config *tls.Config) (net.Conn, error) {
	ctx = c.Trace(ctx)
	raw, err := d.DialContext(ctx, network, address)
	if err != nil || config == nil {
		return raw, err
	}
	c.Begin(TLS)
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // nothing is left to save
		return nil, err
	}
	return conn, nil
}
