package child_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

func TestLeftoversAreEnded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, script string
		atLeast      int
	}{
		{"holds the output", "sleep 1000 & echo $!; exit 0", 1},
		{"silent", "sleep 1000 >/dev/null 2>&1 & echo $!; exit 0", 1},
		{"own session", "setsid sleep 1000 >/dev/null 2>&1 & echo $!; exit 0", 1},
		{"own session with the output", "setsid sleep 1000 & echo $!; exit 0", 1},
		{"double fork", "(setsid sh -c 'sleep 1000 & echo $!; sleep 1000 & echo $!; exit 0') ; exit 0", 2},
		{"daemon", "setsid sh -c '(sleep 1000 </dev/null >/dev/null 2>&1 & echo $!)'; exit 0", 1},
		{"no environment", "env -i setsid sleep 1000 & echo $!; exit 0", 1},
		{"ignores TERM", "(trap '' TERM HUP; echo $$; sleep 1000 & echo $!; wait; sleep 1000) & exit 0", 1},
		{"a tree", "for i in 1 2 3; do sh -c 'sleep 1000 & echo $!; sleep 1000 & echo $!; wait' & done; exit 0", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ways(t, func(t *testing.T, way func(child.Command) child.Command) {
				out := newOutput(t)
				c := way(script(test.script))
				c.Stdout, c.WaitDelay = out, 300*time.Millisecond
				began := time.Now()
				exit, err := child.Run(bound(t), c)
				if err != nil || exit.Code != 0 || exit.Escaped < max(1, test.atLeast) || exit.Stopped {
					t.Errorf("%+v, %v", exit, err)
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("it took %v", took)
				}
				wantGone(t, out.pids(), test.atLeast)
			})
		})
	}
}

func TestBackgroundThatEndsInTimeIsNoLeftover(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		out := newOutput(t)
		c := way(script("(sleep 0.3; echo tail) & exit 0"))
		c.Stdout, c.WaitDelay = out, 20*time.Second
		exit, err := child.Run(bound(t), c)
		if err != nil || exit.Escaped != 0 || exit.Killed || out.String() != "tail\n" {
			t.Errorf("%+v, %v, %q", exit, err, out)
		}
	})
}

func TestStopReachesTheWholeTree(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		ctx, cancel := context.WithCancel(t.Context())
		out := newOutput(t)
		c := way(script(`
			sleep 1000 & echo $!
			setsid sleep 1000 & echo $!
			setsid sh -c '(sleep 1000 </dev/null >/dev/null 2>&1 & echo $!)'
			echo $$
			(trap "" TERM; sleep 1000 & echo $!; echo ready; wait; sleep 1000) & wait`))
		c.Stdout, c.Grace = out, 300*time.Millisecond
		go func() { out.wait("ready"); cancel() }()
		exit, err := child.Run(ctx, c)
		if !errors.Is(err, context.Canceled) || !exit.Killed || exit.Remaining != 0 {
			t.Errorf("%+v, %v", exit, err)
		}
		wantGone(t, out.pids(), 4)
	})
}

func TestForkStorm(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		ctx, cancel := context.WithCancel(t.Context())
		out := newOutput(t)
		// Every process ignores TERM, and keeps forking sessions; 60 alive at most.
		storm := filepath.Join(t.TempDir(), "storm.sh")
		text := `trap '' TERM; n=0
		while [ $n -lt 60 ]; do n=$((n+1)); setsid sleep 1000 & echo $!; [ $n = 20 ] && echo ready; done
		wait`
		if err := os.WriteFile(storm, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := way(script("sh " + storm + " & sh " + storm + "; wait"))
		c.Stdout, c.Grace = out, -1
		go func() { out.wait("ready"); cancel() }()
		exit, err := child.Run(ctx, c)
		if !errors.Is(err, context.Canceled) || exit.Remaining != 0 {
			t.Errorf("%+v, %v", exit, err)
		}
		wantGone(t, out.pids(), 20)
	})
}

// playEliminate runs, in a process of its own, two commands at once. The first
// leaves a daemon without session, marks and output behind; only when the second
// has ended is it known whose it was.
func playEliminate() {
	ctx := context.Background()
	r, w := io.Pipe()
	second := make(chan child.Exit)
	hold := child.WithoutCgroup(child.Command{Argv: child.Shell("echo ready; cat"), Env: []string{path}, Stdin: r})
	lines := make(chan string, 10)
	hold.Stdout = lineWriter(lines)
	go func() {
		exit, err := child.Run(ctx, hold)
		if err != nil {
			panic(err)
		}
		second <- exit
	}()
	<-lines // the second is under way before the daemon starts
	first := child.WithoutCgroup(child.Command{
		// It ends only after the daemon has left everything: setsid runs sleep last.
		Argv: child.Shell(`env -i setsid sleep 1000 </dev/null >/dev/null 2>&1 &
			until tr '\0' ' ' </proc/$!/cmdline | grep -q '^sleep'; do :; done; echo $!`),
		Env: []string{path},
	})
	first.Stdout = lineWriter(lines)
	one, err := child.Run(ctx, first)
	if err != nil {
		panic(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(<-lines))
	if err != nil {
		panic(err)
	}
	between := syscall.Kill(pid, 0) == nil
	if err := w.Close(); err != nil {
		panic(err)
	}
	two := <-second
	report(map[string]any{"one": one.Escaped, "between": between, "two": two.Escaped, "after": syscall.Kill(pid, 0) == nil})
}

type lineWriter chan<- string

func (w lineWriter) Write(p []byte) (int, error) { w <- string(p); return len(p), nil }

func TestNamelessOrphanDiesWithTheLastSuspect(t *testing.T) {
	t.Parallel()
	var got map[string]any
	if err := json.Unmarshal(actor(t, "eliminate"), &got); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint(map[string]any{"one": 0.0, "between": true, "two": 1.0, "after": false})
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// actor plays a part to its end and returns what it printed.
func actor(t *testing.T, part string, env ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(bound(t), "/proc/self/exe")
	cmd.Env = append([]string{path, "CHILD_TEST_PART=" + part}, env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("part %s: %v", part, err)
	}
	return out
}

func TestOtherChildrenOfThisProcessAreLeftAlone(t *testing.T) {
	t.Parallel()
	// Commands by os/exec must get their own status, whatever is reaped meanwhile.
	stop := make(chan struct{})
	done := make(chan error)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			err := exec.Command("/bin/sh", "-c", "exit 5").Run()
			var failed *exec.ExitError
			if !errors.As(err, &failed) || failed.ExitCode() != 5 {
				done <- fmt.Errorf("command %d: %w", i, err)
				return
			}
		}
	}()
	for range 30 {
		c := child.WithoutCgroup(script("(setsid true &); (true &); exit 0"))
		if _, err := child.Run(bound(t), c); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
