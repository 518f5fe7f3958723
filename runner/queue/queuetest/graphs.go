package queuetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// together is how close ends must be to count as being at the same time.
const together = 2 * time.Millisecond

// randomGraph makes a workflow of 5 to 12 jobs. Meeting jobs end at the same
// time: they come first and all start at once.
func randomGraph(r *rand.Rand, meet int) workflow {
	count := 5 + r.IntN(8)
	w := workflow{Parallel: 4 + r.IntN(3)}
	for i := range count {
		j := task{Name: fmt.Sprintf("j%d", i), Millis: 3 + r.IntN(25)}
		switch {
		case i < meet:
			j.Meet, j.Millis = meet, 10
		case i > 0:
			for range r.IntN(3) {
				if need := fmt.Sprintf("j%d", r.IntN(i)); !slices.Contains(j.Needs, need) {
					j.Needs = append(j.Needs, need)
				}
			}
		}
		w.Jobs = append(w.Jobs, j)
	}
	return w
}

// testGraphs kills the process that executes a random graph at a random
// moment, some graphs twice; the next process ends it, and so on.
func testGraphs(t *testing.T, s Subject) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	st := newStage(t, s)
	graphs := scaled(50)
	if s.Several {
		// A server takes longer to join, and loses nothing by a kill of its client.
		graphs = scaled(8)
	}
	kills, hits, met := 0, 0, 0
	process := st.start()
	process.await("ready", 0)
	for n := range graphs {
		meet := 0
		if n%5 != 0 {
			meet = 3
		}
		w := randomGraph(r, meet)
		id := st.submit(request("graph", n, w))[0]
		for kill := range 1 + r.IntN(5)/4 {
			awaitMoment(process, r, id, w, kill == 0)
			process.kill()
			kills++
			if st.isRunning(id) {
				hits++
			}
			process = st.start()
			process.await("ready", 0)
			if st.run(id).State.Final() {
				break
			}
		}
		st.finals(id)
		met += st.checkGraph(id, w)
	}
	process.drain()
	t.Logf("%d of %d kills hit a running attempt; in %d of %d graphs three or more jobs ended within %s", hits, kills, met, graphs, together)
	if hits < kills/2 {
		t.Errorf("%d of %d kills hit a running attempt, want at least half", hits, kills)
	}
	if met < graphs/2 {
		t.Errorf("in %d of %d graphs three jobs ended within %s, want at least half", met, graphs, together)
	}
}

// awaitMoment waits for the random moment at which the process dies: a while
// after one of the jobs began, so that a busy machine moves the moment along
// with the work. A job may be done before a later death, so only the first can
// wait for one.
func awaitMoment(p *child, r *rand.Rand, id runner.RunID, w workflow, first bool) {
	marker, while := fmt.Sprintf("run %s begins", id), 40*time.Millisecond
	if first {
		j := w.Jobs[r.IntN(len(w.Jobs))]
		marker, while = fmt.Sprintf("attempt %s %s 1 begins", id, j.Name), time.Duration(j.Millis)*time.Millisecond
	}
	p.await(marker, 0)
	time.Sleep(time.Duration(r.Int64N(int64(while))))
}

// isRunning tells whether an attempt of the run is on record as running.
func (st *stage) isRunning(id runner.RunID) bool {
	st.t.Helper()
	for _, of := range st.attempts(id) {
		if of[len(of)-1].State == runner.Running {
			return true
		}
	}
	return false
}

// checkGraph proves a run that was interrupted, and returns 1 when three of its
// jobs ended together.
func (st *stage) checkGraph(id runner.RunID, w workflow) (met int) {
	st.t.Helper()
	run, attempts, done := st.run(id), st.attempts(id), st.effects(id)
	if run.State != runner.Succeeded {
		st.t.Errorf("run %s is %s/%s: %s", id, run.State, run.Reason, run.Message)
	}
	var ends []time.Time
	for _, j := range w.Jobs {
		of := attempts[j.Name]
		if len(of) == 0 {
			st.t.Errorf("run %s: job %s was never begun", id, j.Name)
			continue
		}
		for i, a := range of {
			last := i == len(of)-1
			if a.Number != i+1 || last != (a.State == runner.Succeeded) || !last && a.State != runner.Lost {
				st.t.Errorf("run %s: job %s: %s", id, j.Name, states(of))
			}
			if done[fmt.Sprintf("%s/%d", j.Name, a.Number)] > 1 {
				st.t.Errorf("run %s: attempt %s/%d took effect twice", id, j.Name, a.Number)
			}
			ends = append(ends, a.FinishedAt)
			for _, need := range j.Needs {
				if needed := attempts[need]; len(needed) > 0 && a.StartedAt.Before(needed[len(needed)-1].FinishedAt) {
					st.t.Errorf("run %s: %s/%d began before %s had ended", id, j.Name, a.Number, need)
				}
			}
		}
		if done[fmt.Sprintf("%s/%d", j.Name, len(of))] != 1 {
			st.t.Errorf("run %s: the recorded attempt %s/%d has no effect", id, j.Name, len(of))
		}
		if extra := done[fmt.Sprintf("%s/%d", j.Name, len(of)+1)]; extra > 0 {
			st.t.Errorf("run %s: job %s took effect after it was recorded as done", id, j.Name)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	for i := range len(ends) - 2 {
		if ends[i+2].Sub(ends[i]) <= together {
			return 1
		}
	}
	return 0
}
