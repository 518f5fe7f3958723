package cluster_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// cluster is three nodes that share a ledger.
type cluster struct {
	network   *network
	database  *database
	collector *collector
	nodes     []*node
	programs  programs
	// alarm is a file whose presence makes a workflow fail.
	alarm string
	// ttl is how long a lease holds.
	ttl    time.Duration
	began  time.Time
	faults []*fault
	// letGo counts the looks of checkLetGo.
	letGo int
	// settled is the moment of which everything before has ended.
	settled time.Time
}

// beats is how often a lease is renewed within its time.
const beats = 5

// newCluster starts three nodes, whose clocks differ by skew from the right one,
// the first one ahead and the last one behind; 0 for none.
func newCluster(t *testing.T, ttl, skew time.Duration) *cluster {
	t.Helper()
	c := &cluster{ttl: ttl, programs: buildPrograms(t, skew != 0), network: newNetwork(t)}
	c.database = newDatabase(t, c.network)
	c.collector = newCollector(t, c.network)
	root := t.TempDir()
	c.alarm = filepath.Join(root, "alarm")
	for i, labels := range []string{"blue", "blue, big", "big"} {
		n := &node{name: []string{"n1", "n2", "n3"}[i], program: c.programs[oldVersion], skew: time.Duration(1-i) * skew}
		n.dir = filepath.Join(root, n.name)
		n.machine = newMachine(t, n.name, ownEverything)
		for _, bridge := range []string{toDatabase, toPeers, toOutside} {
			c.network.connect(t, n.machine, bridge, i+1)
		}
		s := settings{
			Node: n.name, Labels: labels, Ledger: c.database.url(), Collector: c.collector.url, Alarm: c.alarm, TTL: ttl, Beat: ttl / beats, Long: 4,
		}
		if soaking() {
			s.Long = 15
		}
		if err := os.MkdirAll(filepath.Join(n.dir, "var"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"upkeep.yaml": s.text(t), "work.sh": workScript, "effects": ""} {
			if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c.nodes = append(c.nodes, n)
		t.Cleanup(func() { n.dismiss() })
	}
	t.Cleanup(func() { c.report(t) })
	c.began = time.Now()
	c.makeTables(t)
	c.database.watchLedger(t)
	for _, n := range c.nodes {
		n.start(t)
	}
	for _, n := range c.nodes {
		n.awaitStart(t, 0)
		c.awaitLease(t, n)
	}
	c.checkClocks(t)
	return c
}

// makeTables has the ledger made before anything is to be seen in it.
func (c *cluster) makeTables(t *testing.T) {
	t.Helper()
	c.nodes[0].upkeep(t, "run", "load")
	if err := os.Truncate(filepath.Join(c.nodes[0].dir, "effects"), 0); err != nil {
		t.Fatal(err)
	}
}

// keepVariable names a folder in which the logs are kept.
const keepVariable = "UPKEEP_TEST_KEEP"

// report shows the last words of everybody after a failure.
func (c *cluster) report(t *testing.T) {
	t.Helper()
	for _, n := range c.nodes {
		if t.Failed() {
			t.Logf("%s said at the end:\n%s", n.name, n.lastWords())
		}
		if keep := os.Getenv(keepVariable); keep != "" {
			for _, name := range []string{"log", "effects"} {
				text, err := os.ReadFile(filepath.Join(n.dir, name))
				if err == nil {
					err = os.WriteFile(filepath.Join(keep, n.name+"-"+name), text, 0o600)
				}
				if err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// register is what a node says of itself in the ledger.
type register struct {
	version    string
	registered int64         // by its clock, microseconds since 1970
	left       time.Duration // of its lease, by the database's clock
}

// leases returns the registers of a node whose lease holds.
func (c *cluster) leases(t *testing.T, n *node) []register {
	t.Helper()
	found := rowsOf(t, c.database, `SELECT * FROM (SELECT version, registered_at,
			1000 * CAST(lease_until - EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS remaining FROM upkeep.nodes WHERE name = $1) n
		WHERE remaining > 0 ORDER BY registered_at`,
		func(r pgx.Rows, one *register) error { return r.Scan(&one.version, &one.registered, &one.left) }, n.name)
	for _, one := range found {
		if one.left > c.ttl {
			t.Errorf("%s, whose clock is %s off, has a lease for %s more, want %s at most: it is not by the database's clock", n.name, n.skew, one.left, c.ttl)
		}
	}
	return found
}

// awaitLease waits until a node has a lease, and returns it.
func (c *cluster) awaitLease(t *testing.T, n *node) register {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(glance) {
		if found := c.leases(t, n); len(found) > 0 {
			return found[len(found)-1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has no lease:\n%s", n.name, n.lastWords())
		}
	}
}

// checkClocks looks that the clocks are as wrong as they should be: a node says
// by its own when a run was asked for.
func (c *cluster) checkClocks(t *testing.T) {
	t.Helper()
	for _, n := range c.nodes {
		asked := time.Now()
		said := n.upkeep(t, "run", "load", "--detach")
		answered := time.Now()
		runs := c.database.runs(t, "WHERE strpos($1, id) > 0", said)
		if len(runs) != 1 {
			t.Fatalf("%s asked for a run, of which the ledger does not know: %s", n.name, said)
		}
		queued := time.UnixMicro(runs[0].queuedAt)
		if queued.Before(asked.Add(n.skew-time.Millisecond)) || queued.After(answered.Add(n.skew)) {
			t.Errorf("%s asked for a run at %s by its clock, between %s and %s by the right one: want a difference of %s", n.name, queued, asked, answered, n.skew)
		}
	}
}

// settle waits until the runs of before this moment have ended, and all
// messages are told.
func (c *cluster) settle(t *testing.T) {
	t.Helper()
	c.settled = time.Now()
	until := c.settled.Add(-2 * time.Second).UnixMicro() // a clock may be that far ahead
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(10 * glance) {
		open := c.database.runs(t, `WHERE state IN ('queued', 'running') AND queued_at < $1 ORDER BY id`, until)
		if len(open) == 0 {
			break
		}
		if time.Now().After(deadline) {
			for _, r := range open[:min(len(open), 20)] {
				t.Logf("open: %+v", r)
			}
			t.Fatalf("%d runs did not end", len(open))
		}
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * glance) {
		owed := 0
		c.database.query(t, func(ctx context.Context, db *pgx.Conn) error {
			return db.QueryRow(ctx, `SELECT COUNT(*) FROM upkeep.notices WHERE state IN ('pending', 'sending') AND created_at < $1`, until).Scan(&owed)
		})
		if owed == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages are still owed", owed)
		}
	}
}

// raise makes a workflow fail from now on, or no longer.
func (c *cluster) raise(t *testing.T, on bool) {
	t.Helper()
	err := os.Remove(c.alarm)
	if on {
		err = os.WriteFile(c.alarm, nil, 0o600)
	}
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}
