package child_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// playTree is an upkeep that will be killed: it runs a command with children of
// all sorts, whose numbers its standard output tells.
func playTree() {
	c := child.Command{
		Argv: child.Shell(`
			sleep 1000 & echo $!
			setsid sleep 1000 >/dev/null 2>&1 & echo $!
			(trap "" TERM HUP; setsid sh -c 'sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; exit 0')
			[ -n "$NAMELESS" ] && { env -i setsid sh -c 'sleep 1000 & echo $!; sleep 1000 & echo $!; wait' & }
			echo main $$; echo ready; wait; sleep 1000`),
		Env:    []string{path, "NAMELESS=" + os.Getenv("NAMELESS")},
		Marks:  []string{"UPKEEP_RUN_ID=" + os.Getenv("RUN"), "UPKEEP_JOB=a/b"},
		Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if os.Getenv("WALK") != "" {
		c = child.WithoutCgroup(c)
	}
	exit, err := child.Run(context.Background(), c)
	fmt.Println("ended too early", exit, err)
}

// deadParent runs playTree, kills it without notice and returns what it left: all
// of its processes, and the main one among them.
func deadParent(t *testing.T, run string, env ...string) (pids []int, main int) {
	t.Helper()
	cmd := exec.CommandContext(bound(t), "/proc/self/exe")
	cmd.Env = append([]string{path, "CHILD_TEST_PART=tree", "RUN=" + run}, env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	want := 5
	if slices.Contains(env, "NAMELESS=1") {
		want = 7
	}
	lines := bufio.NewScanner(out)
	for n := 0; n < want && lines.Scan(); n++ {
		text, isMain := strings.CutPrefix(lines.Text(), "main ")
		pid, err := strconv.Atoi(text)
		switch {
		case isMain && err == nil:
			main = pid
		case err == nil:
			pids = append(pids, pid)
		case text != "ready":
			t.Fatalf("line %q", text)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var failed *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &failed) || failed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the parent was not killed: %v", err)
	}
	return append(pids, main), main
}

// It runs alone: this process may adopt what the killed one leaves, and commands
// of other tests would take the nameless ones for theirs.
func TestLeftoversOfAKilledParent(t *testing.T) { //nolint:paralleltest,tparallel // see above
	for _, test := range []struct {
		name   string
		env    []string
		cgroup bool
		left   int
	}{
		// Without a cgroup nothing can tell a daemon without environment from any other.
		{"walk", []string{"WALK=1"}, false, 3},
		{"cgroup", []string{"NAMELESS=1"}, true, 5},
	} {
		if test.cgroup && !child.HasCgroup() {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			run := fmt.Sprintf("dead-%s-%d-%d", test.name, os.Getpid(), marker.Add(1))
			marks := []string{"UPKEEP_RUN_ID=" + run}
			pids, main := deadParent(t, run, test.env...)
			wantGone(t, []int{main}, 1) // by the parent's death signal
			before := living(t, pids)
			if len(before) < test.left {
				t.Fatalf("%v of %v live before the sweep, want %d: the test proves nothing", before, pids, test.left)
			}
			other := stay(t, []string{"UPKEEP_RUN_ID=" + run + "-2"})
			own := stay(t, marks)

			swept, err := child.KillMarked(bound(t), child.Sweep{Marks: marks, Grace: 300 * time.Millisecond})
			if err != nil || swept.Killed < test.left || swept.Remaining != 0 {
				t.Errorf("%+v, %v", swept, err)
			}
			wantGone(t, pids, test.left)
			if test.cgroup && swept.Cgroups != 1 {
				t.Errorf("cgroups: %+v", swept)
			}
			other.wantAlive(t, "a command of another run")
			own.wantAlive(t, "a command this process has under way")
			again, err := child.KillMarked(bound(t), child.Sweep{Marks: marks, Since: time.Now().Add(-time.Hour)})
			if err != nil || again.Killed != 0 || again.Cgroups != 0 || os.Geteuid() == 0 && again.Unreadable != 0 {
				t.Errorf("second sweep: %+v, %v", again, err)
			}
			if test.cgroup {
				own.close(t)
				found, err := filepath.Glob(filepath.Join(child.CgroupParent(), child.CgroupPrefix(marks)+"*"))
				if err != nil || len(found) > 0 {
					t.Errorf("cgroups are left: %v, %v", found, err)
				}
			}
		})
	}
}

// staying is a command that runs until it is closed.
type staying struct {
	out *child.Reader
	pid int
}

func stay(t *testing.T, marks []string) *staying {
	t.Helper()
	c := script("echo $$; exec sleep 1000")
	c.Marks, c.Grace = marks, -1
	out, err := child.Output(bound(t), c)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s := &staying{out: out}
	if s.pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close(t) })
	return s
}

