package ledger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// childVariable makes the test binary act as a process of its own instead of
// running tests.
const childVariable = "LEDGER_TEST_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		os.Exit(childMain(text))
	}
	os.Exit(m.Run())
}

// order is what a child shall do.
type order struct {
	Role string
	DSN  string
	Run  runner.RunID
	// Lease is the child's lease; 0 means the default.
	Lease time.Duration
	// Limit is the largest file that the child may write; 0 means any.
	Limit uint64
	// To and At are where a ledger is copied to, and at which step the copy
	// stays.
	To, At string
}

// child is a running child process.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	stderr *strings.Builder
}

func startChild(t *testing.T, o order, change ...func(*exec.Cmd)) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	c := &child{t: t, cmd: cmd, stderr: new(strings.Builder)}
	cmd.Stderr = c.stderr
	for _, f := range change {
		f(cmd)
	}
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdout = bufio.NewScanner(stdout)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start a child: %v", err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			c.kill()
		}
	})
	return c
}

// line returns the child's next line.
func (c *child) line() string {
	c.t.Helper()
	if !c.stdout.Scan() {
		err := c.cmd.Wait()
		c.t.Fatalf("the child ended: %v\n%s", err, c.stderr)
	}
	return c.stdout.Text()
}

// kill ends the child the hard way and waits for it.
func (c *child) kill() {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Errorf("kill the child: %v", err)
	}
	c.reap()
}

func (c *child) reap() {
	// Its fate is known: it was killed.
	_ = c.cmd.Wait()
}

// wait lets the child end in good order.
func (c *child) wait() {
	c.t.Helper()
	if err := c.stdin.Close(); err != nil {
		c.t.Errorf("release the child: %v", err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the child failed: %v\n%s", err, c.stderr)
	}
}

func childMain(text string) int {
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = map[string]func(context.Context, order) error{
			"hold": childHold, "join": childJoin, "open": childOpen, "race": childRace, "traffic": childTraffic, "crowd": childCrowd, "full": childFull, "read": childRead, "sleeper": childSleeper, "decide": childDecide,
			"alarm": childAlarm(false), "alarm at once": childAlarm(true), "sender": childSender, "desk": childDesk, "copy": childCopy,
		}[o.Role](context.Background(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// say writes one line to the parent.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// stay waits until the parent closes the pipe.
func stay() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func childHold(ctx context.Context, o order) error {
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN), Exclusive: true, Node: "holder", Command: "upkeep serve"})
	if err != nil {
		return err
	}
	say("%d", os.Getpid())
	if err := stay(); err != nil {
		return err
	}
	return l.Close()
}

func childJoin(ctx context.Context, o order) error {
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN), Node: "child"})
	if err != nil {
		return err
	}
	if err := l.Register(ctx); err != nil {
		return err
	}
	c, _, err := l.Claim(ctx, o.Run)
	if err != nil {
		return err
	}
	say("%d", c.Epoch)
	return stay()
}

func childOpen(ctx context.Context, o order) error {
	say("ready")
	if err := stay(); err != nil {
		return err
	}
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN)})
	if err != nil {
		return err
	}
	return l.Close()
}

// childRace submits 200 slots in an order of its own and claims what it can.
// It pauses now and then, because SQLite lets a process that never pauses keep
// the others waiting.
func childRace(ctx context.Context, o order) error {
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN), LeaseTTL: time.Hour})
	if err != nil {
		return err
	}
	if err := l.Register(ctx); err != nil {
		return err
	}
	say("ready")
	if err := stay(); err != nil {
		return err
	}
	var fresh, won []runner.RunID
	for _, i := range rand.Perm(200) {
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
		answers, err := l.Submit(ctx, ledgertest.Request("race", ledgertest.Midnight().Add(time.Duration(i)*time.Minute)))
		if err != nil {
			return err
		}
		if !answers[0].Duplicate {
			fresh = append(fresh, answers[0].Run)
		}
		if _, _, err := l.Claim(ctx, answers[0].Run); err == nil {
			won = append(won, answers[0].Run)
		}
	}
	text, err := json.Marshal([][]runner.RunID{fresh, won})
	say("%s", text)
	// The other one must see this owner alive until it has ended too.
	return err
}

// childTraffic advances one run as fast as it can: attempt n ends and attempt
// n+1 begins in one step. It tells the parent every step that it believes to
// be durable.
func childTraffic(ctx context.Context, o order) error {
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN), Exclusive: true})
	if err != nil {
		return err
	}
	if err := l.Register(ctx); err != nil {
		return err
	}
	c, run, err := l.Claim(ctx, o.Run)
	if err != nil {
		return err
	}
	attempts, err := l.Attempts(ctx, run.ID)
	if err != nil {
		return err
	}
	n := len(attempts)
	step := runner.Step{}
	for {
		n++
		next := ledgertest.Attempt("job", n)
		step.Begun = []runner.Start{{Attempt: next, Locks: []string{fmt.Sprintf("lock-%d", n)}}}
		if _, err := l.Advance(ctx, c, step); err != nil {
			return err
		}
		say("%d", n)
		step.Ended = []runner.End{{Attempt: trafficEnd(next), Output: trafficOutput(n)}}
	}
}

// childCrowd records runs from many goroutines at once and tells the parent
// every one that it believes to be durable.
func childCrowd(ctx context.Context, o order) error {
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN), Exclusive: true})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for writer := range crowdWriters {
		go func() {
			for slot := time.Now(); ; slot = slot.Add(time.Second) {
				answers, err := l.Submit(ctx, ledgertest.Request("crowd", slot.Add(time.Duration(writer)*time.Microsecond)))
				if err != nil {
					failed <- err
					return
				}
				say("%s", answers[0].Run)
			}
		}()
	}
	return <-failed
}

// childFull writes until a write fails because its file may grow no further,
// and goes on when it may.
func childFull(ctx context.Context, o order) error {
	signal.Ignore(syscall.SIGXFSZ)
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN)})
	if err != nil {
		return err
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: o.Limit, Max: before.Max}); err != nil {
		return err
	}
	written := 0
	for ; ; written++ {
		r := ledgertest.Request("w", ledgertest.Midnight().Add(time.Duration(written)*time.Hour))
		r.Params = map[string]string{"text": strings.Repeat("x", 100<<10)}
		if _, err = l.Submit(ctx, r); err != nil {
			break
		}
	}
	say("%d %v", written, err)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if _, err := l.Submit(ctx, ledgertest.Request("after", ledgertest.Midnight())); err != nil {
		return fmt.Errorf("after there is room again: %w", err)
	}
	return l.Close()
}

// childRead lists runs the way that `upkeep history` does.
func childRead(ctx context.Context, o order) error {
	r, err := ledger.OpenReader(ctx, ledger.Options{DSN: secret.New(o.DSN)})
	if err != nil {
		say("error: %s", strings.ReplaceAll(err.Error(), "\n", " "))
		return nil
	}
	runs, err := r.Runs(ctx, runner.Filter{})
	say("%d %v", len(runs), err)
	return r.Close()
}

// asNobody makes a child run as the user nobody, who may execute the test
// binary but owns nothing. It changes nothing for tests of another user.
func asNobody(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		return func(*exec.Cmd) {}
	}
	folder := open711(t)
	binary := filepath.Join(folder, "child")
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return func(cmd *exec.Cmd) {
		cmd.Path = binary
		cmd.Dir = folder
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
}

// open711 returns a fresh folder through which any user may walk.
func open711(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, path := range []string{filepath.Dir(folder), folder} {
		if err := os.Chmod(path, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// processTime returns the CPU time that this process has used.
func processTime(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
