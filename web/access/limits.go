package access

import (
	"net/netip"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// failuresAtOnce is how many logins may fail from one address before it has
	// to wait; failureEvery is how soon one more may.
	failuresAtOnce = 10
	failureEvery   = 6 * time.Second
	// allFailuresAtOnce and allFailuresEvery are the same for all addresses
	// together.
	allFailuresAtOnce = 300
	allFailuresEvery  = 200 * time.Millisecond
	// mostAddresses bounds how many are remembered.
	mostAddresses = 10_000
	// knownFor is for how long a token counts as just let in; mostKnown bounds
	// how many do.
	knownFor  = time.Hour
	mostKnown = 10_000
)

// allowance is how many failures are left: it fills up with time. (The generic
// cell rate algorithm: empty is when it would be full again.)
type allowance struct{ full time.Time }

// wait is how long the next failure has to wait.
func (a allowance) wait(now time.Time, every time.Duration, burst int) time.Duration {
	if !a.full.After(now) {
		return 0
	}
	return max(0, a.full.Sub(now)-time.Duration(burst-1)*every)
}

func (a *allowance) take(now time.Time, every time.Duration) {
	if a.full.Before(now) {
		a.full = now
	}
	a.full = a.full.Add(every)
}

// limits counts failed logins.
type limits struct {
	mu    sync.Mutex
	by    map[netip.Addr]*allowance
	all   allowance
	known map[runner.TokenDigest]time.Time
}

func newLimits() *limits {
	return &limits{by: map[netip.Addr]*allowance{}, known: map[runner.TokenDigest]time.Time{}}
}

// wait is how long an address has to wait before it may fail again; 0 for not
// at all.
func (l *limits) wait(addr netip.Addr, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest := l.all.wait(now, allFailuresEvery, allFailuresAtOnce)
	if a := l.by[addr]; a != nil {
		longest = max(longest, a.wait(now, failureEvery, failuresAtOnce))
	}
	return longest
}

// failed counts a failure.
func (l *limits) failed(addr netip.Addr, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.take(now, allFailuresEvery)
	a := l.by[addr]
	if a == nil {
		if len(l.by) >= mostAddresses {
			l.forget(now)
		}
		a = new(allowance)
		l.by[addr] = a
	}
	a.take(now, failureEvery)
}

// forget makes room: those go that have no failures left to wait for, or, when
// all have, the one that would be rid of them first.
func (l *limits) forget(now time.Time) {
	var first netip.Addr
	for addr, a := range l.by {
		if !a.full.After(now) {
			delete(l.by, addr)
		} else if !first.IsValid() || a.full.Before(l.by[first].full) {
			first = addr
		}
	}
	if len(l.by) >= mostAddresses {
		delete(l.by, first)
	}
}

// know remembers a token that was let in.
func (l *limits) know(digest runner.TokenDigest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if len(l.known) >= mostKnown {
		for d, at := range l.known {
			if now.Sub(at) >= knownFor {
				delete(l.known, d)
			}
		}
	}
	if len(l.known) < mostKnown {
		l.known[digest] = now
	}
}

// knows tells whether a token was just let in.
func (l *limits) knows(digest runner.TokenDigest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, known := l.known[digest]
	return known && time.Since(at) < knownFor
}
