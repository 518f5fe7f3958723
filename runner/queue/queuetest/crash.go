package queuetest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/runner"
)

// testCrash kills the process in the second of three jobs, whose child goes on
// living, and lets another process continue.
func testCrash(t *testing.T, s Subject) {
	st := newStage(t, s)
	id := st.submit(request("crash", 0, workflow{Parallel: 1, Jobs: []task{
		{Name: "a"}, {Name: "b", Needs: []string{"a"}, Do: doChild, Locks: []string{"suite/b"}}, {Name: "c", Needs: []string{"b"}},
	}}))[0]
	first := st.start()
	var pid int
	st.waitFor("the child", func() bool {
		text, err := os.ReadFile(filepath.Join(st.dir, childFile))
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(text))
		return err == nil
	})
	t.Cleanup(func() {
		if lives(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may just have ended
		}
	})
	first.kill()
	if !lives(pid) {
		t.Fatal("the child died with its parent: the test proves nothing")
	}
	if got := states(st.attempts(id)["b"]); got != "running" {
		t.Fatalf("after the kill job b is on record as %q", got)
	}
	second := st.start()
	run := st.finals(id)[0]
	attempts := st.attempts(id)
	for job, want := range map[string]string{"a": "succeeded", "b": "lost/crash succeeded", "c": "succeeded"} {
		if got := states(attempts[job]); got != want {
			t.Errorf("job %s: %s, want %s", job, got, want)
		}
	}
	if run.State != runner.Succeeded || run.Node != second.role.Node || run.Epoch < 2 {
		t.Errorf("run %+v", run)
	}
	if got := st.effects(id); len(got) != 3 || got["a/1"] != 1 || got["b/2"] != 1 || got["c/1"] != 1 {
		t.Errorf("effects %v", got)
	}
	if lives(pid) {
		t.Errorf("process %d of the dead attempt lives on", pid)
	}
	out, err := st.ledger.Output(t.Context(), runner.AttemptKey{Run: id, Job: "b", Number: 1})
	if err != nil || string(out.Head) != "b begins\n" {
		t.Errorf("output of the dead attempt: %q, %v", out.Head, err)
	}
	second.drain()

	// A run that has failed is continued by a retry.
	if err := os.Remove(filepath.Join(st.dir, childFile)); err != nil {
		t.Fatal(err)
	}
	if err := st.ledger.Reopen(t.Context(), id, []string{"c"}, "suite"); err != nil {
		t.Fatalf("reopen: %v", err)
	}
	third := st.start()
	run = st.finals(id)[0]
	if got := st.effects(id); run.State != runner.Succeeded || got["a/1"] != 1 || len(got) != 4 || got["c/2"] != 1 {
		t.Errorf("after the retry from c: run %s, effects %v", run.State, got)
	}
	third.drain()
}

// lives tells whether a process runs; a zombie does not.
func lives(pid int) bool {
	state := processState(pid)
	return state != "" && state != "Z" && state != "X"
}

// processState returns the letter of a process's state (proc(5)), or the empty
// string when there is no such process.
func processState(pid int) string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	state, _, _ := strings.Cut(rest, " ")
	return state
}
