package cluster_test

import (
	"slices"
	"testing"
	"time"
)

// checkCauses looks that runs are taken from their nodes for a cause only: an
// absence that is shorter than a lease interrupts nothing, and neither does it
// when nodes lose each other.
func (c *cluster) checkCauses(t *testing.T, trail map[string][]step) {
	t.Helper()
	taken, spared := 0, 0
	for id, steps := range trail {
		holder, since := "", time.Time{}
		for _, s := range steps {
			switch {
			case s.job != "" || s.state != "running" && s.was != "running":
			case s.was != "running":
				holder, since = s.node, s.at
			case s.epoch > s.wasEpoch:
				taken++
				if !c.caused(holder, s.node, since, s.at) {
					tell(t, "run %s was taken from %s at %.1fs, where it began at %.1fs, though nothing was wrong there for long: %+v",
						id, holder, s.at.Sub(c.began).Seconds(), since.Sub(c.began).Seconds(), s)
				}
				holder, since = s.node, s.at
			}
		}
	}
	for _, f := range c.faults {
		if f.kind == isolate || f.over.Sub(f.from) < c.noticed() && (f.kind == cutOff || f.kind.ofDatabase()) {
			spared += len(f.under)
		}
	}
	t.Logf("%d times a run went on under a later epoch, each after a fault of its node; %d runs were under way in absences shorter than %s", taken, spared, c.noticed())
	if soaking() && (taken == 0 || spared == 0) {
		t.Errorf("%d runs were taken and %d were under way in short absences, which proves too little", taken, spared)
	}
}

// tell fails a test when it soaks: on a machine that is short of time a node may
// miss its beat without any fault.
func tell(t *testing.T, format string, args ...any) {
	t.Helper()
	if soaking() {
		t.Errorf(format, args...)
	} else {
		t.Logf(format, args...)
	}
}

// noticed is how long an absence lasts at least that ends a lease: the last
// renewal was a beat before it at most, and the next one comes a beat after it.
func (c *cluster) noticed() time.Duration { return c.ttl - 2*c.ttl/beats }

// caused tells whether something happened to a node between two moments for
// which a run of it goes on under a later epoch.
func (c *cluster) caused(holder, next string, from, to time.Time) bool {
	type absence struct{ from, to time.Time }
	var all []absence
	for _, f := range c.faults {
		// Until it has a lease again it may finish a claim that it was about to make,
		// under the one that it lost.
		if f.node != nil && f.node.name != holder || !f.from.Before(to) || !f.to.After(from) {
			continue
		}
		switch f.kind {
		case kill, hurry, upgrade:
			return true
		case drain, isolate:
			// What a drain does not wait for is a defect, which checkDrains tells.
		default:
			if holder == next {
				// The answer to its claim was lost: it holds the run, and does not know.
				return true
			}
			all = append(all, absence{f.from, f.over})
		}
	}
	slices.SortFunc(all, func(a, b absence) int { return a.from.Compare(b.from) })
	for i, a := range all {
		if i > 0 && a.from.Sub(all[i-1].to) < 2*c.ttl/beats {
			all[i].from, all[i].to = all[i-1].from, latest(a.to, all[i-1].to) // no renewal between the two is certain
		}
		if all[i].to.Sub(all[i].from) >= c.noticed() {
			return true
		}
	}
	return false
}
