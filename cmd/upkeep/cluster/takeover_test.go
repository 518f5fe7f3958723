package cluster_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// takeoverLimit is how long after a lease a takeover may take.
const takeoverLimit = 6 * time.Second

// times are durations to be told.
type times []time.Duration

func (ts times) String() string {
	if len(ts) == 0 {
		return "none"
	}
	sorted := slices.Sorted(slices.Values(ts))
	at := func(share float64) time.Duration {
		return sorted[int(share*float64(len(sorted)-1))].Round(time.Millisecond)
	}
	return fmt.Sprintf("%d: median %s, 90%% %s, most %s", len(sorted), at(0.5), at(0.9), at(1))
}

// checkTakeovers looks how soon others go on with the runs of a node that is
// gone. The bound holds where at least one other node that may run them was
// well, and the database was.
func (c *cluster) checkTakeovers(t *testing.T, trail map[string][]step) {
	t.Helper()
	of := map[string]calendar{}
	for _, w := range calendars() {
		of[w.name] = w
	}
	clean, rest := map[kind]times{}, map[kind]times{}
	for _, f := range c.faults {
		if !f.kind.takes() {
			continue
		}
		for _, r := range f.under {
			w, known := of[r.workflow]
			took, taken := takenOver(trail[r.id], r, f.from)
			if !known || !taken || c.metLater(f, took) {
				continue
			}
			if !c.replaceable(f, w, took) {
				rest[f.kind] = append(rest[f.kind], took)
				continue
			}
			clean[f.kind] = append(clean[f.kind], took)
			if soaking() && took > c.ttl+takeoverLimit {
				t.Errorf("%s at %.1fs: run %s of %s was taken over after %s, want %s at most", f.name(), f.from.Sub(c.began).Seconds(), r.id, r.workflow, took, c.ttl+takeoverLimit)
			}
		}
	}
	for _, k := range kinds() {
		if k.takes() {
			if soaking() && len(clean[k]) == 0 {
				t.Errorf("no run was taken over after %s with another node well, which proves too little", k)
			}
			t.Logf("takeovers after %s, with a lease of %s: %s; with other faults at that time, or for that node alone: %s", k, c.ttl, clean[k], rest[k])
		}
	}
}

// metLater tells whether the node of a fault was met by another one before a run
// of it was taken over, to which that is to be put down.
func (c *cluster) metLater(f *fault, took time.Duration) bool {
	return slices.ContainsFunc(c.faults, func(o *fault) bool {
		return o != f && o.node == f.node && o.from.After(f.from) && o.from.Before(f.from.Add(took))
	})
}

// takenOver returns how long after a moment a run went on under a later epoch;
// ok is false when it ended under its own.
func takenOver(steps []step, r run, from time.Time) (took time.Duration, ok bool) {
	for _, s := range steps {
		if s.job != "" || s.at.Before(from) {
			continue
		}
		if s.epoch > r.epoch {
			return s.at.Sub(from), true
		}
		if s.final() {
			return 0, false
		}
	}
	return 0, false
}

// replaceable tells whether another node was there all the time that could take
// over from the one that a fault met.
func (c *cluster) replaceable(f *fault, w calendar, took time.Duration) bool {
	until := f.from.Add(max(took, c.ttl))
	if c.disturbed(f.from, until, func(o *fault) bool { return o.kind.ofDatabase() || o.kind == upgrade }) {
		return false
	}
	return slices.ContainsFunc(c.nodes, func(n *node) bool {
		return n != f.node && w.fits(n.name) && !c.disturbed(f.from.Add(-c.ttl), until, func(o *fault) bool { return o.node == n })
	})
}
