package queuetest

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/runner"
)

// testSecrets looks for the secret that doLeak tells: in the ledger as it
// rests and as it is read, in the program's log and events, in live output,
// and in the arguments of every process that the suite started.
func testSecrets(t *testing.T, s Subject) {
	st := newStage(t, s)
	id := st.submit(request("secrets", 0, workflow{Parallel: 1, Jobs: []task{{Name: "leaks", Do: doLeak}}}))[0]
	process := st.start()
	process.await(fmt.Sprintf("attempt %s leaks 1 begins", id), 0)
	looked, live := 0, 0
	var run runner.Run
	st.waitFor("the end of the run", func() bool {
		looked += st.checkArguments(process.cmd.Process.Pid)
		out, err := st.ledger.Output(t.Context(), runner.AttemptKey{Run: id, Job: "leaks", Number: 1})
		if err == nil && bytes.Contains(out.Head, []byte("from a child")) {
			live++
			st.checkClean("the live output", out.Head)
		}
		run = st.run(id)
		return run.State.Final()
	})
	process.drain()
	if looked == 0 || live == 0 {
		t.Errorf("looked into %d child processes and %d live outputs: the test proves nothing", looked, live)
	}
	attempt := st.attempts(id)["leaks"][0]
	if attempt.State != runner.Failed || !strings.Contains(attempt.Error, "refused") {
		t.Errorf("attempt %+v", attempt)
	}
	out, err := st.ledger.Output(t.Context(), attempt.Key())
	if err != nil || !bytes.Contains(out.Head, []byte("from a child:")) || !bytes.Contains(out.Head, []byte("in two writes:")) || !bytes.Contains(out.Head, []byte("encoded:")) {
		t.Errorf("output %q, %v", out.Head, err)
	}
	st.checkClean("the record of the attempt", fmt.Appendf(nil, "%+v", attempt))
	st.checkClean("the record of the run", fmt.Appendf(nil, "%+v", st.run(id)))
	st.checkClean("the output", append(out.Head, out.Tail...))
	st.checkClean("the program's log", []byte(process.err.String()))
	st.checkClean("the program's events", []byte(strings.Join(process.said(), "\n")))
	contents := s.Contents(t, st.address)
	if !bytes.Contains(contents, []byte("secrets")) {
		t.Errorf("the contents of the ledger (%d bytes) do not even name the workflow", len(contents))
	}
	st.checkClean("the ledger at rest", contents)
}

// checkClean fails when text tells the secret in one of the forms in which it
// was told.
func (st *stage) checkClean(what string, text []byte) {
	st.t.Helper()
	for _, form := range []string{secretText, url.QueryEscape(secretText), url.PathEscape(secretText), secretText[:len(secretText)/2] + "\n"} {
		if bytes.Contains(text, []byte(form)) {
			st.t.Errorf("%s tells the secret as %q: %q", what, form, text)
		}
	}
}

// checkArguments looks at the arguments of all descendants of a process and
// returns how many there were.
func (st *stage) checkArguments(root int) int {
	st.t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		st.t.Fatal(err)
	}
	parent := map[int]int{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || len(fields) < 2 {
			continue
		}
		if parent[pid], err = strconv.Atoi(fields[1]); err != nil {
			st.t.Fatalf("%s: %v", path, err)
		}
	}
	looked := 0
	for pid := range parent {
		if !descends(pid, root, parent) {
			continue
		}
		arguments, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if err != nil || len(arguments) == 0 {
			continue
		}
		if pid != root {
			looked++
		}
		st.checkClean("the command line of a process", arguments)
	}
	return looked
}

func descends(pid, root int, parent map[int]int) bool {
	for ; pid > 0; pid = parent[pid] {
		if pid == root {
			return true
		}
	}
	return false
}
