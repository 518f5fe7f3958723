package script_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/script"
)

func TestRun_CancelEndsTheTree(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop now")
	root := t.TempDir()
	started := filepath.Join(root, "started")
	go func() {
		for {
			if _, err := os.Stat(started); err == nil {
				cancel(stop)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	a := runIn(ctx, t, func(o *script.Options) {
		o.Run = shell(`setsid sh -c 'trap "" TERM; touch ` + started + `; sleep 600' & wait`)
	})
	if !errors.Is(a.err, stop) {
		t.Errorf("error %v does not wrap the cause", a.err)
	}
	if out := run(t, func(o *script.Options) { o.Run = shell("pgrep -f '" + started + "; [s]leep' || true") }); strings.TrimSpace(out.output) != "" {
		t.Errorf("processes of the canceled script live on: %s", out.output)
	}
}

func TestRun_Daemon(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ run, text string }{
		"holding the output": {"sleep 600 & echo started", "1 process outlived the program and was ended"},
		"two, detached":      {"for i in 1 2; do setsid sleep 600 </dev/null >/dev/null 2>&1 & done; echo started", "2 processes outlived the program and were ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			a := run(t, func(o *script.Options) { o.Run = shell(tt.run) })
			want := jobs.Finding{ID: "escaped", Severity: jobs.Warning, Text: tt.text}
			if a.err != nil || len(a.result.Findings) != 1 || a.result.Findings[0] != want || a.result.Summary != "started" {
				t.Errorf("result %+v, error %v", a.result, a.err)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("a background process held the run up for %s", took)
			}
		})
	}
}

// flood counts what a program writes, and keeps nothing.
type flood struct {
	bytes   atomic.Int64
	reached func()
}

func (f *flood) Write(p []byte) (int, error) {
	if f.bytes.Add(int64(len(p))) > 1<<20 && f.reached != nil {
		f.reached()
	}
	return len(p), nil
}

func TestRun_Flood(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text, result string
		endless      bool
	}{
		"of lines":       {text: "yes | head -c 100000000; echo; echo end", result: "exit"},
		"without a line": {text: "head -c 100000000 /dev/zero; echo; echo end", result: "nagios"},
		"without end":    {text: "yes", result: "exit", endless: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := script.Kind()
			o := jobstest.Options[script.Options](t, kind.Options())
			o.Run, o.Result = shell(tt.text), tt.result
			job, err := kind.Build(o, jobstest.NewDeps(t))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			out, stop := &flood{}, errors.New("stop now")
			if tt.endless {
				out.reached = func() { cancel(stop) }
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := job.Run(ctx, environment(t, o, out))
			runtime.ReadMemStats(&after)
			if tt.endless {
				if !errors.Is(err, stop) {
					t.Errorf("error %v does not wrap the cause", err)
				}
				return
			}
			if err != nil || out.bytes.Load() < 100_000_000 {
				t.Errorf("error %v after %d bytes", err, out.bytes.Load())
			}
			if want := map[string]string{"exit": "end", "nagios": "no output"}[tt.result]; r.Summary != want {
				t.Errorf("summary %q, want %q", r.Summary, want)
			}
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
		})
	}
}

func TestRun_AsAnotherUser(t *testing.T) {
	t.Parallel()
	as := func(user string) attempt {
		return run(t, func(o *script.Options) {
			o.Run, o.Result, o.User = shell(`id -un; printf '{"schema":1,"summary":"%s at %s"}' "$(id -un)" "$HOME" > "$UPKEEP_RESULT"`), "json", user
			o.Dir = "/"
		})
	}
	if os.Geteuid() != 0 {
		if a := as("root"); a.err == nil || jobs.HintOf(a.err) == "" {
			t.Errorf("an ordinary user ran a script as root: error %v, hint %q", a.err, jobs.HintOf(a.err))
		}
		return
	}
	if a := as("nobody"); a.err != nil || a.result.Summary != "nobody at /nonexistent" {
		t.Errorf("summary %q, err %v", a.result.Summary, a.err)
	}
	if a := as("no-such-user"); a.err == nil || jobs.HintOf(a.err) != "create the user or correct `user:`" {
		t.Errorf("error %v, hint %q", a.err, jobs.HintOf(a.err))
	}
}

func TestRun_Limits(t *testing.T) {
	t.Parallel()
	a := run(t, func(o *script.Options) {
		o.Run, o.Nice = shell("nice; cat /proc/self/limits"), 5
		o.Limits = script.Limits{CPU: unit.Duration(90 * time.Second), Memory: 1 << 30, Files: 123, FileSize: 1 << 20, Processes: 77, Core: 4096}
	})
	if a.err != nil || !strings.HasPrefix(a.output, "5\n") {
		t.Errorf("niceness: %q, error %v", a.output, a.err)
	}
	for name, want := range map[string]string{
		"Max cpu time": "90", "Max address space": "1073741824", "Max open files": "123",
		"Max file size": "1048576", "Max processes": "77", "Max core file size": "4096",
	} {
		if _, rest, ok := strings.Cut(a.output, name); !ok || strings.Fields(rest)[0] != want {
			t.Errorf("%s is not %s:\n%s", name, want, a.output)
		}
	}
	none := run(t, func(o *script.Options) { o.Run = shell("ulimit -c") })
	if none.output != "0\n" {
		t.Errorf("core files of %q blocks, want none by default", none.output)
	}
}

// TestRun_AfterAKill lets a process of upkeep die while its script runs as a
// user: what it left in the folder for temporary files goes with the next
// attempt, and the script is no more.
func TestRun_AfterAKill(t *testing.T) {
	folder, err := os.MkdirTemp("", "script-kill-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	started := filepath.Join(folder, "started")
	asMyself := func(text string) func(*script.Options) {
		return func(o *script.Options) {
			o.Run, o.Result = shell(text), "json"
			o.User = fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
		}
	}
	if os.Getenv("SCRIPT_VICTIM") != "" {
		run(t, asMyself("echo half > \"$UPKEEP_RESULT\"; echo $$ > "+os.Getenv("SCRIPT_VICTIM")+"; exec sleep 600"))
		t.Fatal("the victim outlived its script")
	}
	left := func() []string {
		found, err := filepath.Glob(filepath.Join(folder, "upkeep-result-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRun_AfterAKill$")
	victim.Env = append(os.Environ(), "SCRIPT_VICTIM="+started, "TMPDIR="+folder)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	pid := waitFor(t, started)
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := victim.Wait(); err == nil {
		t.Fatal("the victim was not killed")
	}
	if n := len(left()); n != 1 {
		t.Fatalf("the kill left %d result folders, want 1: it came too late or too early", n)
	}
	t.Setenv("TMPDIR", folder)
	a := run(t, asMyself(write(`{"schema":1,"summary":"again"}`)))
	if a.err != nil || a.result.Summary != "again" {
		t.Errorf("the next attempt: %+v, %v", a.result, a.err)
	}
	if found := left(); len(found) != 0 {
		t.Errorf("left after the next attempt: %q", found)
	}
	for deadline := time.Now().Add(30 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the script of the killed process lives on")
		}
	}
}

// waitFor waits for a file with a number in it.
func waitFor(t *testing.T, path string) int {
	t.Helper()
	for range 3000 {
		var number int
		text, err := os.ReadFile(path)
		if err == nil {
			if _, err := fmt.Sscan(string(text), &number); err == nil && strings.HasSuffix(string(text), "\n") {
				return number
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s was not written", path)
	return 0
}
