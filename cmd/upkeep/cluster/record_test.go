package cluster_test

import (
	"fmt"
	"testing"
)

// checkRecord looks at how the ledger came to say what it says: epochs only
// grow, what has ended stays as it ended, only who holds a run writes it, and
// what is done does not begin again.
func (c *cluster) checkRecord(t *testing.T, trail map[string][]step) {
	t.Helper()
	names := map[string]string{}
	never := map[string]bool{}
	for _, r := range c.database.runs(t, "") {
		names[r.id] = r.workflow
	}
	for _, w := range calendars() {
		never[w.name] = w.never
	}
	lost, left := 0, 0
	for id, steps := range trail {
		j := judge{name: fmt.Sprintf("run %s of %s", id, names[id]), never: never[names[id]], ends: map[string]step{}, done: map[string]bool{}, begun: map[string]int{}}
		for _, s := range steps {
			if s.job == "" {
				j.run(t, s)
			} else {
				j.attempt(t, s)
			}
		}
		lost += j.lost
		if j.never && j.state == "failed" {
			if left++; len(j.ends) != 1 || j.lost != 1 {
				broken(t, "%s: it failed, and its attempts ended as %+v: want a single one, which was lost", j.name, j.ends)
			}
		}
	}
	t.Logf("%d runs; %d attempts were lost with their nodes, %d of them never to be repeated", len(trail), lost, left)
	if soaking() && left == 0 {
		t.Error("no run that is never to be repeated was interrupted, which proves too little")
	}
}

// judge follows one run through its trail.
type judge struct {
	name  string
	never bool
	epoch int64
	state string
	// ends has the end of each attempt, done the jobs that are.
	ends  map[string]step
	done  map[string]bool
	begun map[string]int
	lost  int
}

func (j *judge) run(t *testing.T, s step) {
	t.Helper()
	switch {
	case s.was != "" && s.wasEpoch != j.epoch:
		broken(t, "%s: epoch %d follows on %d", j.name, s.wasEpoch, j.epoch)
	case s.epoch < j.epoch:
		broken(t, "%s: its epoch fell from %d to %d", j.name, j.epoch, s.epoch)
	case isFinal(j.state):
		broken(t, "%s: it was %s and became %s", j.name, j.state, s.state)
	}
	j.epoch, j.state = s.epoch, s.state
}

func (j *judge) attempt(t *testing.T, s step) {
	t.Helper()
	key := fmt.Sprintf("%s %d", s.job, s.number)
	if end, ended := j.ends[key]; ended {
		broken(t, "%s: attempt %s ended as %s (%s) under epoch %d and was written again as %s (%s) under epoch %d", j.name, key, end.state, end.reason, end.epoch, s.state, s.reason, j.epoch)
	}
	if s.was == "" && !s.final() {
		j.begun[s.job]++
		if j.done[s.job] {
			broken(t, "%s: job %s began again after it was done", j.name, s.job)
		}
		if j.never && j.begun[s.job] > 1 {
			broken(t, "%s: job %s began again, though it is never to be repeated", j.name, s.job)
		}
		if s.epoch != j.epoch {
			broken(t, "%s: attempt %s began under epoch %d, while the run was at %d", j.name, key, s.epoch, j.epoch)
		}
	}
	if !s.final() {
		return
	}
	j.ends[key] = s
	switch {
	case s.state == "lost":
		j.lost++
	case s.epoch != j.epoch:
		broken(t, "%s: attempt %s of epoch %d ended as %s, while the run was at %d", j.name, key, s.epoch, s.state, j.epoch)
	case isDone(s.state):
		j.done[s.job] = true
	}
}