func (s *staying) wantAlive(t *testing.T, what string) {
	t.Helper()
	if len(living(t, []int{s.pid})) != 1 {
		t.Errorf("%s was killed", what)
	}
}

func (s *staying) close(t *testing.T) {
	if err := s.out.Close(); err != nil {
		t.Error(err)
	}
}

func TestSweepRefuses(t *testing.T) {
	t.Parallel()
	for _, marks := range [][]string{nil, {""}, {"X"}, {"X="}, {"=x"}, {"A=b", "C="}, {"A=b\x00"}} {
		if _, err := child.KillMarked(bound(t), child.Sweep{Marks: marks}); err == nil {
			t.Errorf("%q was accepted", marks)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no time")
	cancel(why)
	if _, err := child.KillMarked(ctx, child.Sweep{Marks: []string{"UPKEEP_RUN_ID=none"}}); !errors.Is(err, why) {
		t.Errorf("a dead context: %v", err)
	}
}

// playNested sweeps for marks that it carries itself, as does its parent.
func playNested() {
	swept, err := child.KillMarked(context.Background(), child.Sweep{Marks: []string{"RUN=" + os.Getenv("RUN")}})
	if err != nil {
		panic(err)
	}
	report(swept)
}

func TestSweepSparesItsAncestors(t *testing.T) {
	t.Parallel()
	run := fmt.Sprintf("nested-%d", os.Getpid())
	cmd := exec.CommandContext(bound(t), "/bin/sh", "-c", `sleep 1000 & /proc/$PPID/exe; echo shell $?`)
	cmd.Env = []string{path, "CHILD_TEST_PART=nested", "RUN=" + run}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Killed":1,"Remaining":0,"Unreadable":0,"Cgroups":0}` + "\nshell 0\n"
	if string(out) != want {
		t.Errorf("got %s, want %s", out, want)
	}
}

// playSecretive is a process that lets nobody look into it.
func playSecretive() {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		panic(err)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// playSweeper sweeps as an ordinary user beside a secretive process.
func playSweeper() {
	began := time.Now()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"CHILD_TEST_PART=secretive", "RUN=secretive"}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		panic(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		panic(err)
	}
	var counts []int
	for _, since := range []time.Time{began, {}, began.Add(time.Hour)} {
		swept, err := child.KillMarked(context.Background(), child.Sweep{Marks: []string{"RUN=secretive"}, Since: since})
		if err != nil || swept.Killed > 0 {
			panic(fmt.Sprint(swept, err))
		}
		counts = append(counts, swept.Unreadable)
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		panic(err)
	}
	report(counts)
}

func TestSweepTellsWhatItMayNotRead(t *testing.T) {
	t.Parallel()
	c := script("")
	c.Argv, c.Env = []string{"/proc/self/exe"}, []string{"CHILD_TEST_PART=sweeper"}
	if os.Geteuid() == 0 {
		c.User = "nobody"
	}
	out, errs := newOutput(t), newOutput(t)
	c.Stdout, c.Stderr = out, errs
	if _, err := child.Run(bound(t), c); err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	var counts []int
	if err := json.Unmarshal([]byte(out.String()), &counts); err != nil {
		t.Fatal(err)
	}
	// Others of the same user may start meanwhile; long ago there was none of ours.
	if counts[0] < 1 || counts[1] != 0 || counts[2] != 0 {
		t.Errorf("unreadable with a start, without one, in the future: %v", counts)
	}
}
