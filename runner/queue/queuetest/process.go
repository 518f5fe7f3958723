package queuetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// patience bounds what must happen; only a hang exceeds it.
const patience = 60 * time.Second

// stage is one ledger with its processes.
type stage struct {
	t       *testing.T
	subject Subject
	address string
	dir     string
	ledger  Ledger
	started int
}

// newStage makes a fresh ledger that the test itself joins as a guest.
func newStage(t *testing.T, s Subject) *stage {
	t.Helper()
	st := &stage{t: t, subject: s, address: s.Fresh(t), dir: t.TempDir()}
	guest, err := s.Open(t.Context(), Setting{Address: st.address, Node: "test"})
	if err != nil {
		t.Fatalf("join the ledger: %v", err)
	}
	t.Cleanup(func() {
		if err := guest.Close(); err != nil {
			t.Errorf("leave the ledger: %v", err)
		}
	})
	st.ledger = guest.Ledger
	return st
}

// slot is the instant of the nth slot of the suite.
func slot(n int) time.Time {
	return time.Date(2031, 5, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
}

// request asks for a run of w.
func request(name string, n int, w workflow) runner.Request {
	if w.Version == 0 {
		w.Version = 1
	}
	text, err := json.Marshal(w)
	if err != nil {
		panic(err) // a workflow is plain data
	}
	return runner.Request{Spec: runner.Spec{Workflow: name, Text: string(text)}, Slot: slot(n), Trigger: runner.BySchedule, By: "suite"}
}

// submit records runs and returns their IDs.
func (st *stage) submit(requests ...runner.Request) []runner.RunID {
	st.t.Helper()
	answers, err := st.ledger.Submit(context.Background(), requests...)
	if err != nil {
		st.t.Fatalf("submit: %v", err)
	}
	ids := make([]runner.RunID, len(answers))
	for i, a := range answers {
		ids[i] = a.Run
	}
	return ids
}

// child is a process that plays a role.
type child struct {
	st   *stage
	role role
	cmd  *exec.Cmd
	in   io.WriteCloser
	err  *lockedBuffer

	mu    sync.Mutex
	lines []string
	more  chan struct{} // has a value when lines grew
	ended chan struct{}
	exit  error
}

// lockedBuffer is a buffer that may be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// start runs a child; change adjusts its role.
func (st *stage) start(change ...func(*role)) *child {
	st.t.Helper()
	st.started++
	r := role{Address: st.address, Dir: st.dir, Node: fmt.Sprintf("node-%d", st.started), Slots: 4, Compiler: 1}
	for _, c := range change {
		c(&r)
	}
	text, err := json.Marshal(r)
	if err != nil {
		st.t.Fatal(err)
	}
	c := &child{st: st, role: r, err: &lockedBuffer{}, more: make(chan struct{}, 1), ended: make(chan struct{})}
	c.cmd = exec.Command(os.Args[0])
	path := filepath.Join(st.dir, "role-"+r.Node)
	if err := writeFile(path, string(text)); err != nil {
		st.t.Fatal(err)
	}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+path)
	c.cmd.Stderr = c.err
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		st.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		st.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		st.t.Fatalf("start a process: %v", err)
	}
	go c.listen(out)
	st.t.Cleanup(func() {
		c.kill()
		if st.t.Failed() {
			st.t.Logf("%s said:\n%s\nand logged:\n%s", r.Node, strings.Join(c.said(), "\n"), c.err.String())
		}
	})
	return c
}

func (c *child) listen(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		c.mu.Lock()
		c.lines = append(c.lines, lines.Text())
		c.mu.Unlock()
		select {
		case c.more <- struct{}{}:
		default:
		}
	}
	c.exit = c.cmd.Wait()
	close(c.ended)
}

