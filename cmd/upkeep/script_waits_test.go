package main_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// glance is how often a script looks whether what it waits for has come.
const glance = 30 * time.Millisecond

// waitFor calls look until it says yes, within the patience of scripts.
func waitFor(ts *testscript.TestScript, pause time.Duration, look func() bool, tell func() string) {
	for deadline := time.Now().Add(patience); !look(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			ts.Fatalf("waited too long: %s", tell())
		}
	}
}

// appears PATTERN FILE waits until a file has the pattern.
func appears(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: appears PATTERN FILE")
	}
	pattern := regexp.MustCompile(`(?m)` + args[0])
	var text []byte
	waitFor(ts, glance, func() bool {
		text, _ = os.ReadFile(ts.MkAbs(args[1])) // it may not be there yet
		return pattern.Match(text)
	}, func() string { return args[1] + " has no " + args[0] + "\n" + string(text) })
}

// until PATTERN COMMAND… repeats a command until its output has the pattern.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND [ARGUMENT…]")
	}
	pattern := regexp.MustCompile(`(?m)` + args[0])
	waitFor(ts, 4*glance, func() bool {
		_ = ts.Exec(args[1], args[2:]...) // how it ends is told by its output
		return pattern.MatchString(ts.ReadFile("stdout"))
	}, func() string { return args[0] + " did not come\n" + ts.ReadFile("stdout") + ts.ReadFile("stderr") })
}

// save NAME PATTERN FILE sets a variable to the first group of the pattern's
// first match in a file, stdout or stderr.
func save(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: save NAME PATTERN FILE")
	}
	m := regexp.MustCompile(`(?m)` + args[1]).FindStringSubmatch(ts.ReadFile(args[2]))
	if len(m) < 2 {
		ts.Fatalf("%s has no %s\n%s", args[2], args[1], ts.ReadFile(args[2]))
	}
	ts.Setenv(args[0], m[1])
}

// freeze NAME DB stops a process in the background at a moment at which it does
// not hold the write lock of an SQLite database.
func freeze(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: freeze NAME DB")
	}
	a := actorOf(ts, args[0])
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[1]))
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	waitFor(ts, glance, func() bool {
		ts.Check(a.cmd.Process.Signal(syscall.SIGSTOP))
		// One of its threads may still be on its way into a transaction.
		waitFor(ts, time.Millisecond, func() bool { return stopped(ts, a.cmd.Process.Pid) }, func() string { return "it does not stop" })
		if _, err = db.ExecContext(context.Background(), "BEGIN IMMEDIATE; ROLLBACK"); err == nil {
			return true
		}
		ts.Check(a.cmd.Process.Signal(syscall.SIGCONT))
		return false
	}, func() string { return err.Error() })
}

// stopped tells whether every thread of a process stands still.
func stopped(ts *testscript.TestScript, pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	ts.Check(err)
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			return false // a thread that has ended since
		}
		if _, state, ok := bytes.Cut(stat, []byte(") ")); !ok || state[0] != 'T' {
			return false
		}
	}
	return len(threads) > 0
}
