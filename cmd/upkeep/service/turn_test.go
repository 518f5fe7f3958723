package service_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// TestTurns_OneIsFirst: of nodes that know the same of each other, one decides a
// slot at once, two look for it later, and the others leave it to their sweep.
func TestTurns_OneIsFirst(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(rt, "nodes")
		var list []ledger.Node
		for i := range n {
			list = append(list, serving(fmt.Sprintf("node-%d", i), fmt.Sprintf("i-%d", i), "one"))
		}
		workflow := rapid.StringMatching("[a-z0-9-]{1,12}").Draw(rt, "workflow")
		waits := map[time.Duration]int{}
		for i := range n {
			wait, look := service.TurnOf(list, time.Now(), list[i].Name, "one")(workflow)
			if waits[wait]++; look != (wait < 1500*time.Millisecond) || wait > 1500*time.Millisecond {
				rt.Fatalf("node %d waits %s and looks: %t", i, wait, look)
			}
		}
		for place := range min(n, 3) {
			if wait := time.Duration(place) * 500 * time.Millisecond; waits[wait] != 1 {
				rt.Fatalf("%d nodes wait %s: %v", waits[wait], wait, waits)
			}
		}
	})
}

// TestTurns_WhoCounts: who is not there, takes nothing new, is no service or goes
// by another configuration is not waited for.
func TestTurns_WhoCounts(t *testing.T) {
	t.Parallel()
	draining, dead, command, other := serving("b", "b", "one"), serving("c", "c", "one"), serving("d", "d", "one"), serving("e", "e", "two")
	draining.Facts.Draining, dead.Alive, command.Member = true, false, false
	away := []ledger.Node{serving("a", "a", "one"), draining, dead, command, other}
	there := append(away, serving("f", "f", "one"), serving("f", "f2", "one"))
	now := time.Now()
	firsts := 0
	for _, name := range []string{"a", "f"} {
		if wait, look := service.TurnOf(away, now, name, "one")("w"); name == "a" && (wait != 0 || !look) {
			t.Errorf("the only one that counts waits %s, %t", wait, look)
		}
		wait, look := service.TurnOf(there, now, name, "one")("w")
		if !look || wait > 500*time.Millisecond {
			t.Errorf("%s, one of two, waits %s, %t", name, wait, look)
		}
		if wait == 0 {
			firsts++
		}
		for when, at := range map[string]time.Time{"never": {}, "long ago": now.Add(-time.Minute)} {
			if wait, look := service.TurnOf(there, at, name, "one")("w"); wait != 0 || !look {
				t.Errorf("%s looked %s: it waits %s, %t", name, when, wait, look)
			}
		}
	}
	if firsts != 1 {
		t.Errorf("%d of two nodes are first", firsts)
	}
	// Until its facts are on record a node counts itself all the same.
	if wait, _ := service.TurnOf(nil, now, "new", "one")("w"); wait != 0 {
		t.Errorf("a node that knows nobody waits %s", wait)
	}
}

// TestTurns_OneOrder: what is due together is decided together.
func TestTurns_OneOrder(t *testing.T) {
	t.Parallel()
	var list []ledger.Node
	for i := range 5 {
		list = append(list, serving(fmt.Sprintf("node-%d", i), fmt.Sprintf("i-%d", i), "one"))
	}
	for _, n := range list {
		turn := service.TurnOf(list, time.Now(), n.Name, "one")
		wait, look := turn("a")
		for i := range 50 {
			if w, l := turn(fmt.Sprintf("w%d", i)); w != wait || l != look {
				t.Fatalf("%s waits %s for one workflow and %s for another", n.Name, wait, w)
			}
		}
	}
}
