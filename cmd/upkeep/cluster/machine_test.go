package cluster_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ownEverything are the namespaces that make a machine: a network, processes, a
// host name and mounts (for /proc) of its own.
const ownEverything = unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWNS

// machine is a set of namespaces with a first process, which lives as long as
// the test. When the test dies, however it does, the first process ends, the
// kernel kills whatever else runs there, and the network is gone with its
// links: nothing has a name that could be left behind.
type machine struct {
	name string
	own  uintptr // the namespaces that it has for itself
	init *exec.Cmd
	hold io.Closer
}

// newMachine starts the first process of a machine.
func newMachine(t *testing.T, name string, namespaces uintptr) *machine {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{name: name, own: namespaces, init: exec.Command(self)}
	m.init.Env = []string{machineVariable + "=" + name, "GOMAXPROCS=1"}
	m.init.Stderr = os.Stderr
	m.init.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	hold, err := m.init.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.init.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.init.Start(); err != nil {
		t.Fatalf("make the machine %s, which needs root or user namespaces: %v", name, err)
	}
	m.hold = hold
	t.Cleanup(func() {
		_ = m.init.Process.Kill() // what it would end by itself, sooner
		_ = m.init.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the machine %s does not start: %q, %v", name, line, err)
	}
	return m
}

// beMachine is the first process of a machine: it reaps what nobody waits for,
// until the test closes the pipe.
func beMachine(name string) int {
	if os.Getpid() == 1 {
		err := errors.Join(
			unix.Sethostname([]byte(name)),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""),
		)
		if err != nil {
			fmt.Fprintf(os.Stderr, "set up the machine %s: %v\n", name, err)
			return 1
		}
		children := make(chan os.Signal, 1)
		signal.Notify(children, unix.SIGCHLD)
		go reap(children)
	}
	if _, err := fmt.Println("ready"); err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is closed, for whatever reason
	return 0
}

func reap(children <-chan os.Signal) {
	for range children {
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
}

// start starts a command on the machine, as a child of this process.
func (m *machine) start(cmd *exec.Cmd) error {
	return m.inside(cmd.Start)
}

// inside calls do on a thread that stands in the namespaces of the machine; what
// do opens or starts belongs there.
func (m *machine) inside(do func() error) error {
	ended := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else
		// gets one that stands elsewhere.
		runtime.LockOSThread()
		err := m.enter()
		if err == nil {
			err = do()
		}
		ended <- err
	}()
	return <-ended
}

func (m *machine) enter() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leave the shared folder: %w", err)
	}
	for _, kind := range []struct {
		name string
		flag uintptr
	}{{"net", unix.CLONE_NEWNET}, {"uts", unix.CLONE_NEWUTS}, {"pid", unix.CLONE_NEWPID}, {"mnt", unix.CLONE_NEWNS}} {
		if m.own&kind.flag == 0 {
			continue
		}
		if err := m.enterOne(kind.name); err != nil {
			return fmt.Errorf("enter the %s namespace of %s: %w", kind.name, m.name, err)
		}
	}
	return nil
}

func (m *machine) enterOne(kind string) (err error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", m.init.Process.Pid, kind))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return unix.Setns(int(file.Fd()), 0)
}

// run runs a command on the machine to its end and returns what it wrote.
func (m *machine) run(t *testing.T, input string, line ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := m.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("%s on %s: %v\n%s%s", strings.Join(line, " "), m.name, err, input, out.String())
	}
	return out.String()
}

// process is one that runs on a machine.
type process struct {
	pid  int // as this process sees it
	line string
	env  map[string]string
}

// processes returns what runs on the machine beside its first process.
func (m *machine) processes(t *testing.T) []process {
	t.Helper()
	home, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.init.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == m.init.Process.Pid {
			continue
		}
		dir := filepath.Join("/proc", e.Name())
		if there, err := os.Readlink(filepath.Join(dir, "ns", "pid")); err != nil || there != home {
			continue
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(line) == 0 {
			continue // it ended, or waits to be reaped
		}
		env, _ := os.ReadFile(filepath.Join(dir, "environ")) // without it the process has ended
		found = append(found, process{pid, strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))), variables(env)})
	}
	return found
}

func variables(environ []byte) map[string]string {
	all := map[string]string{}
	for at := range strings.SplitSeq(string(environ), "\x00") {
		name, value, _ := strings.Cut(at, "=")
		all[name] = value
	}
	return all
}
