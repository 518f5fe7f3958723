package cluster_test

import (
	"testing"
	"time"
)

const (
	// handoverLimit is how long what a draining node does not do may wait.
	handoverLimit = 2 * time.Second
	// killGrace is `kill_grace` of the nodes: what a drain cuts short has that long
	// to end by itself before it is given back.
	killGrace = time.Second
	// restFor is how long nodes may take to be as before a fault that is over: they
	// connect anew and take what waits.
	restFor = 3 * time.Second
)

// rest waits before a drain until what faults before it did is over: what is
// late then is to be put down to the drain, and to nothing else.
func (c *cluster) rest(f *fault) {
	if f.kind != drain && f.kind != hurry {
		return
	}
	var until time.Time
	for _, o := range c.faults {
		// What was lost with a lease may be on record as running for a lease longer:
		// the others give each other time when they were all away.
		until = latest(until, o.to.Add(c.ttl+restFor))
	}
	time.Sleep(time.Until(until))
}

// checkDrains looks that a drain interrupts nothing, and that others do at once
// what the draining node does not.
func (c *cluster) checkDrains(t *testing.T, trail map[string][]step) {
	t.Helper()
	var drains, handovers, cut times
	ran := 0
	for _, f := range c.faults {
		switch f.kind {
		case drain:
			drains = append(drains, f.gone.Sub(f.asked))
			for _, r := range f.under {
				ran++
				checkWhole(t, f, r, trail[r.id])
			}
			handovers = append(handovers, c.handovers(t, f, trail)...)
		case hurry:
			cut = append(cut, c.givenBack(t, f, trail)...)
		default:
		}
	}
	t.Logf("drains under load: %s; %d runs were under way, none of them interrupted unless told above; from queued to running elsewhere: %s", drains, ran, handovers)
	t.Logf("drains cut short, with %s to end for what ran: from asked to running elsewhere: %s", killGrace, cut)
	if soaking() && (ran == 0 || len(handovers) == 0 || len(cut) == 0) {
		t.Errorf("drains met %d runs, and %d and %d were handed over, which proves too little", ran, len(handovers), len(cut))
	}
}

// checkWhole looks that a run which a drain met ended as if there had been none.
func checkWhole(t *testing.T, f *fault, r run, steps []step) {
	t.Helper()
	for _, s := range steps {
		failed := s.job != "" && s.epoch == r.epoch && s.final() && !isDone(s.state) && r.workflow != "alarm"
		if s.at.After(f.asked) && (s.epoch > r.epoch || failed) {
			t.Errorf("%s: run %s of %s was interrupted: %+v", f.name(), r.id, r.workflow, s)
			return
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
				checkSoon(t, f, r, all[len(all)-1], handoverLimit)
			}
			if s.node == f.node.name && s.at.After(f.asked.Add(time.Second)) && s.at.Before(f.gone) {
				t.Errorf("%s: run %s of %s began there %s after it was asked to drain", f.name(), r.id, r.workflow, s.at.Sub(f.asked))
			}
			break
		}
	}
	return all
}

// givenBack returns how long after a drain was cut short others went on with the
// runs that it met.
func (c *cluster) givenBack(t *testing.T, f *fault, trail map[string][]step) times {
	t.Helper()
	of := map[string]calendar{"load": {name: "load"}}
	for _, w := range calendars() {
		of[w.name] = w
	}
	var all times
	for _, r := range f.under {
		w, known := of[r.workflow]
		if !known || w.each || w.never {
			continue
		}
		took, gone := resumed(trail[r.id], r, f.asked)
		if took == 0 && !gone {
			t.Errorf("%s: nobody went on with run %s of %s", f.name(), r.id, r.workflow)
		}
		if took > 0 {
			all = append(all, took)
			checkSoon(t, f, r, took, killGrace+handoverLimit)
		}
	}
	return all
}

// resumed returns how long after a moment a run was executed under a later
// epoch; ended tells that it ended under its own instead.
func resumed(steps []step, r run, from time.Time) (took time.Duration, ended bool) {
	for _, s := range steps {
		switch {
		case s.job != "":
		case s.epoch == r.epoch && s.final():
			return 0, true // before it was given back, at whatever moment
		case s.epoch > r.epoch && s.state == "running" && s.at.After(from):
			return s.at.Sub(from), false
		}
	}
	return 0, false
}

func checkSoon(t *testing.T, f *fault, r run, took, limit time.Duration) {
	t.Helper()
	if soaking() && took > limit {
		t.Errorf("%s: run %s of %s was handed over after %s, want %s at most", f.name(), r.id, r.workflow, took, limit)
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
