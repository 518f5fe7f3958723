package queuetest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ghosteam/upkeep/runner"
)

// testRace lets two processes submit and execute the same slots. Where one
// process executes at a time, the other takes over when it has drained.
func testRace(t *testing.T, s Subject) {
	st := newStage(t, s)
	slots := scaled(200)
	var requests []runner.Request
	for n := range slots {
		requests = append(requests, request("race", n, workflow{Parallel: 1, Jobs: []task{{Name: "only"}}}))
	}
	shuffled := func(r *role) {
		r.Submit = slices.Clone(requests)
		rand.Shuffle(len(r.Submit), func(i, j int) { r.Submit[i], r.Submit[j] = r.Submit[j], r.Submit[i] })
	}
	one, two := st.start(shuffled), st.start(shuffled)
	one.await("submitted", 0)
	two.await("submitted", 0)

	ended := func() (n int, by map[string]int, ids []runner.RunID) {
		by = map[string]int{}
		runs, err := st.ledger.Runs(t.Context(), runner.Filter{Limit: 2 * slots})
		if err != nil {
			t.Fatalf("list runs: %v", err)
		}
		for _, r := range runs {
			ids = append(ids, r.ID)
			if r.State.Final() {
				n++
				by[r.Node]++
			}
		}
		return n, by, ids
	}
	first := one
	st.waitFor("half of the runs", func() bool {
		n, by, _ := ended()
		if by[two.role.Node] > by[one.role.Node] {
			first = two
		}
		return n >= slots/2
	})
	first.drain()
	second := one
	if first == one {
		second = two
	}
	st.waitFor("all runs", func() bool { n, _, _ := ended(); return n >= slots })
	second.drain()

	_, by, ids := ended()
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
