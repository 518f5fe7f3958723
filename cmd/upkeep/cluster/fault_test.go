package cluster_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kind is a kind of fault.
type kind string

const (
	kill      kind = "kill -9"
	stop      kind = "stop"
	cutOff    kind = "cut off from the database"
	isolate   kind = "cut off from the nodes"
	restart   kind = "restart of the database, fast"
	crash     kind = "restart of the database, immediate"
	drain     kind = "drain under load"
	hurry     kind = "drain that is cut short"
	upgrade   kind = "rolling upgrade"
	loadRuns       = 6
	hurryRuns      = 2
)

func kinds() []kind {
	return []kind{kill, stop, cutOff, isolate, restart, crash, drain, hurry, upgrade}
}

// ofDatabase tells whether a fault is one of the database.
func (k kind) ofDatabase() bool { return k == restart || k == crash }

// takes tells whether a fault takes a node's runs from it.
func (k kind) takes() bool { return k == kill || k == stop || k == cutOff }

// fault is one that is planned, and what it was in fact.
type fault struct {
	kind kind
	node *node // nil for the database and for all nodes
	last time.Duration

	// from is when it began, over when it was over, and to when the node had a
	// lease again.
	from, over, to time.Time
	// under is what it met: the runs with a running attempt.
	under []run
	// asked and gone are when a drain was asked for (the last time) and when the
	// process was gone.
	asked, gone time.Time
}

func (f *fault) name() string {
	if f.node == nil {
		return string(f.kind)
	}
	return string(f.kind) + " of " + f.node.name
}

