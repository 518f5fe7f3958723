package cluster_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// soaking tells whether the suite runs whole, on a machine with time for it:
// only then do bounds on time hold.
func soaking() bool { return os.Getenv("UPKEEP_SOAK") != "" }

// Three real services share a ledger, with schedules every second, while all
// that can go wrong between machines goes wrong: each slot has one row, nothing
// that was done is done again, nobody writes late, nothing is left behind and
// everybody is told once. The clocks differ. UPKEEP_SOAK=1 takes half an hour of
// it; UPKEEP_TEST_SEED repeats a plan.
func TestSoak_Cluster(t *testing.T) {
	t.Parallel()
	seed, ttl, skew, budget := uint64(1), 5*time.Second, 2*time.Second, time.Duration(0)
	if soaking() {
		seed, budget = rand.Uint64(), 30*time.Minute
	}
	if text := os.Getenv("UPKEEP_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("UPKEEP_TEST_CLUSTER_FOR"); text != "" {
		var err error
		if budget, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("UPKEEP_TEST_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := newCluster(t, ttl, skew)
	for round := 0; round == 0 || time.Since(c.began) < budget; round++ {
		for i, f := range c.plan(random, round) {
			c.raise(t, i%4 < 2)
			c.inject(t, f, c.second(random, f))
			time.Sleep(time.Duration((0.2 + random.Float64()) * float64(ttl) / 2)) // a rest is an input of the test
			if t.Failed() && budget == 0 {
				break
			}
		}
	}
	c.raise(t, false)
	c.settle(t)
	for _, n := range c.nodes {
		n.drain(t)
	}
	c.judge(t)
}

// broken fails a test because upkeep broke a promise, and not because a machine
// was slow: scripts/dev/test.sh looks for these words, and gives it no second try.
func broken(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Errorf("promise broken: "+format, args...)
}

// second draws a fault that happens while another lasts; nil for none, which is
// the rule.
func (c *cluster) second(random *rand.Rand, f *fault) *fault {
	if random.IntN(4) > 0 || !soaking() || !f.kind.takes() && f.kind != isolate {
		return nil
	}
	o := &fault{kind: []kind{kill, cutOff, restart, crash}[random.IntN(4)], last: time.Duration(random.Float64() * float64(c.ttl)).Truncate(time.Millisecond)}
	for o.node = f.node; o.node == f.node; {
		o.node = c.nodes[random.IntN(len(c.nodes))]
	}
	if o.kind.ofDatabase() {
		o.node = nil
	}
	return o
}

// judge compares what happened with what should have.
func (c *cluster) judge(t *testing.T) {
	t.Helper()
	met, of := map[kind]int{}, map[kind]int{}
	at := map[string]int{}
	all := 0
	for _, f := range c.faults {
		of[f.kind]++
		at[f.name()]++
		if len(f.under) > 0 {
			met[f.kind]++
			all++
		}
	}
	for _, k := range kinds() {
		t.Logf("%d of %d met a running attempt: %s", met[k], of[k], k)
		if of[k] > 3 && met[k] < of[k]/2 {
			t.Errorf("only %d of %d faults of one kind met a running attempt, which proves too little: %s", met[k], of[k], k)
		}
	}
	for _, k := range kinds() {
		for _, n := range c.nodes {
			if name := (&fault{kind: k, node: n}).name(); soaking() && of[k] > 0 && at[string(k)] == 0 && at[name] == 0 {
				t.Errorf("there was no %s", name)
			}
		}
	}
	t.Logf("%d of %d faults, kills among them, hit a running attempt", all, len(c.faults))
	if all < len(c.faults)/2 {
		t.Errorf("only %d of %d faults met a running attempt, which proves too little", all, len(c.faults))
	}
	t.Logf("%d times a node was looked at that was cut off for so long that its jobs had to be ended", c.letGo)
	if soaking() && c.letGo == 0 {
		t.Error("no node was cut off for so long that its jobs had to be ended, which proves too little")
	}
	for _, n := range c.nodes {
		t.Logf("%s ended by itself, because it lost its lease, and was started again: %d times", n.name, n.gaveUp)
	}
	t.Logf("runs by node: %v", c.database.shares(t))
	trail := c.database.trail(t)
	c.checkSlots(t)
	c.checkRecord(t, trail)
	c.checkCauses(t, trail)
	c.checkEffects(t, trail)
	c.checkTakeovers(t, trail)
	c.checkDrains(t, trail)
	c.checkAlerts(t)
	c.checkNobody(t)
}
