package queuetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
