package child_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

func TestRunReportsTheExit(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		for _, test := range []struct {
			script string
			code   int
			signal string
		}{
			{"exit 0", 0, ""},
			{"exit 3", 3, ""},
			{"exit 255", 255, ""},
			{"kill -KILL $$", -1, "SIGKILL"},
			{"kill -SEGV $$", -1, "SIGSEGV"},
			{"kill -40 $$", -1, "signal 40"},
		} {
			exit, err := child.Run(bound(t), way(script(test.script)))
			if exit.Code != test.code || exit.Signal != test.signal || exit.Escaped != 0 || exit.Stopped || exit.Killed {
				t.Errorf("%s: %+v", test.script, exit)
			}
			var failed *child.ExitError
			switch {
			case test.code == 0 && err != nil:
				t.Errorf("%s: %v", test.script, err)
			case test.code != 0 && (!errors.As(err, &failed) || failed.Code != test.code || failed.Signal != test.signal):
				t.Errorf("%s: %v", test.script, err)
			}
			if exit.Duration <= 0 || exit.UserCPU+exit.SystemCPU <= 0 {
				t.Errorf("%s: nothing was measured: %+v", test.script, exit)
			}
		}
	})
}

func TestCgroupIsUsedWhereItCanBe(t *testing.T) {
	t.Parallel()
	c := script("cat /proc/self/cgroup")
	out := newOutput(t)
	c.Stdout = out
	exit, err := child.Run(bound(t), c)
	if err != nil {
		t.Fatal(err)
	}
	inside := strings.Contains(out.String(), child.CgroupPrefix(c.Marks))
	if exit.Cgroup != child.HasCgroup() || inside != exit.Cgroup {
		t.Errorf("cgroup %v, possible %v, membership %q", exit.Cgroup, child.HasCgroup(), out)
	}
	exit, err = child.Run(bound(t), child.WithoutCgroup(script("true")))
	if err != nil || exit.Cgroup || !child.Adopts() {
		t.Errorf("the walk: %+v, %v", exit, err)
	}
}

func TestEnvironmentIsExact(t *testing.T) {
	t.Setenv("CHILD_TEST_INHERITED", "yes") // hence not parallel
	out := newOutput(t)
	_, err := child.Run(bound(t), child.Command{
		Argv:   []string{"env", "-0"},
		Env:    []string{"A=1", path, "B=x y=z\nü", "A=2"},
		Marks:  []string{"RUN=r", "JOB=j"},
		Stdout: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := path + "\x00B=x y=z\nü\x00A=2\x00RUN=r\x00JOB=j\x00"
	if out.String() != want {
		t.Errorf("environment %q, want %q", out, want)
	}
	out = newOutput(t)
	if _, err = child.Run(bound(t), child.Command{Argv: []string{"/usr/bin/env"}, Stdout: out}); err != nil || out.String() != "" {
		t.Errorf("no environment: %q, %v", out, err)
	}
}

func TestOneWriterKeepsOrder(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		out := newOutput(t)
		c := way(script("i=0; while [ $i -lt 500 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done"))
		c.Stdout, c.Stderr = out, out
		if _, err := child.Run(bound(t), c); err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		for i := range 500 {
			fmt.Fprintf(&want, "out%d\nerr%d\n", i, i)
		}
		if out.String() != want.String() {
			t.Errorf("order was lost: %.200q", out)
		}
	})
}

func TestTwoWriters(t *testing.T) {
	t.Parallel()
	out, errs := newOutput(t), newOutput(t)
	c := script("echo a; echo b >&2")
	c.Stdout, c.Stderr = out, errs
	if _, err := child.Run(bound(t), c); err != nil || out.String() != "a\n" || errs.String() != "b\n" {
		t.Errorf("%q, %q, %v", out, errs, err)
	}
}

func TestFloodAndBinary(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		const size = 64 << 20
		input := filepath.Join(t.TempDir(), "input")
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = byte(i * 7)
		}
		want := sha256.New()
		file, err := os.Create(input)
		if err != nil {
			t.Fatal(err)
		}
		for range size / len(block) {
			if _, err := io.MultiWriter(file, want).Write(block); err != nil {
				t.Fatal(err)
			}
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		source, err := os.Open(input)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = source.Close() }()
		got := sha256.New()
		c := way(script("cat"))
		c.Stdin, c.Stdout = io.LimitReader(source, size), got // a reader, not a file: it is copied
		if _, err := child.Run(bound(t), c); err != nil || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Errorf("%d bytes did not pass unharmed: %v", size, err)
		}
	})
}

func TestFilesAreHandedOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/in", []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(dir + "/in")
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(dir + "/out")
	if err != nil {
		t.Fatal(err)
	}
	c := script("[ -p /dev/stdin ] && exit 9; cat; [ -p /dev/stdout ] && exit 9; exit 0")
	c.Stdin, c.Stdout, c.Stderr = in, out, out
	_, err = child.Run(bound(t), c)
	if err := errors.Join(err, in.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(dir + "/out"); err != nil || string(text) != "hello" {
		t.Errorf("%q, %v", text, err)
	}
	c.Stdout = out
	var failed *child.StartError
	if _, err := child.Run(bound(t), c); !errors.As(err, &failed) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
}

