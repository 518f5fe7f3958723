package service

import (
	"cmp"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/storage/ledger"
)

const (
	// stagger is how much longer each node leaves a slot to those before it in the
	// order. To decide takes a few milliseconds, a hundred on a busy
	// server, and the clocks of nodes differ by as much: half a second lets none
	// look in vain, and is what a run is late at most when the first node is dead
	// and nobody knows it yet.
	stagger = 500 * time.Millisecond
	// deputies are how many nodes look after the first one. The others leave a slot
	// to the sweep, so that it costs the same however many they are.
	deputies = 2
)

// turns says when this node decides the slots that any node may decide. Who is
// there is what the heartbeat last saw. Only the ticker's goroutine uses it.
type turns struct {
	config func() *configs.Config
	digest func(*configs.Config) string
	peers  func() ([]ledger.Node, time.Time)

	// nodes are those among which the order is made, from the list of at and for
	// the configuration of.
	nodes []string
	at    time.Time
	of    *configs.Config
}

// turn is Turn of ticker.Options; nil where this node is the only one.
func (d *Daemon) turn() func(workflow string) (time.Duration, bool) {
	if !d.shared() {
		return nil
	}
	return (&turns{config: d.Config, digest: d.digest.of, peers: d.ledger.Peers}).turn
}

// turn is the place of this node in the order of those who decide. The order is
// one for all workflows: what is due in the same second is one transaction and one
// delivery then, which each node looks into once. With an order for each workflow
// it would be as many of both as there are nodes.
func (t *turns) turn(string) (wait time.Duration, look bool) {
	cfg := t.config()
	list, at := t.peers()
	if at.IsZero() || time.Since(at) > cmp.Or(cfg.Lease.TTL, ledger.DefaultLeaseTTL) {
		return 0, true // who else is there is not known
	}
	if cfg != t.of || !at.Equal(t.at) {
		t.nodes, t.at, t.of = deciders(list, cfg.Node, t.digest(cfg)), at, cfg
	}
	place := placeIn("slots", t.nodes, cfg.Node)
	return time.Duration(min(place, deputies+1)) * stagger, place <= deputies
}

// deciders are the nodes that may decide slots by a configuration, node among
// them: those that are there, take new work and go by the same one. A node that
// goes by another one may not know the workflow, or another schedule of it.
func deciders(list []ledger.Node, node, config string) []string {
	names := []string{node}
	for _, n := range list {
		if n.Member && n.Alive && !n.Facts.Draining && n.Facts.Config == config {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
