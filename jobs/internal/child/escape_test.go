package child_test

import (
	"bufio"
	"context"
	"errors"
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

func TestCgroupsOfTheChildAreEnded(t *testing.T) {
	t.Parallel()
	if !child.HasCgroup() {
		return // then there are none
	}
	c := script(`sub=$PARENT/$(basename "$(sed -n s/^0:://p /proc/self/cgroup)")/sub/deep
		mkdir -p "$sub"; sleep 1000 & echo $!; echo $! >"$sub/cgroup.procs"; setsid sleep 1000 & echo $!; exit 0`)
	c.Env = append(c.Env, "PARENT="+child.CgroupParent())
	out := newOutput(t)
	c.Stdout, c.Stderr, c.WaitDelay = out, out, 50*time.Millisecond
	exit, err := child.Run(bound(t), c)
	if err != nil || exit.Escaped != 2 || exit.Remaining != 0 {
		t.Errorf("%+v, %v, %s", exit, err, out)
	}
	wantGone(t, out.pids(), 2)
	left, err := filepath.Glob(filepath.Join(child.CgroupParent(), child.CgroupPrefix(c.Marks)+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("cgroups are left: %v, %v", left, err)
	}
}

func TestWhoLeftTheCgroupIsFoundByThePipe(t *testing.T) {
	t.Parallel()
	if !child.HasCgroup() || os.Geteuid() != 0 {
		return // nobody else may leave it
	}
	c := script(`(echo 0 >"$PARENT/cgroup.procs"; : >"$FLAG"; exec setsid sleep 1000) & echo $!
		until [ -e "$FLAG" ]; do :; done; exit 0`)
	c.Env = append(c.Env, "PARENT="+child.CgroupParent(), "FLAG="+filepath.Join(t.TempDir(), "flag"))
	out := newOutput(t)
	c.Stdout, c.WaitDelay = out, 50*time.Millisecond
	exit, err := child.Run(bound(t), c)
	if err != nil || exit.Escaped != 1 {
		t.Errorf("%+v, %v", exit, err)
	}
	wantGone(t, out.pids(), 1)
}

// TestOutputHeldByAnother has this process hold the output of the command, which
// is nobody the command could have started.
func TestOutputHeldByAnother(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		r, w := io.Pipe()
		out := newOutput(t)
		c := way(script("echo $$ ready; cat; exit 0"))
		c.Stdin, c.Stdout, c.WaitDelay = r, out, 50*time.Millisecond
		holder := make(chan *os.File, 1)
		go func() {
			defer func() { _ = w.Close() }()
			out.wait("ready")
			f, err := os.OpenFile("/proc/"+strconv.Itoa(out.pids()[0])+"/fd/1", os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
			}
			holder <- f
		}()
		exit, err := child.Run(bound(t), c)
		var held *child.HeldError
		if !errors.As(err, &held) || held.Ended || held.Hint() == "" || exit.Code != 0 || exit.Escaped != 0 {
			t.Errorf("%+v, %v", exit, err)
		}
		if err := (<-holder).Close(); err != nil {
			t.Error(err)
		}
	})
}

// slowWriter takes its time for every write.
type slowWriter struct{ n int }

func (w *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	w.n += len(p)
	return len(p), nil
}

func TestSlowWriterLosesNothing(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		out := &slowWriter{}
		c := way(script("head -c 60000 /dev/zero; sleep 1000 >/dev/null 2>&1 & exit 0"))
		c.Stdout, c.WaitDelay = out, time.Millisecond
		exit, err := child.Run(bound(t), c)
		if err != nil || out.n != 60000 || exit.Escaped != 1 {
			t.Errorf("%d bytes, %+v, %v", out.n, exit, err)
		}
	})
}

func TestSweepRemovesAnEmptyCgroup(t *testing.T) {
	t.Parallel()
	if !child.HasCgroup() {
		return
	}
	marks := []string{"UPKEEP_RUN_ID=empty-" + strconv.Itoa(os.Getpid()), "UPKEEP_JOB=x", "UPKEEP_ATTEMPT=1"}
	dir := filepath.Join(child.CgroupParent(), child.CgroupPrefix(marks)+"1-1")
	if err := os.MkdirAll(filepath.Join(dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		swept, err := child.KillMarked(bound(t), child.Sweep{Marks: marks[:1]})
		if err != nil || swept != (child.Swept{Cgroups: want}) {
			t.Errorf("%+v, %v, want %d cgroups", swept, err, want)
		}
	}
}

// playInit is process 1 of a container: everybody's orphans become its children,
// and those of strangers are none of its business until they have ended.
func playInit() {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	r, w := io.Pipe()
	lines := make(chan string, 10)
	ended := make(chan error)
	go func() {
		_, err := child.Run(ctx, child.WithoutCgroup(child.Command{
			Argv: child.Shell("echo ready; cat"), Env: []string{path}, Stdin: r, Stdout: lineWriter(lines),
		}))
		ended <- err
	}()
	<-lines
	cmd := exec.Command("/bin/sh", "-c", `setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!
		until tr '\0' ' ' </proc/$!/cmdline | grep -q '^sleep'; do :; done`)
	out, err := cmd.Output()
	check(err)
	stranger, err := strconv.Atoi(strings.TrimSpace(string(out)))
	check(err)
	check(w.Close())
	check(<-ended)
	spared := syscall.Kill(stranger, 0) == nil

	marked := child.WithoutCgroup(child.Command{
		Argv: child.Shell("setsid sleep 1000 >/dev/null 2>&1 & exit 0"), Env: []string{path}, Marks: []string{"RUN=x"},
	})
	exit, err := child.Run(ctx, marked)
	check(err)
	check(syscall.Kill(stranger, syscall.SIGKILL))
	for syscall.Kill(stranger, 0) == nil { // until a command that ends has buried it
		_, err = child.Run(ctx, marked)
		check(err)
	}
	report([]any{os.Getpid(), spared, exit.Escaped})
}

func TestAsProcessOne(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // only root makes a pid namespace; CI is
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(bound(t), "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", self)
	cmd.Env = []string{path, "CHILD_TEST_PART=init"}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err := errors.Join(err, cmd.Wait()); err != nil || line != "[1,true,1]\n" {
		t.Errorf("process, stranger spared, escaped: %q, %v", line, err)
	}
}

func TestCgroupThatRefusesMembers(t *testing.T) {
	t.Parallel()
	if !child.HasCgroup() {
		return
	}
	top := filepath.Join(child.CgroupParent(), "upkeep-test-refusing:"+strconv.Itoa(os.Getpid()))
	threaded := filepath.Join(top, "threaded")
	if err := errors.Join(os.MkdirAll(threaded, 0o755), os.WriteFile(filepath.Join(threaded, "cgroup.type"), []byte("threaded"), 0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(os.Remove(threaded), os.Remove(top)); err != nil {
			t.Error(err)
		}
	})
	for text, escaped := range map[string]int{"exit 0": 0, "setsid sleep 1000 & exit 0": 1} {
		c := child.WithCgroupParent(script(text), threaded)
		c.WaitDelay = 50 * time.Millisecond
		exit, err := child.Run(bound(t), c)
		if err != nil || exit.Cgroup || exit.Escaped != escaped {
			t.Errorf("%s: %+v, %v", text, exit, err)
		}
	}
	c := child.WithCgroupParent(script("true"), "/proc/no/such/folder")
	if exit, err := child.Run(bound(t), c); err != nil || exit.Cgroup {
		t.Errorf("nowhere: %+v, %v", exit, err)
	}
}
