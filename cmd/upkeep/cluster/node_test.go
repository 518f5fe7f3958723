package cluster_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// node is a machine with the service and a folder of its own. A service that
// ends by itself is started again, as a supervisor would do.
type node struct {
	name    string
	machine *machine
	dir     string
	skew    time.Duration

	mu      sync.Mutex
	program string
	cmd     *exec.Cmd
	ended   chan struct{}
	// wanted says that the service is to run.
	wanted bool
	// gaveUp counts how often it ended by itself.
	gaveUp int
}

const serves = `msg="upkeep serves"`

// start starts the service; the caller awaits that it serves.
func (n *node) start(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wanted = true
	if err := n.launch(); err != nil {
		t.Fatal(err)
	}
}

// launch starts the service; n.mu is held.
func (n *node) launch() error {
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := n.command("serve")
	cmd.Stdout, cmd.Stderr = log, log
	if err := n.machine.start(cmd); err != nil {
		return err
	}
	ended := make(chan struct{})
	n.cmd, n.ended = cmd, ended
	go n.supervise(cmd, ended)
	return nil
}

func (n *node) supervise(cmd *exec.Cmd, ended chan<- struct{}) {
	_ = cmd.Wait() // what it means depends on whether it was asked to end
	close(ended)
	time.Sleep(100 * time.Millisecond) // as supervisors do, lest it spins
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wanted && n.cmd == cmd {
		n.gaveUp++
		_ = n.launch() // if it cannot, whoever awaits it will tell
	}
}

// command is the program as it is called on the node.
func (n *node) command(args ...string) *exec.Cmd {
	cmd := exec.Command(n.program, args...)
	cmd.Dir = n.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + n.dir, "TZ=UTC", "LC_ALL=C.UTF-8", "NO_COLOR=1", fmt.Sprintf("%s=%s", skewVariable, n.skew)}
	return cmd
}

func (n *node) log() string { return filepath.Join(n.dir, "log") }

// starts counts how often the service came to serve.
func (n *node) starts(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(n.log())
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte(serves))
}

// awaitStart waits until the service has come to serve more than so many times.
func (n *node) awaitStart(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(patience); n.starts(t) <= before; time.Sleep(glance) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come to serve:\n%s", n.name, n.lastWords())
		}
	}
}

// lastWords is the end of the service's log.
func (n *node) lastWords() string {
	text, err := os.ReadFile(n.log())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-3000):])
}

// signal sends a signal to the service alone, not to what it has started; false
// when it has just ended by itself.
func (n *node) signal(t *testing.T, s unix.Signal) bool {
	t.Helper()
	n.mu.Lock()
	cmd := n.cmd
	n.mu.Unlock()
	err := cmd.Process.Signal(s)
	if err != nil {
		t.Logf("%s to %s: %v", s, n.name, err)
	}
	return err == nil
}

// halt stops the service without its knowledge, and waits until all of it
// stands still.
func (n *node) halt(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	pid := n.cmd.Process.Pid
	n.mu.Unlock()
	if !n.signal(t, unix.SIGSTOP) {
		return
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(glance) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("\nState:\tT")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not stand still:\n%s", n.name, text)
		}
	}
}

// kill ends the service at once and waits until it is gone.
func (n *node) kill(t *testing.T) {
	t.Helper()
	ended := n.dismiss()
	n.signal(t, unix.SIGKILL)
	<-ended
}

// dismiss says that the service is no longer to run.
func (n *node) dismiss() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wanted = false
	return n.ended
}

// drain asks the service to end and returns how long that took.
func (n *node) drain(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	ended := n.dismiss()
	n.signal(t, unix.SIGTERM)
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatalf("%s does not drain:\n%s", n.name, n.lastWords())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s drained with exit code %d:\n%s", n.name, code, n.lastWords())
	}
	return time.Since(began)
}

// upkeep runs a command line on the node to its end.
func (n *node) upkeep(t *testing.T, args ...string) string {
	t.Helper()
	cmd := n.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := n.machine.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("%s: upkeep %s: %v\n%s", n.name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}
