package queuetest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ghosteam/upkeep/runner"
)

// testRace lets two processes submit and execute the same slots. Each leaves
// when it has executed half of them, so that both have their part where one
// process executes at a time.
func testRace(t *testing.T, s Subject) {
	st := newStage(t, s)
	slots := scaled(200)
	if s.Several {
		slots = scaled(100) // both work all the time
	}
	var requests []runner.Request
	for n := range slots {
		requests = append(requests, request("race", n, workflow{Parallel: 1, Jobs: []task{{Name: "only"}}}))
	}
	half := func(r *role) {
		r.Submit, r.Leave = slices.Clone(requests), slots/2
		rand.Shuffle(len(r.Submit), func(i, j int) { r.Submit[i], r.Submit[j] = r.Submit[j], r.Submit[i] })
	}
	one, two := st.start(half), st.start(half)
	one.await("submitted", 0)
	two.await("submitted", 0)

	var ids []runner.RunID
	by := map[string]int{}
	st.waitFor("all runs", func() bool {
		runs, err := st.ledger.Runs(t.Context(), runner.Filter{Limit: 2 * slots})
		if err != nil {
			t.Fatalf("list runs: %v", err)
		}
		ids = ids[:0]
		clear(by)
		for _, r := range runs {
			ids = append(ids, r.ID)
			if r.State.Final() {
				by[r.Node]++
			}
		}
		return by[one.role.Node]+by[two.role.Node] >= slots
	})
	for _, c := range []*child{one, two} {
		// Whoever reached its half leaves by itself.
		if by[c.role.Node] >= slots/2 {
			c.leaves()
		} else {
			c.drain()
		}
	}

	if len(ids) != slots {
		t.Errorf("%d runs on record, want one per slot: %d", len(ids), slots)
	}
	t.Logf("%d slots, submitted by two processes; executed by: %v", slots, by)
	if len(by) != 2 {
		t.Errorf("executed by %v: the test needs both processes", by)
	}
	for _, id := range ids {
		run, attempts, done := st.run(id), st.attempts(id), st.effects(id)
		if run.State != runner.Succeeded || len(attempts["only"]) != 1 || len(done) != 1 || done["only/1"] != 1 {
			t.Errorf("run %s %s: attempts %s, effects %v", id, run.State, states(attempts["only"]), done)
		}
	}
}
