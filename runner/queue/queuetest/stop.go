package queuetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// testCancel cancels a run from another process.
func testCancel(t *testing.T, s Subject) {
	st := newStage(t, s)
	id := st.submit(request("cancel", 0, workflow{Parallel: 2, Jobs: []task{
		{Name: "long", Millis: 600_000}, {Name: "next", Needs: []string{"long"}}, {Name: "cleanup", Needs: []string{"next"}, When: runner.Always},
	}}))[0]
	process := st.start(func(r *role) { r.Slots = 1 })
	waits := st.submit(request("cancel", 1, workflow{Parallel: 1, Jobs: []task{{Name: "only"}}}))[0]
	process.await(fmt.Sprintf("attempt %s long 1 begins", id), 0)
	for run, before := range map[runner.RunID]runner.State{id: runner.Running, waits: runner.Queued} {
		if state, err := st.ledger.Cancel(t.Context(), run, "anna"); err != nil || state != before {
			t.Errorf("cancel: %s, %v, want %s", state, err, before)
		}
	}
	asked := time.Now()
	run := st.finals(id)[0]
	attempts := st.attempts(id)
	for job, want := range map[string]string{"long": "canceled/user", "next": "skipped/user", "cleanup": "succeeded"} {
		if got := states(attempts[job]); got != want {
			t.Errorf("job %s: %s, want %s", job, got, want)
		}
	}
	if took := attempts["long"][0].FinishedAt.Sub(asked); took > 2*time.Second {
		t.Errorf("the running job ended %s after the cancel, want at most 2s", took)
	}
	if run.State != runner.Canceled || run.Reason != runner.ReasonUser || run.CanceledBy != "anna" {
		t.Errorf("run %+v", run)
	}
	if got := st.run(waits); got.State != runner.Canceled || len(st.attempts(waits)) != 0 {
		t.Errorf("the queued run is %s with attempts %v", got.State, st.attempts(waits))
	}
	process.drain()
}

// testDrain asks a process to end while it executes some of several runs.
func testDrain(t *testing.T, s Subject) {
	st := newStage(t, s)
	var requests []runner.Request
	for n := range 6 {
		requests = append(requests, request("drain", n, workflow{Parallel: 1, Jobs: []task{{Name: "only", Do: doHold}}}))
	}
	ids := st.submit(requests...)
	process := st.start(func(r *role) { r.Slots = 2 })
	began := map[runner.RunID]bool{}
	for line := 0; len(began) < 2; {
		var text, run string
		text, line = process.await("attempt ", line)
		if _, err := fmt.Sscanf(text, "attempt %s only 1 begins", &run); err != nil {
			t.Fatalf("unexpected line %q: %v", text, err)
		}
		began[runner.RunID(run)] = true
	}
	if err := process.in.Close(); err != nil {
		t.Fatalf("drain: %v", err)
	}
	// It must go on for its runs, so it is given time to end wrongly.
	select {
	case <-process.ended:
		t.Fatal("the process ended while it executed runs")
	case <-time.After(300 * time.Millisecond):
	}
	st.release()
	process.leaves()
	for _, id := range ids {
		want := runner.Queued
		if began[id] {
			want = runner.Succeeded
		}
		if got := st.run(id); got.State != want {
			t.Errorf("after the drain run %s is %s, want %s", id, got.State, want)
		}
	}
	next := st.start()
	for _, run := range st.finals(ids...) {
		if got := st.effects(run.ID); run.State != runner.Succeeded || len(got) != 1 || got["only/1"] != 1 {
			t.Errorf("run %s is %s with effects %v", run.ID, run.State, got)
		}
	}
	next.drain()
}

// testShutdown forces a process to stop: its run goes on in the next one.
func testShutdown(t *testing.T, s Subject) {
	st := newStage(t, s)
	id := st.submit(request("shutdown", 0, workflow{Parallel: 2, Jobs: []task{
		{Name: "a"}, {Name: "b", Needs: []string{"a"}, Do: doHold}, {Name: "c", Needs: []string{"b"}, When: runner.Always},
	}}))[0]
	process := st.start()
	process.await(fmt.Sprintf("attempt %s b 1 begins", id), 0)
	asked := time.Now()
	process.tell("force")
	process.leaves()
	if took := time.Since(asked); took > 5*time.Second {
		t.Errorf("the forced stop took %s", took)
	}
	if run := st.run(id); run.State != runner.Queued {
		t.Errorf("after the shutdown the run is %s", run.State)
	}
	st.release()
	next := st.start()
	run := st.finals(id)[0]
	attempts := st.attempts(id)
	for job, want := range map[string]string{"a": "succeeded", "b": "canceled/shutdown succeeded", "c": "succeeded"} {
		if got := states(attempts[job]); got != want {
			t.Errorf("job %s: %s, want %s", job, got, want)
		}
	}
	if run.State != runner.Succeeded {
		t.Errorf("run %+v", run)
	}
	next.drain()
}

// testLocks lets two runs want the same lock: they run one after the other,
// also when its holder is killed.
func testLocks(t *testing.T, s Subject) {
	st := newStage(t, s)
	locked := func(n int) runner.Request {
		return request("locks", n, workflow{Parallel: 2, Jobs: []task{{Name: "only", Do: doHold, Millis: 50, Locks: []string{"suite/lock", "suite/other"}}}})
	}
	ids := st.submit(locked(0), locked(1))
	first := st.start()
	// One begins, the other waits; which of them says so first is open.
	one, next := first.await("attempt ", 0)
	two, _ := first.await("attempt ", next)
	if strings.Contains(one, "waits") {
		one, two = two, one
	}
	holder := ids[0]
	if strings.Contains(one, string(ids[1])) {
		holder = ids[1]
	}
	if !strings.HasSuffix(one, string(holder)+" only 1 begins") || !strings.HasSuffix(two, "only 1 waits for suite/lock of "+string(holder)) {
		t.Errorf("%q and %q, want that one begins and the other waits for its lock", one, two)
	}
	first.kill()
	st.release()
	second := st.start()
	// An attempt that finds another one inside fails.
	for _, run := range st.finals(ids...) {
		of := st.attempts(run.ID)["only"]
		if run.State != runner.Succeeded {
			t.Errorf("run %s is %s: %s", run.ID, run.State, of[len(of)-1].Error)
		}
	}
	second.drain()
}
