package configs

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
)

const (
	defaultLeaseEvery = 5 * time.Second
	defaultLeaseTTL   = 15 * time.Second
	shortestLease     = 500 * time.Millisecond
	longestLease      = time.Hour
	// leaseBeats is how often a lease is renewed at least before it would end.
	leaseBeats = 2
)

// Lease is how nodes prove to each other that they are alive, on a ledger that
// several share.
type Lease struct {
	// Every is how often a node proves it, TTL how long it counts as alive after
	// that, at least twice as long.
	Every, TTL time.Duration
	// KeepRuns tells that a node which could not prove it for so long goes on with
	// its runs until somebody has taken them over, instead of ending them at once.
	KeepRuns bool
}

type leaseFile struct {
	Every unit.Duration `yaml:"every" doc:"How often a node proves that it is alive, from 500ms." example:"5s"`
	TTL   unit.Duration `yaml:"ttl" doc:"How long it counts as alive without that, at least twice as long as every, up to 1h. What a dead node executed is taken over within this time and every." example:"15s"`
}

// The words of on_lease_loss.
const (
	leaseKill     = "kill"
	leaseContinue = "continue"
)

func defaultLease() leaseFile {
	return leaseFile{Every: unit.Duration(defaultLeaseEvery), TTL: unit.Duration(defaultLeaseTTL)}
}

// lease takes over how nodes prove that they are alive.
func (l *loader) lease() {
	c := l.config
	c.Lease = Lease{Every: l.file.Lease.Every.Std(), TTL: l.file.Lease.TTL.Std(), KeepRuns: l.file.OnLeaseLoss == leaseContinue}
	entry, given := l.node.Get("lease")
	if !given {
		return
	}
	wrong := func(key, why string) {
		l.d.Report(at(entry.Value, key, entry.Value.Pos), "bad-value", "lease."+key, why, "")
	}
	switch {
	case c.Lease.Every < shortestLease:
		wrong("every", fmt.Sprintf("lease.every must be at least %s", unit.Duration(shortestLease)))
	case c.Lease.TTL < leaseBeats*c.Lease.Every:
		wrong("ttl", fmt.Sprintf("lease.ttl must be at least twice as long as lease.every, which is %s", l.file.Lease.Every))
	case c.Lease.TTL > longestLease:
		wrong("ttl", fmt.Sprintf("lease.ttl must be at most %s", unit.Duration(longestLease)))
	}
}
