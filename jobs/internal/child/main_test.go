package child_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// TestMain also plays the parts of other processes, see parts, and proves that
// the tests left neither goroutines nor processes nor cgroups.
func TestMain(m *testing.M) {
	if part := os.Getenv("CHILD_TEST_PART"); part != "" {
		play, ok := parts()[part]
		if !ok {
			fmt.Fprintln(os.Stderr, "no part", part)
			os.Exit(3)
		}
		play()
		return
	}
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

func leaks() int {
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	all, err := child.Processes()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, p := range all {
		if p.PPID == os.Getpid() {
			fmt.Fprintf(os.Stderr, "a process is left: %+v\n", p)
			return 1
		}
	}
	if n := child.UnderWay(); n != 0 {
		fmt.Fprintln(os.Stderr, n, "commands are still entered")
		return 1
	}
	if child.HasCgroup() {
		entries, err := os.ReadDir(child.CgroupParent())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		own := ":" + strconv.Itoa(os.Getpid()) + "-"
		for _, e := range entries {
			if e.IsDir() && strings.HasPrefix(e.Name(), "upkeep-") && strings.Contains(e.Name(), own) {
				fmt.Fprintln(os.Stderr, "a cgroup is left:", e.Name())
				return 1
			}
		}
	}
	return 0
}

// parts are what this binary does when a test starts it as another process.
func parts() map[string]func() {
	return map[string]func(){
		"tree":      playTree,
		"eliminate": playEliminate,
		"nested":    playNested,
		"secretive": playSecretive,
		"sweeper":   playSweeper,
		"root":      playRoot,
		"stuck":     playStuck,
		"core":      playCore,
		"self":      playSelf,
		"init":      playInit,
		"reaper":    playReaper,
	}
}

// report prints v for the test that plays with us.
func report(v any) {
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		panic(err)
	}
}

// ways runs a test with both mechanisms, or with the walk alone where no cgroup
// can be made, and in parallel.
func ways(t *testing.T, test func(t *testing.T, way func(child.Command) child.Command)) {
	t.Helper()
	if child.HasCgroup() {
		t.Run("cgroup", func(t *testing.T) {
			t.Parallel()
			test(t, func(c child.Command) child.Command { return c })
		})
	}
	t.Run("walk", func(t *testing.T) {
		t.Parallel()
		test(t, child.WithoutCgroup)
	})
}

var marker atomic.Int64

// script is a shell command with a mark of its own, so that tests which run at the
// same time cannot be taken for each other.
func script(text string) child.Command {
	return child.Command{
		Argv:  child.Shell(text),
		Env:   []string{path},
		Grace: 5 * time.Second,
		Marks: []string{fmt.Sprintf("UPKEEP_RUN_ID=test-%d-%d", os.Getpid(), marker.Add(1))},
	}
}

// output collects what a command writes and can be waited on.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
	busy atomic.Int32
	t    *testing.T
}

func newOutput(t *testing.T) *output {
	t.Helper()
	return &output{more: make(chan struct{}, 1), t: t}
}

func (o *output) Write(p []byte) (int, error) {
	if o.busy.Add(1) != 1 {
		o.t.Error("two writes at once")
	}
	defer o.busy.Add(-1)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	select {
	case o.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// wait returns when the output holds text.
func (o *output) wait(text string) {
	o.t.Helper()
	over := time.After(20 * time.Second)
	for !strings.Contains(o.String(), text) {
		select {
		case <-o.more:
		case <-over:
			o.t.Errorf("no %q in the output %q", text, o.String())
			return
		}
	}
}

// pids are the numbers in the output.
func (o *output) pids() []int {
	var all []int
	for field := range strings.FieldsSeq(o.String()) {
		if pid, err := strconv.Atoi(field); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// living are those of the processes that are alive.
func living(t *testing.T, pids []int) []int {
	t.Helper()
	all, err := child.Processes()
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, p := range all {
		if slices.Contains(pids, p.PID) && p.State != 'Z' && p.State != 'X' {
			found = append(found, p.PID)
		}
	}
	return found
}

func wantGone(t *testing.T, pids []int, atLeast int) {
	t.Helper()
	if len(pids) < atLeast {
		t.Errorf("the test is blind: it knows %d processes, not %d", len(pids), atLeast)
	}
	left := living(t, pids)
	for range 200 { // a killed process may still be on its way out of the kernel
		if len(left) == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
		left = living(t, left)
	}
	if len(left) > 0 {
		t.Errorf("processes are left: %v", left)
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func bound(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