func (c *child) said() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// await returns the first line from line number from on that begins with
// prefix, and the number of the line after it.
func (c *child) await(prefix string, from int) (line string, next int) {
	c.st.t.Helper()
	deadline := time.After(patience)
	for over := false; ; {
		lines := c.said()
		for ; from < len(lines); from++ {
			if strings.HasPrefix(lines[from], prefix) {
				return lines[from], from + 1
			}
		}
		if over {
			c.st.t.Fatalf("%s ended (%v) without saying %q", c.role.Node, c.exit, prefix)
		}
		select {
		case <-c.more:
		case <-c.ended:
			over = true
		case <-deadline:
			c.st.t.Fatalf("%s did not say %q in %s", c.role.Node, prefix, patience)
		}
	}
}

// kill ends the process as kill -9 does and waits until it is gone.
func (c *child) kill() {
	select {
	case <-c.ended:
		return
	default:
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.st.t.Errorf("kill %s: %v", c.role.Node, err)
	}
	<-c.ended
}

// tell writes a line to the process.
func (c *child) tell(line string) {
	c.st.t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		c.st.t.Fatalf("tell %s: %v", c.role.Node, err)
	}
}

// drain asks the process to end and waits until it has, in good order.
func (c *child) drain() {
	c.st.t.Helper()
	if err := c.in.Close(); err != nil {
		c.st.t.Fatalf("drain %s: %v", c.role.Node, err)
	}
	c.leaves()
}

// leaves waits until the process has ended in good order.
func (c *child) leaves() {
	c.st.t.Helper()
	select {
	case <-c.ended:
		if c.exit != nil {
			c.st.t.Errorf("%s ended with %v", c.role.Node, c.exit)
		}
	case <-time.After(patience):
		c.st.t.Fatalf("%s does not end", c.role.Node)
	}
}

// waitFor polls until done returns true. The ledger has no way to call a
// guest.
func (st *stage) waitFor(what string, done func() bool) {
	st.t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			st.t.Fatalf("waited %s in vain for %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// run reads a run.
func (st *stage) run(id runner.RunID) runner.Run {
	st.t.Helper()
	run, err := st.ledger.Run(context.Background(), string(id))
	if err != nil {
		st.t.Fatalf("read run %s: %v", id, err)
	}
	return run
}

// finals waits until all runs have ended and returns them.
func (st *stage) finals(ids ...runner.RunID) []runner.Run {
	st.t.Helper()
	runs := make([]runner.Run, len(ids))
	ended := 0
	st.waitFor(fmt.Sprintf("the end of %d runs", len(ids)), func() bool {
		for ; ended < len(ids); ended++ {
			if runs[ended] = st.run(ids[ended]); !runs[ended].State.Final() {
				return false
			}
		}
		return true
	})
	return runs
}

// attempts reads all attempts of a run, by job, in the order of their numbers.
func (st *stage) attempts(id runner.RunID) map[string][]runner.Attempt {
	st.t.Helper()
	list, err := st.ledger.Attempts(context.Background(), id)
	if err != nil {
		st.t.Fatalf("read attempts of %s: %v", id, err)
	}
	out := map[string][]runner.Attempt{}
	for _, a := range list {
		out[a.Job] = append(out[a.Job], a)
	}
	for _, of := range out {
		slices.SortFunc(of, func(a, b runner.Attempt) int { return a.Number - b.Number })
	}
	return out
}

// states writes attempts as "state/reason", in order.
func states(attempts []runner.Attempt) string {
	words := make([]string, len(attempts))
	for i, a := range attempts {
		words[i] = string(a.State)
		if a.Reason != "" {
			words[i] += "/" + string(a.Reason)
		}
	}
	return strings.Join(words, " ")
}

// effects counts the effects of each attempt of a run: job/number.
func (st *stage) effects(id runner.RunID) map[string]int {
	st.t.Helper()
	list, err := effects(st.dir)
	if err != nil {
		st.t.Fatalf("read effects: %v", err)
	}
	out := map[string]int{}
	for _, e := range list {
		if e.run == id {
			out[fmt.Sprintf("%s/%d", e.job, e.attempt)]++
		}
	}
	return out
}

// release lets jobs go on that hold.
func (st *stage) release() {
	st.t.Helper()
	if err := writeFile(filepath.Join(st.dir, releaseFile), ""); err != nil {
		st.t.Fatal(err)
	}
}
