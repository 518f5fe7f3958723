package cluster_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// takeoverLimit is how long after a lease a takeover may take.
const takeoverLimit = 6 * time.Second

// handoverLimit is how long what a draining node does not do may wait.
const handoverLimit = 2 * time.Second

// restFor is how long nodes may take to be as before a fault that is over: they
// connect anew and take what waits.
const restFor = 3 * time.Second

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

// checkDrains looks that a drain interrupts nothing, and that others do at once
// what the draining node does not.
func (c *cluster) checkDrains(t *testing.T, trail map[string][]step) {
	t.Helper()
	var drains, handovers, cut, rest times
	ran := 0
	for _, f := range c.faults {
		switch f.kind {
		case drain:
			drains = append(drains, f.gone.Sub(f.asked))
			for _, r := range f.under {
				ran++
				for _, s := range trail[r.id] {
					if s.at.After(f.asked) && s.epoch > r.epoch || s.job != "" && s.epoch == r.epoch && slices.Contains([]string{"lost", "canceled"}, s.state) {
						t.Errorf("%s: run %s of %s was interrupted: %+v", f.name(), r.id, r.workflow, s)
						break
					}
				}
			}
			waited := c.handovers(t, f, trail)
			if c.disturbed(f.asked.Add(-restFor), f.gone, func(o *fault) bool { return o != f }) {
				// What another fault left undone, or who is not back from it, is not to be
				// put down to the drain.
				rest = append(rest, waited...)
				continue
			}
			handovers = append(handovers, waited...)
			for _, took := range waited {
				if soaking() && took > handoverLimit {
					t.Errorf("%s: a hand-over took %s, want %s at most", f.name(), took, handoverLimit)
				}
			}
		case hurry:
			for _, r := range f.under {
				if took, taken := takenOver(released(trail[r.id], r, f.asked)); taken {
					cut = append(cut, took)
				}
			}
		default:
		}
	}
	t.Logf("drains under load: %s; %d runs were under way, none was interrupted; from queued to running elsewhere: %s; shortly after another fault: %s", drains, ran, handovers, rest)
	t.Logf("drains cut short: from given back to running elsewhere: %s", cut)
	for _, took := range cut {
		if soaking() && took > handoverLimit {
			t.Errorf("a hand-over took %s, want %s at most", took, handoverLimit)
		}
	}
}

// handovers returns how long runs waited that were queued while a node drained.
func (c *cluster) handovers(t *testing.T, f *fault, trail map[string][]step) times {
	t.Helper()
	free := map[string]bool{"load": true} // workflows whose runs wait for nobody
	for _, w := range calendars() {
		free[w.name] = !w.alone && !w.each
	}
	var all times
	for _, r := range c.database.runs(t, "WHERE queued_at > $1 AND queued_at < $2", f.asked.Add(-10*time.Second).UnixMicro(), f.gone.Add(3*time.Second).UnixMicro()) {
		if !free[r.workflow] {
			continue
		}
		var queued time.Time
		for _, s := range trail[r.id] {
			if s.job != "" {
				continue
			}
			if s.state == "queued" {
				queued = s.at
			}
			if s.state != "running" {
				continue
			}
			if s.at.After(f.asked) && queued.Before(f.gone) {
				all = append(all, s.at.Sub(latest(queued, f.asked)))
			}
			if s.node == f.node.name && s.at.After(f.asked.Add(time.Second)) && s.at.Before(f.gone) {
				t.Errorf("%s: run %s of %s began there %s after it was asked to drain", f.name(), r.id, r.workflow, s.at.Sub(f.asked))
			}
			break
		}
	}
	return all
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// released returns a run's steps as takenOver takes them, from the moment at
// which its node gave it back.
func released(steps []step, r run, asked time.Time) ([]step, run, time.Time) {
	for i, s := range steps {
		if s.job == "" && s.at.After(asked) && s.state == "queued" && s.epoch > r.epoch {
			r.epoch = s.epoch
			return steps[i+1:], r, s.at
		}
	}
	return nil, r, asked
}