func TestNothingGiven(t *testing.T) {
	t.Parallel()
	c := script("cat; echo lost; echo lost >&2")
	if _, err := child.Run(bound(t), c); err != nil {
		t.Error(err)
	}
}

func TestChildThatReadsLittle(t *testing.T) {
	t.Parallel()
	c := script("head -c 10 >/dev/null")
	c.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
	if exit, err := child.Run(bound(t), c); err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v", exit, err)
	}
}

// brokenReader gives some bytes and then fails.
type brokenReader struct{ err error }

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.err == nil {
		return 0, errors.New("disk on fire")
	}
	err := r.err
	r.err = nil
	return copy(p, "CREATE TABLE half"), errors.Unwrap(err)
}

func TestFailingInputEndsTheCommand(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		// A child that took the cut for the end would write the file.
		done := filepath.Join(t.TempDir(), "done")
		c := way(script(`cat >/dev/null; echo complete > "` + done + `"`))
		c.Stdin = &brokenReader{err: errors.New("first")}
		exit, err := child.Run(bound(t), c)
		var failed *child.StreamError
		if !errors.As(err, &failed) || failed.Stream != "stdin" || !strings.Contains(err.Error(), "disk on fire") {
			t.Errorf("error %v", err)
		}
		if !exit.Stopped || exit.Code == 0 {
			t.Errorf("%+v", exit)
		}
		if _, err := os.Stat(done); !errors.Is(err, fs.ErrNotExist) {
			t.Error("the child took a cut input for a complete one")
		}
	})
}

type failingWriter struct {
	room  int
	delay time.Duration
}

func (w *failingWriter) Write(p []byte) (int, error) {
	time.Sleep(w.delay)
	if w.room < len(p) {
		return 0, fmt.Errorf("store output: %w", syscall.ENOSPC)
	}
	w.room -= len(p)
	return len(p), nil
}

func TestFailingOutputEndsTheCommand(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		for _, text := range []string{
			"yes",                               // ends by the broken pipe or by TERM
			"trap '' PIPE; yes; sleep 1000",     // would go on without its output
			"head -c 200000 /dev/zero; exit 0 ", // may end with 0 before the failure is seen
		} {
			c := way(script(text))
			c.Stdout = &failingWriter{room: 100 << 10}
			_, err := child.Run(bound(t), c)
			var failed *child.StreamError
			if !errors.As(err, &failed) || failed.Stream != "stdout" || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s: %v", text, err)
			}
		}
		// The command has long ended well when its last words cannot be stored.
		c := way(script("echo words"))
		c.Stdout = &failingWriter{delay: 300 * time.Millisecond}
		exit, err := child.Run(bound(t), c)
		if exit.Code != 0 || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("late: %+v, %v", exit, err)
		}
	})
}

func TestBlockedInputDoesNotHang(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	c := script("exit 0")
	c.Stdin, c.WaitDelay = r, 50*time.Millisecond
	if _, err := child.Run(bound(t), c); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-and-more"
	base := script("cat >/dev/null; exit 4")
	base.Argv = append(base.Argv, secret)
	base.Env = append(base.Env, "PASSWORD="+secret)
	failing := base
	failing.Stdin = strings.NewReader(secret)
	missing := base
	missing.Argv = []string{"no-such-program", secret}
	folder := base
	folder.Dir = "/no/such/folder"
	invalid := base
	invalid.Env = []string{secret}
	marks := base
	marks.Marks = []string{secret}
	nul := base
	nul.Argv = []string{"true", secret + "\x00"}
	for _, c := range []child.Command{failing, missing, folder, invalid, marks, nul} {
		_, err := child.Run(bound(t), c)
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
			t.Errorf("error %#v", err)
		}
	}
}

func TestMemoryIsNotInvented(t *testing.T) {
	t.Parallel()
	exit, err := child.Run(bound(t), script("true"))
	if err != nil || exit.MaxRSS != 0 {
		t.Errorf("a shell needs less than this process, so its peak is unknown: %d, %v", exit.MaxRSS, err)
	}
	if _, err := os.Stat("/usr/bin/python3"); err != nil {
		t.Fatal(err)
	}
	c := script(`/usr/bin/python3 -c 'x = bytearray(600<<20)'`)
	exit, err = child.Run(bound(t), c)
	if err != nil || exit.MaxRSS < 600<<20 || exit.MaxRSS > 800<<20 {
		t.Errorf("peak %d, %v", exit.MaxRSS, err)
	}
}

func TestUnderRaceOfMany(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		type result struct {
			exit child.Exit
			err  error
			out  *output
			code int
		}
		results := make(chan result)
		for i := range 20 {
			go func() {
				out := newOutput(t)
				// A daemon that left the session, one that holds the output, a zombie to be.
				c := way(script("(setsid sleep 1000 >/dev/null 2>&1 & echo $!); (sleep 1000 & echo $!); (setsid true &); exit " + strconv.Itoa(i)))
				c.Stdout, c.WaitDelay = out, 200*time.Millisecond
				exit, err := child.Run(bound(t), c)
				results <- result{exit, err, out, i}
			}()
		}
		for range 20 {
			r := <-results
			if r.exit.Code != r.code || r.exit.Escaped < 2 || r.exit.Escaped > 3 {
				t.Errorf("exit %d: %+v, %v", r.code, r.exit, r.err)
			}
			wantGone(t, r.out.pids(), 2)
		}
	})
}