// plan draws faults of all kinds in any order. In three rounds each kind meets
// each node.
func (c *cluster) plan(random *rand.Rand, round int) []*fault {
	var all []*fault
	for i, k := range kinds() {
		f := &fault{kind: k, node: c.nodes[(round+i)%len(c.nodes)]}
		// In lease times: some are too short to be noticed, most are not.
		least, most := 0.0, 1.5
		switch k {
		case stop:
			least, most = 1.3, 2.2
		case cutOff:
			least, most = 0.4, 2.6
		case isolate:
			least, most = 0.3, 1
		case restart, crash:
			f.node, most = nil, 1.2
		case upgrade:
			f.node, most = nil, 0
		case drain, hurry:
			most = 0.3
		default:
		}
		f.last = time.Duration((least + random.Float64()*(most-least)) * float64(c.ttl)).Truncate(time.Millisecond)
		all = append(all, f)
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// inject lets a fault happen, and with it, while it lasts, another one.
func (c *cluster) inject(t *testing.T, f, other *fault) {
	t.Helper()
	c.rest(f)
	c.begin(t, f)
	if other != nil {
		time.Sleep(other.last / 2) // what is between two faults is an input of the test
		c.begin(t, other)
		time.Sleep(other.last)
		c.end(t, other)
	}
	time.Sleep(time.Until(f.from.Add(f.last)))
	c.end(t, f)
}

func (c *cluster) begin(t *testing.T, f *fault) {
	t.Helper()
	t.Logf("%6.1fs: %s, for %s", time.Since(c.began).Seconds(), f.name(), f.last)
	c.faults = append(c.faults, f)
	under := ""
	if f.node != nil {
		under = f.node.name
	}
	c.awaitWork(t, under)
	switch f.kind {
	case kill:
		f.node.kill(t)
	case stop:
		f.node.halt(t)
	case cutOff:
		c.cut(t, f.node, toDatabase)
	case isolate:
		c.cut(t, f.node, toPeers)
	case restart, crash, drain, hurry, upgrade:
		f.under = c.database.under(t, under)
	}
	f.from = time.Now()
	switch f.kind {
	case restart:
		c.database.stop(t, unix.SIGINT)
	case crash:
		c.database.stop(t, unix.SIGQUIT)
	case drain:
		c.load(t, f.node, loadRuns)
		c.drain(t, f)
	case hurry:
		c.load(t, f.node, hurryRuns)
		c.hurry(t, f)
	case upgrade:
		c.upgrade(t, f)
	default:
		f.under = c.database.under(t, under)
	}
}

// awaitWork waits a moment until a node has something to do that others could do
// as well, so that most faults meet it at work.
func (c *cluster) awaitWork(t *testing.T, name string) {
	t.Helper()
	anybodys := func(r run) bool { return r.host == "" }
	for deadline := time.Now().Add(3 * time.Second); !slices.ContainsFunc(c.database.under(t, name), anybodys) && time.Now().Before(deadline); {
		time.Sleep(glance)
	}
}

// end ends a fault and waits until the node is one of the cluster again.
func (c *cluster) end(t *testing.T, f *fault) {
	t.Helper()
	switch f.kind {
	case kill, drain, hurry:
		before := f.node.starts(t)
		f.node.start(t)
		f.node.awaitStart(t, before)
	case stop:
		f.node.signal(t, unix.SIGCONT)
	case cutOff:
		c.checkLetGo(t, f)
		c.join(t, f.node, toDatabase)
	case isolate:
		c.join(t, f.node, toPeers)
	case restart, crash:
		c.database.start(t)
	case upgrade:
	}
	f.over = time.Now()
	if f.kind == stop || f.kind == cutOff {
		// A lease that it had before may hold for a while yet.
		time.Sleep(c.ttl / 5)
	}
	f.to = time.Now() // of those that still last there is none
	for _, n := range c.nodes {
		elsewhere := func(o *fault) bool { return o.node == n && o.to.IsZero() }
		if (f.node == nil || f.node == n) && !slices.ContainsFunc(c.faults, elsewhere) {
			c.awaitLease(t, n)
		}
	}
	f.to = time.Now()
	if f.node != nil {
		c.checkStrays(t, f.node)
	}
}

// load gives a node something to do.
func (c *cluster) load(t *testing.T, n *node, runs int) {
	t.Helper()
	for range runs {
		n.upkeep(t, "run", "load", "--detach")
	}
}

func (c *cluster) drain(t *testing.T, f *fault) {
	t.Helper()
	f.under = c.database.under(t, f.node.name)
	f.from, f.asked = time.Now(), time.Now()
	f.node.drain(t)
	f.gone = time.Now()
}

// hurry asks a second time, which cuts short what runs.
func (c *cluster) hurry(t *testing.T, f *fault) {
	t.Helper()
	f.under = c.database.under(t, f.node.name)
	f.from = time.Now()
	ended := f.node.dismiss()
	f.node.signal(t, unix.SIGTERM)
	time.Sleep(200 * time.Millisecond) // between the two is an input of the test
	f.asked = time.Now()
	if !f.node.signal(t, unix.SIGTERM) {
		f.kind = drain // it had little to do, and nothing was cut short
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatalf("%s does not end when it is asked twice:\n%s", f.node.name, f.node.lastWords())
	}
	f.gone = time.Now()
}

// cut takes a node off a network, and looks that it is.
func (c *cluster) cut(t *testing.T, n *node, bridge string) {
	t.Helper()
	c.network.cut(t, n.machine, bridge)
	if address := c.beyond(n, bridge); n.machine.reaches(address) {
		t.Errorf("%s is cut off and reaches %s all the same", n.name, address)
	}
}

// join puts it back.
func (c *cluster) join(t *testing.T, n *node, bridge string) {
	t.Helper()
	c.network.join(t, n.machine, bridge)
	address := c.beyond(n, bridge)
	for deadline := time.Now().Add(patience); !n.machine.reaches(address); time.Sleep(glance) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not cut off and does not reach %s", n.name, address)
		}
	}
}

// beyond is somebody else in a network of a node.
func (c *cluster) beyond(n *node, bridge string) string {
	if bridge == toDatabase {
		return c.database.address
	}
	other := (slices.Index(c.nodes, n) + 1) % len(c.nodes)
	return addressOf(bridge, other+1)
}

// disturbed tells whether a fault that the filter takes touches the time between
// two moments. All faults are over.
func (c *cluster) disturbed(from, to time.Time, filter func(*fault) bool) bool {
	return slices.ContainsFunc(c.faults, func(f *fault) bool {
		return filter(f) && f.from.Before(to) && f.to.After(from)
	})
}
