package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// grace is what a node may take to end processes that it should end, beside the
// time that its configuration gives them (1 s).
const grace = 6 * time.Second

// strays returns the processes of jobs on a node that belong to no attempt that
// runs there, by the ledger.
func (c *cluster) strays(t *testing.T, n *node) []string {
	t.Helper()
	found := n.machine.processes(t)
	running := map[string]bool{}
	for _, key := range c.database.attemptsOn(t, n.name) {
		running[key] = true
	}
	var strays []string
	for _, p := range found {
		id := p.env["UPKEEP_RUN_ID"]
		if key := strings.Join([]string{id, p.env["UPKEEP_JOB"], p.env["UPKEEP_ATTEMPT"]}, " "); id != "" && !running[key] {
			strays = append(strays, fmt.Sprintf("%d %q of %s", p.pid, p.line, key))
		}
	}
	return strays
}

// checkStrays looks that a node that was disturbed, and is well again, has ended
// what it or its dead process left.
func (c *cluster) checkStrays(t *testing.T, n *node) {
	t.Helper()
	began := time.Now()
	limit := grace
	if !soaking() {
		limit = patience // what has to end ends at some time, however busy the machine
	}
	for {
		strays := c.strays(t, n)
		if len(strays) == 0 {
			return
		}
		if time.Since(began) > limit {
			t.Errorf("%s is well for %s, and these processes of no attempt still run there: %s", n.name, time.Since(began).Round(time.Millisecond), strings.Join(strays, "; "))
			return
		}
		time.Sleep(5 * glance)
	}
}

// checkLetGo looks, at the end of a time without the database, that a node that
// must have lost its lease has ended its jobs: others repeat them.
func (c *cluster) checkLetGo(t *testing.T, f *fault) {
	t.Helper()
	if time.Since(f.from) < c.ttl+grace {
		return // it may still be about to
	}
	c.letGo++
	for _, p := range f.node.machine.processes(t) {
		if id := p.env["UPKEEP_RUN_ID"]; id != "" && soaking() {
			t.Errorf("%s is cut off from the database for %s and still runs %q of run %s", f.node.name, time.Since(f.from).Round(time.Millisecond), p.line, id)
		}
	}
}

// checkNobody looks that nothing is left on the machines.
func (c *cluster) checkNobody(t *testing.T) {
	t.Helper()
	for _, n := range c.nodes {
		for _, p := range n.machine.processes(t) {
			t.Errorf("process %d is left on %s: %s (run %s)", p.pid, n.name, p.line, p.env["UPKEEP_RUN_ID"])
		}
	}
}
