package health

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// FingerprintConnectivity is that of the fault of this machine's own network;
// where other nodes watch too, "@" and the node's name follow.
const FingerprintConnectivity = "upkeep/connectivity"

const (
	// defaultDial bounds an attempt to reach one address.
	defaultDial = 3 * time.Second
	// trusted is how long what was found out about the network holds.
	trusted = 5 * time.Second
	// againAfter is how long a network that is down is left alone.
	againAfter = 10 * time.Second
)

// Connectivity says how to find out whether this machine's own network is up.
type Connectivity struct {
	// TCP are addresses, HOST:PORT, of which one that accepts a connection is
	// proof enough.
	TCP []string
	// Timeout bounds an attempt; 0 means 3 s.
	Timeout time.Duration
	// Fault makes the fault of a network that is down.
	Fault func(title string, severity jobs.Severity, at time.Time) runner.Fault
}

// gate knows whether the network is up. It asks only when something that needs
// it cannot be reached, and again while it is down.
type gate struct {
	log *slog.Logger

	mu sync.Mutex // held while it is found out: others wait for the answer
	o  *Connectivity
	up bool
	at time.Time

	// down rings when the network was found down.
	down chan struct{}
	// told tells that the fault is on record; only the tender uses it.
	told bool
}

func newGate(o *Connectivity, log *slog.Logger) *gate {
	return &gate{o: o, log: log, up: true, down: make(chan struct{}, 1)}
}

func (g *gate) replace(o *Connectivity) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.o, g.at = o, time.Time{}
}

// fell makes the tender look after the network. told says that the fault is on
// record already.
func (g *gate) fell(told bool) {
	g.told = g.told || told
	select {
	case g.down <- struct{}{}:
	default:
	}
}

// open tells whether the network is up, as far as anybody knows.
func (g *gate) open(ctx context.Context) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.o == nil || len(g.o.TCP) == 0 {
		return true
	}
	if time.Since(g.at) < trusted {
		return g.up
	}
	up := g.reach(ctx)
	if ctx.Err() != nil {
		return true
	}
	if up != g.up {
		g.log.WarnContext(ctx, "this machine's own network changed", "up", up, "tried", g.o.TCP)
	}
	g.up, g.at = up, time.Now()
	if !up {
		select {
		case g.down <- struct{}{}:
		default:
		}
	}
	return up
}

// reach tells whether one of the addresses accepts a connection.
func (g *gate) reach(ctx context.Context) bool {
	limit := g.o.Timeout
	if limit <= 0 {
		limit = defaultDial
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errStopped)
	defer cancel()
	reached := make(chan bool, len(g.o.TCP))
	for _, address := range g.o.TCP {
		go func() {
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, "tcp", address)
			if err == nil {
				_ = conn.Close() // nothing was sent
			}
			reached <- err == nil
		}()
	}
	for range g.o.TCP {
		if <-reached {
			return true
		}
	}
	return false
}

// tend looks after a network that is down until it is up: it puts on record
// that it is, and wakes the checks that could not be judged.
func (m *Monitor) tend(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.gate.down:
		}
		if !m.gate.told { // a short break is nobody's business
			pause(ctx, againAfter)
		}
		for !m.gate.open(ctx) {
			m.tellDown(ctx)
			pause(ctx, againAfter)
		}
		if ctx.Err() != nil {
			return
		}
		m.tellUp(ctx)
		m.mu.Lock()
		for _, w := range m.watches {
			if w.standing.blind {
				w.ring()
			}
		}
		m.mu.Unlock()
	}
}

// networkFault is the fingerprint of the fault of this machine's own network.
func (m *Monitor) networkFault() string {
	if m.o.Shared {
		return FingerprintConnectivity + "@" + m.o.Env.Node
	}
	return FingerprintConnectivity
}

func (m *Monitor) tellDown(ctx context.Context) {
	m.gate.mu.Lock()
	o := m.gate.o
	m.gate.mu.Unlock()
	if m.gate.told || o == nil || o.Fault == nil || ctx.Err() != nil {
		return
	}
	_, err := m.o.Incidents.Raise(ctx, o.Fault("this machine's own network is down: what is elsewhere cannot be checked", jobs.Warning, time.Now().UTC()))
	if err != nil {
		m.o.Log.ErrorContext(ctx, "record that the network is down", "error", err)
		return
	}
	m.gate.told = true
}

func (m *Monitor) tellUp(ctx context.Context) {
	if !m.gate.told {
		return
	}
	if _, err := m.o.Incidents.Clear(ctx, m.networkFault(), time.Now().UTC()); err != nil {
		m.o.Log.ErrorContext(ctx, "record that the network is up again", "error", err)
		m.gate.fell(true)
		pause(ctx, againAfter)
		return
	}
	m.gate.told = false
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
