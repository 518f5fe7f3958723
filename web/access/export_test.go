package access

import (
	"net/netip"
	"time"
)

// MostRefusable are the failures that one address, and all together, may have
// at once.
const (
	FailuresAtOnce    = failuresAtOnce
	AllFailuresAtOnce = allFailuresAtOnce
	MostAddresses     = mostAddresses
)

// Limits counts failures.
type Limits struct{ l *limits }

// NewLimits makes one.
func NewLimits() Limits { return Limits{newLimits()} }

// Failed counts a failure.
func (l Limits) Failed(addr netip.Addr, now time.Time) { l.l.failed(addr, now) }

// Wait is how long an address has to wait.
func (l Limits) Wait(addr netip.Addr, now time.Time) time.Duration { return l.l.wait(addr, now) }

// Remembered is how many addresses are.
func (l Limits) Remembered() int { return len(l.l.by) }

// MostConnections bounds a listener.
const MostConnections = mostConnections
