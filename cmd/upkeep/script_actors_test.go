package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cast are the processes that a script has in the background.
type cast struct {
	mu     sync.Mutex
	actors map[string]*actor
}

type castKey struct{}

// actor is one process in the background. Its output goes to NAME.out and
// NAME.err in the working folder; closing input ends its standard input.
type actor struct {
	cmd   *exec.Cmd
	input *os.File
	err   error
	ended chan struct{}
}

func castOf(ts *testscript.TestScript) *cast {
	c, ok := ts.Value(castKey{}).(*cast)
	if !ok {
		ts.Fatalf("the script has no cast")
	}
	return c
}

func actorOf(ts *testscript.TestScript, name string) *actor {
	c := castOf(ts)
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.actors[name]
	if a == nil {
		ts.Fatalf("nothing was started as %s", name)
	}
	return a
}

// end ends what is left when the script is over.
func (c *cast) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.actors {
		select {
		case <-a.ended:
		default:
			_ = a.cmd.Process.Kill()
			<-a.ended
		}
		_ = a.input.Close()
	}
}

// start NAME COMMAND… starts a command in the background.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME COMMAND [ARGUMENT…]")
	}
	path := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if info, err := os.Stat(filepath.Join(dir, args[1])); err == nil && info.Mode()&0o111 != 0 && path == "" {
			path = filepath.Join(dir, args[1])
		}
	}
	cmd := exec.Command(path, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = environment(ts)
	out, err := os.Create(ts.MkAbs(args[0] + ".out"))
	ts.Check(err)
	errs, err := os.Create(ts.MkAbs(args[0] + ".err"))
	ts.Check(err)
	reader, writer, err := os.Pipe()
	ts.Check(err)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = reader, out, errs
	ts.Check(cmd.Start())
	a := &actor{cmd: cmd, input: writer, ended: make(chan struct{})}
	go func() {
		a.err = errors.Join(cmd.Wait(), out.Close(), errs.Close(), reader.Close())
		close(a.ended)
	}()
	c := castOf(ts)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.actors[args[0]] = a
}

// environment is that of the script; testscript does not give it as a whole.
func environment(ts *testscript.TestScript) []string {
	env := []string{"PWD=" + ts.MkAbs(".")}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ", "TERM", "WORK", "REPOSITORY", "UPKEEP_CONFIG", "NO_COLOR", "UPKEEP_LEDGER", "UPKEEP_LISTEN", "TOKEN", "GORACE", "JOURNAL_STREAM"} {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// signal NAME SIGNAL… sends signals, such as INT; EOF ends its input instead.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	a := actorOf(ts, args[0])
	for _, name := range args[1:] {
		if name == "EOF" {
			ts.Check(a.input.Close())
			continue
		}
		number := unix.SignalNum("SIG" + name)
		if number == 0 {
			ts.Fatalf("there is no signal %s", name)
		}
		ts.Check(a.cmd.Process.Signal(number))
	}
}

// ended NAME CODE [WITHIN] waits for the end of a command in the background,
// which must have the exit code, or be killed with "killed", within the time.
func ended(ts *testscript.TestScript, _ bool, args []string) {
	a := actorOf(ts, args[0])
	within := patience
	if len(args) > 2 {
		var err error
		within, err = time.ParseDuration(args[2])
		ts.Check(err)
	}
	began := time.Now()
	select {
	case <-a.ended:
	case <-time.After(patience):
		ts.Fatalf("%s has not ended", args[0])
	}
	got := strconv.Itoa(a.cmd.ProcessState.ExitCode())
	if status, ok := a.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		got = "killed"
	}
	if got != args[1] {
		ts.Fatalf("%s ended with %s, want %s\nstdout:\n%s\nstderr:\n%s", args[0], got, args[1], ts.ReadFile(args[0]+".out"), ts.ReadFile(args[0]+".err"))
	}
	if took := time.Since(began); took > within {
		ts.Fatalf("%s took %s to end, want at most %s", args[0], took, within)
	}
}

// pty [-size WxH] FILE CODE COMMAND… runs a command on a terminal of its own,
// writes every byte that it sent there to FILE, and what the screen shows at
// the end, without colors, to FILE.screen.
func pty(ts *testscript.TestScript, _ bool, args []string) {
	width, height := 80, 24
	if i := slices.Index(args, "-size"); i == 0 {
		w, h, _ := strings.Cut(args[1], "x")
		var err, err2 error
		width, err = strconv.Atoi(w)
		height, err2 = strconv.Atoi(h)
		ts.Check(errors.Join(err, err2))
		args = args[2:]
	}
	path, err := exec.LookPath(args[2])
	ts.Check(err)
	cmd := exec.Command(path, args[3:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environment(ts)
	sent, err := onTerminal(cmd, width, height, patience)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), sent, 0o600))
	s := newScreen(width, height)
	s.write(sent)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".screen"), []byte(s.text()), 0o600))
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("exit code %s, want %s\n%s", got, args[1], sent)
	}
}
