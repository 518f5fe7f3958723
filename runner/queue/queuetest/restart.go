package queuetest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// testRestart lets a job kill the process that executes it. The next process
// goes on with the same attempt, waits for what the job left at work, and
// judges by what is there then.
func testRestart(t *testing.T, s Subject) {
	for name, want := range map[string]struct{ do, run, job string }{
		"Well":  {doRestart, "succeeded", "succeeded"},
		"Badly": {doBreak, "failed/error", "failed/error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, s)
			id := st.submit(request("restart", 0, workflow{Parallel: 1, Jobs: []task{
				{Name: "before"},
				{Name: "upgrade", Needs: []string{"before"}, Do: want.do, Locks: []string{"suite/upgrade"}},
				{Name: "after", Needs: []string{"upgrade"}, When: runner.Always},
			}}))[0]
			// The private folder of the attempt is the node's.
			self := func(r *role) { r.Node = "self" }
			first := st.start(self)
			<-first.ended
			if first.exit == nil {
				t.Fatal("the process ended by itself: the test proves nothing")
			}
			if got := st.attempts(id)["upgrade"]; len(got) != 1 || got[0].State != runner.Running || got[0].Planned == "" {
				t.Fatalf("after the kill the job is on record as %+v", got)
			}
			second := st.start(self)
			run := st.finals(id)[0]
			attempts := st.attempts(id)
			if got := states([]runner.Attempt{{State: run.State, Reason: run.Reason}}); got != want.run || states(attempts["upgrade"]) != want.job || states(attempts["after"]) != "succeeded" {
				t.Errorf("run %s (%s), upgrade %s, after %s", got, run.Message, states(attempts["upgrade"]), states(attempts["after"]))
			}
			upgrade := attempts["upgrade"][0]
			if upgrade.Number != 1 || upgrade.Epoch != run.Epoch || !attempts["after"][0].StartedAt.After(upgrade.FinishedAt.Add(-1)) {
				t.Errorf("upgrade %+v", upgrade)
			}
			out, err := st.ledger.Output(t.Context(), upgrade.Key())
			text := string(out.Head)
			// The proof said nothing useful while the program was at work: it
			// was only asked after that.
			rest := text
			for _, line := range []string{"unpacking\n", "-- upkeep has been started again", "configuring\n", "configured\n", "looking\n"} {
				_, after, found := strings.Cut(rest, line)
				if !found {
					t.Errorf("output %q, %v: %q is missing or out of order", text, err, line)
					break
				}
				rest = after
			}
			if left, err := filepath.Glob(filepath.Join(st.dir, "work-*", "*")); err != nil || len(left) > 1 {
				t.Errorf("private folders are left: %v, %v", left, err)
			}
			if want.do == doRestart {
				if _, err := os.Stat(filepath.Join(st.dir, upgradedFile)); err != nil {
					t.Errorf("the program was ended with upkeep: %v", err)
				}
			}
			second.drain()
		})
	}
}

// testRestartInGoodOrder drains the process while a job waits for just that:
// the job is not waited for and not ended, and the next process judges it.
func testRestartInGoodOrder(t *testing.T, s Subject) {
	st := newStage(t, s)
	self := func(r *role) { r.Node = "self" }
	id := st.submit(request("restart", 1, workflow{Parallel: 2, Jobs: []task{
		{Name: "upgrade", Do: doAsk}, {Name: "beside", Millis: 1500}, {Name: "after", Needs: []string{"upgrade"}},
	}}))[0]
	first := st.start(self)
	st.waitFor("the program", func() bool {
		_, err := os.Stat(filepath.Join(st.dir, askedFile))
		return err == nil
	})
	asked := time.Now()
	first.drain()
	if took := time.Since(asked); took > 20*time.Second {
		t.Errorf("the drain took %s: the job was waited for", took)
	}
	attempts := st.attempts(id)
	if run := st.run(id); run.State != runner.Queued || states(attempts["upgrade"]) != "running" || attempts["upgrade"][0].Planned == "" || states(attempts["beside"]) != "succeeded" {
		t.Errorf("given back as %s with upgrade %+v, beside %s", run.State, attempts["upgrade"], states(attempts["beside"]))
	}
	text, err := os.ReadFile(filepath.Join(st.dir, restartPIDFile))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || !lives(pid) {
		t.Errorf("the program %d was ended with upkeep, %v", pid, err)
	}
	second := st.start(self)
	second.await("attempt "+string(id)+" upgrade 1 begins", 0)
	st.release()
	run := st.finals(id)[0]
	attempts = st.attempts(id)
	for job, of := range attempts {
		if states(of) != "succeeded" || of[0].Number != 1 {
			t.Errorf("job %s: %s", job, states(of))
		}
	}
	if run.State != runner.Succeeded || len(attempts) != 3 {
		t.Errorf("run %s (%s) with %d jobs", run.State, run.Message, len(attempts))
	}
	second.drain()
}
