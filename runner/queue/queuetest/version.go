package queuetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/runner"
)

// testNewerBinary lets a newer upkeep continue what an older one began, and an
// older one find what it does not understand.
func testNewerBinary(t *testing.T, s Subject) {
	st := newStage(t, s)
	id := st.submit(request("version", 0, workflow{Version: 1, Parallel: 1, Jobs: []task{
		{Name: "a"}, {Name: "b", Needs: []string{"a"}, Do: doHold},
	}}))[0]
	older := st.start(func(r *role) { r.Compiler = 1 })
	older.await(fmt.Sprintf("attempt %s b 1 begins", id), 0)
	older.kill()
	st.release()
	newer := st.start(func(r *role) { r.Compiler = 2 })
	if run := st.finals(id)[0]; run.State != runner.Succeeded {
		t.Errorf("run %+v", run)
	}
	if got := st.effects(id); len(got) != 2 || got["a/1"] != 1 || got["b/2"] != 1 {
		t.Errorf("effects %v", got)
	}
	newer.drain()

	id = st.submit(request("version", 1, workflow{Version: 2, Parallel: 1, Jobs: []task{{Name: "a"}}}))[0]
	older = st.start(func(r *role) { r.Compiler = 1 })
	run := st.finals(id)[0]
	if run.State != runner.Failed || run.Reason != runner.ReasonSpec || !strings.Contains(run.Message, "version 2") || !strings.Contains(run.Message, "use the newer upkeep") {
		t.Errorf("what an older upkeep does not understand: run %s/%s: %s", run.State, run.Reason, run.Message)
	}
	older.drain()
}
