package service

import (
	"slices"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// hold is why nothing new may start.
type hold string

const (
	holdDrain hold = "drain" // somebody wants to restart or upgrade upkeep
	holdSpace hold = "space" // the disk is full
	holdEnd   hold = "end"   // this process ends
	holdLease hold = "lease" // other nodes may take this one for dead
)

// refusal is what somebody hears who asks for a run meanwhile.
func (h hold) refusal() error {
	switch h {
	case holdDrain:
		return api.NewProblem(api.CodeUnavailable, "end the drain with `upkeep drain --end`", "upkeep is drained: nothing new starts")
	case holdSpace:
		return api.NewProblem(api.CodeNoSpace, "make room, such as with `upkeep prune-history`; it goes on by itself", "the disk of the ledger is full: nothing new starts")
	case holdLease:
		return api.NewProblem(api.CodeUnavailable, "it goes on by itself when the database answers; or ask another node", "this node has lost its lease: nothing new starts")
	default:
		return api.NewProblem(api.CodeUnavailable, "try again when it is back", "upkeep is about to end: nothing new starts")
	}
}

// gate keeps new runs from starting while there is a reason for it. It is safe
// for use by several goroutines.
type gate struct {
	hold   func(why hold)
	resume func()

	mu      sync.Mutex
	reasons []hold
	// since is when each reason came.
	since map[hold]time.Time
}

// shut adds a reason and tells whether it is new.
func (g *gate) shut(why hold) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if slices.Contains(g.reasons, why) {
		return false
	}
	g.reasons = append(g.reasons, why)
	if g.since == nil {
		g.since = map[hold]time.Time{}
	}
	g.since[why] = time.Now().UTC()
	if len(g.reasons) == 1 {
		g.hold(why)
	}
	return true
}

// open removes a reason and tells whether it was there; without any left work
// starts again.
func (g *gate) open(why hold) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.reasons, why)
	if at < 0 {
		return false
	}
	g.reasons = slices.Delete(g.reasons, at, at+1)
	if len(g.reasons) == 0 {
		g.resume()
	}
	return true
}

// has tells whether a reason is in force.
func (g *gate) has(why hold) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.reasons, why)
}

// held returns since when a reason is in force, and whether it is.
func (g *gate) held(why hold) (time.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.since[why], slices.Contains(g.reasons, why)
}

// refusal returns what somebody hears who asks for a run, or nil when runs
// start.
func (g *gate) refusal() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.reasons) == 0 {
		return nil
	}
	return g.reasons[len(g.reasons)-1].refusal()
}

// why returns the reasons in the order in which they came.
func (g *gate) why() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	words := make([]string, len(g.reasons))
	for i, r := range g.reasons {
		words[i] = string(r)
	}
	return words
}
