package queuetest

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// testZombie stops a process, lets another one take its run over, and wakes
// the first: whatever it writes late is refused.
func testZombie(t *testing.T, s Subject) {
	st := newStage(t, s)
	id := st.submit(request("zombie", 0, workflow{Parallel: 1, Jobs: []task{
		{Name: "before"}, {Name: "held", Needs: []string{"before"}, Do: doHold}, {Name: "after", Needs: []string{"held"}},
	}}))[0]
	zombie := st.start(func(r *role) { r.Lease, r.Late = time.Second, true })
	zombie.await(fmt.Sprintf("attempt %s held 1 begins", id), 0)
	zombie.tell("freeze")
	st.waitFor("the stop of the process", func() bool { return processState(zombie.cmd.Process.Pid) == "T" })
	stopped := len(zombie.said())
	next := st.start(func(r *role) { r.Lease = time.Minute })
	next.await(fmt.Sprintf("attempt %s held 2 begins", id), 0)
	st.release()
	run := st.finals(id)[0]
	if err := zombie.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatalf("continue: %v", err)
	}
	zombie.await("late done", 0)
	zombie.await("lease lost", 0)
	// Once drained it has done all that it ever will.
	zombie.drain()
	next.drain()

	refused, through := 0, []string{}
	for _, said := range zombie.said()[stopped:] {
		switch {
		case strings.HasPrefix(said, "late ") && strings.Contains(said, "stale true"):
			refused++
		case strings.HasPrefix(said, "late done"), strings.HasPrefix(said, "beat"), strings.HasPrefix(said, "lease lost"),
			strings.HasPrefix(said, "sweep failed"), strings.HasPrefix(said, "heartbeat failed"):
		default:
			through = append(through, said)
		}
	}
	if refused != 7 {
		t.Errorf("%d late writes were refused, want all 7", refused)
	}
	if len(through) > 0 {
		t.Errorf("after it was continued the zombie wrote or told: %s", strings.Join(through, "; "))
	}
	attempts := st.attempts(id)
	for job, want := range map[string]string{"before": "succeeded", "held": "lost/crash succeeded", "after": "succeeded", "late": ""} {
		if got := states(attempts[job]); got != want {
			t.Errorf("job %s: %s, want %s", job, got, want)
		}
	}
	after := st.run(id)
	if run.State != runner.Succeeded || after.State != runner.Succeeded || after.Epoch != run.Epoch || after.Node != next.role.Node || !after.FinishedAt.Equal(run.FinishedAt) {
		t.Errorf("the run was %+v and is %+v", run, after)
	}
}
