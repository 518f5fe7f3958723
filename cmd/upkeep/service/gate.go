package service

import (
	"slices"
	"sync"
)

// hold is why nothing new may start.
type hold string

const (
	holdDrain hold = "drain" // somebody wants to restart or upgrade upkeep
	holdSpace hold = "space" // the disk is full
)

// gate keeps new runs from starting while there is a reason for it. It is safe
// for use by several goroutines.
type gate struct {
	hold   func(why hold)
	resume func()

	mu      sync.Mutex
	reasons []hold
}

// shut adds a reason and tells whether it is new.
func (g *gate) shut(why hold) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if slices.Contains(g.reasons, why) {
		return false
	}
	g.reasons = append(g.reasons, why)
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
