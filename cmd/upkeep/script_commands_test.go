package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait of a script.
const patience = 60 * time.Second

type command = func(ts *testscript.TestScript, neg bool, args []string)

// scriptCommands are the commands of our scripts beside those of testscript.
func scriptCommands() map[string]command {
	return map[string]command{
		"code":    code,
		"start":   start,
		"signal":  sendSignal,
		"ended":   ended,
		"fifo":    fifo,
		"await":   await,
		"gone":    gone,
		"normal":  normal,
		"tree":    tree,
		"absent":  absent,
		"present": present,
		"freeze":  freeze,
		"sqlite":  execSQLite,
		"pty":     pty,
		"appears": appears,
		"until":   until,
		"save":    save,
	}
}

// code N COMMAND… runs a command that must exit with N; -1 stands for a signal.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND [ARGUMENT…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	failed, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		ts.Fatalf("%v", err)
	}
	got := 0
	if ok {
		got = failed.ExitCode()
	}
	if want := args[0]; strconv.Itoa(got) != want {
		ts.Fatalf("exit code %d, want %s\nstdout:\n%s\nstderr:\n%s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// fifo NAME… makes named pipes, over which jobs tell scripts how far they are.
func fifo(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Check(syscall.Mkfifo(ts.MkAbs(name), 0o600))
	}
}

// await NAME… waits until somebody has written to each of the pipes and closed
// it.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		path := ts.MkAbs(name)
		done := make(chan error, 1)
		go func() {
			_, err := os.ReadFile(path)
			done <- err
		}()
		select {
		case err := <-done:
			ts.Check(err)
		case <-time.After(patience):
			// Lets the reader go.
			if f, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
				ts.Check(f.Close())
			}
			ts.Fatalf("nobody wrote to %s", name)
		}
	}
}

// gone FILE… checks that no process of a number in the files exists.
func gone(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		pids := strings.Fields(ts.ReadFile(name))
		if len(pids) == 0 {
			ts.Fatalf("%s names no process", name)
		}
		for _, text := range pids {
			pid, err := strconv.Atoi(text)
			ts.Check(err)
			if alive := lives(pid); alive != neg {
				ts.Fatalf("process %d of %s: alive = %v", pid, name, alive)
			}
		}
	}
}

// lives tells whether a process exists and is more than a zombie.
func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := stat[bytes.LastIndexByte(stat, ')')+1:]
	return len(rest) > 1 && rest[1] != 'Z' && rest[1] != 'X'
}

var (
	runIDs   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	changing = []struct{ pattern, by string }{
		{`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})`, "INSTANT"},
		{`\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}`, "TIME"},
		{`\b\d{2}:\d{2}:\d{2}\b`, "TIME"},
		{`("(?:duration_seconds|cpu_seconds|max_rss_bytes)": )[0-9.e+-]+`, "${1}0"},
		{`(_seconds = )[0-9.e+-]+`, "${1}0"},
		{`\b\d{8}-\d{6}\.\d{3}-[a-z0-9]{10}\b`, "ARTIFACT"},
		{`(manifest\.json) \([^)]*\)`, "$1 (SIZE)"},
		{`\b(in )\d+(\.\d+)?(ms|µs|s|m\d+s)\b`, "${1}TOOK"},
		{`( {2,})\d+(\.\d+)?(ms|µs|s|m\d+s)( {2,})`, "  TOOK  "},
		{`\bINSTANT,\d+\.\d{3}\b`, "INSTANT,SECONDS"},
		{`[^\s"]+@\S+ \(cli\)`, "SOMEBODY"},
		{`\bpid \d+\b`, "pid PID"},
		{`(\S) {2,}`, "$1  "}, // columns are as wide as what varies
	}
)

// normal FROM TO writes FROM (a file, stdout or stderr) to TO with everything
// replaced that differs from run to run: IDs become RUN1, RUN2 … in the order
// of their first appearance.
func normal(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: normal FROM TO")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK"), "$WORK")
	names := map[string]string{}
	text = runIDs.ReplaceAllStringFunc(text, func(id string) string {
		if names[id] == "" {
			names[id] = fmt.Sprintf("RUN%d", len(names)+1)
		}
		return names[id]
	})
	for _, c := range changing {
		text = regexp.MustCompile(c.pattern).ReplaceAllString(text, c.by)
	}
	host, err := os.Hostname()
	ts.Check(err)
	text = strings.ReplaceAll(text, `"node": "`+host+`"`, `"node": "NODE"`)
	text = strings.ReplaceAll(text, " on "+host, " on HOST")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// tree FOLDER FILE writes what a folder holds: path, mode, size and digest.
func tree(ts *testscript.TestScript, _ bool, args []string) {
	root := ts.MkAbs(args[0])
	var b strings.Builder
	ts.Check(filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %s", rel, info.Mode())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %x %s", info.Size(), sha256.Sum256(content), info.ModTime())
		}
		b.WriteByte('\n')
		return nil
	}))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o600))
}

// absent TEXT PATH… checks that no file, and no file below a folder, holds the
// text, which may use the escapes of Go. present is its counterpart: one of
// them must.
func absent(ts *testscript.TestScript, _ bool, args []string) {
	if found := holding(ts, args); found != "" {
		ts.Fatalf("%s holds %q", found, args[0])
	}
}

func present(ts *testscript.TestScript, _ bool, args []string) {
	if holding(ts, args) == "" {
		ts.Fatalf("nothing of %v holds %q", args[1:], args[0])
	}
}

func holding(ts *testscript.TestScript, args []string) (found string) {
	text, err := strconv.Unquote(`"` + args[0] + `"`)
	ts.Check(err)
	looked := 0
	for _, name := range args[1:] {
		if name == "stdout" || name == "stderr" {
			looked++
			if strings.Contains(ts.ReadFile(name), text) {
				found = name
			}
			continue
		}
		ts.Check(filepath.WalkDir(ts.MkAbs(name), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			looked++
			content, err := os.ReadFile(path)
			if err == nil && bytes.Contains(content, []byte(text)) {
				found = path
			}
			return err
		}))
	}
	if looked == 0 {
		ts.Fatalf("there is nothing to look into")
	}
	return found
}

// sqlite FILE SQL changes an SQLite file.
func execSQLite(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = db.ExecContext(context.Background(), args[1])
	ts.Check(errors.Join(err, db.Close()))
}
