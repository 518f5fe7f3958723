package queuetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// The deaths of a role that kills itself on the way of a run to its handler.
const (
	dieSubmitted = "submitted" // the run is on record and not delivered
	dieDelivered = "delivered" // it is delivered and not fetched
	dieFetched   = "fetched"   // it is fetched and not claimed
)

// die ends this process as kill -9 does.
func (p *player) die() {
	p.say("dies")
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		p.say("dies in vain: %s", oneLine(err))
	}
	select {}
}

// testKills kills a process at each moment between the record of a run and its
// claim. The sweep of another one, which lives already where several may, finds
// the run, and it is executed once.
func testKills(t *testing.T, s Subject) {
	for _, death := range []string{dieSubmitted, dieDelivered, dieFetched} {
		t.Run(death, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, s)
			var survivor *child
			var held runner.RunID
			if s.Several {
				// Its only slot is taken, so that it is the victim who fetches.
				survivor, held = st.startBusy()
			}
			victim := st.start(func(r *role) {
				r.Die = death
				r.Submit = []runner.Request{request("kills", 0, workflow{Parallel: 1, Jobs: []task{{Name: "only"}}})}
			})
			victim.killsItself()
			runs, err := st.ledger.Runs(t.Context(), runner.Filter{Workflow: "kills", Limit: 2})
			if err != nil || len(runs) != 1 || runs[0].State != runner.Queued || len(st.attempts(runs[0].ID)) != 0 {
				t.Fatalf("after the kill the runs are %+v, %v", runs, err)
			}
			id := runs[0].ID
			st.release()
			if survivor == nil {
				survivor = st.start()
			} else {
				st.finals(held)
			}
			run := st.finals(id)[0]
			if got := st.effects(id); run.State != runner.Succeeded || run.Node != survivor.role.Node || len(got) != 1 || got["only/1"] != 1 {
				t.Errorf("run %s on %s with effects %v", run.State, run.Node, got)
			}
			survivor.drain()
		})
	}
}

// startBusy starts a process of one slot that executes a run until release.
func (st *stage) startBusy() (*child, runner.RunID) {
	st.t.Helper()
	busy := st.start(func(r *role) { r.Slots, r.Lease = 1, time.Minute })
	id := st.submit(request("busy", 0, workflow{Parallel: 1, Jobs: []task{{Name: "only", Do: doHold}}}))[0]
	busy.await(fmt.Sprintf("attempt %s only 1 begins", id), 0)
	return busy, id
}

// killsItself waits until the process has done so.
func (c *child) killsItself() {
	c.st.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.st.t.Fatalf("%s does not die", c.role.Node)
	}
	c.await("dies", 0)
	failure, ok := errors.AsType[*exec.ExitError](c.exit)
	if !ok {
		c.st.t.Fatalf("%s ended with %v", c.role.Node, c.exit)
	}
	if status, ok := failure.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		c.st.t.Fatalf("%s ended with %v, want a kill", c.role.Node, c.exit)
	}
}

// testTakeover kills a process while it executes a run, with a child that goes
// on; one that lives already takes over when the lease is over.
func testTakeover(t *testing.T, s Subject) {
	st := newStage(t, s)
	survivor, held := st.startBusy()
	victim := st.start(func(r *role) { r.Lease = 2 * time.Second })
	id := st.submit(request("takeover", 0, workflow{Parallel: 1, Jobs: []task{{Name: "a"}, {Name: "b", Needs: []string{"a"}, Do: doChild}}}))[0]
	st.waitFor("the child", func() bool {
		_, err := os.Stat(filepath.Join(st.dir, childFile))
		return err == nil
	})
	victim.kill()
	st.release()
	st.finals(held)
	run := st.finals(id)[0]
	attempts := st.attempts(id)
	if run.State != runner.Succeeded || run.Node != survivor.role.Node || states(attempts["a"]) != "succeeded" || states(attempts["b"]) != "lost/crash succeeded" {
		t.Errorf("run %s on %s, a %s, b %s", run.State, run.Node, states(attempts["a"]), states(attempts["b"]))
	}
	if got := st.effects(id); len(got) != 2 || got["a/1"] != 1 || got["b/2"] != 1 {
		t.Errorf("effects %v", got)
	}
	survivor.drain()
	for _, said := range survivor.said() {
		if strings.HasPrefix(said, "lease lost") {
			t.Error("the survivor lost its lease")
		}
	}
}
