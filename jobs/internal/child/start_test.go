package child_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

func TestStartErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	plain := file("plain", "#!/bin/sh\n", 0o600)
	orphan := file("orphan", "#!/no/such/interpreter\n", 0o700)
	binary := file("binary", "\x7fELF but not really", 0o700)
	for _, test := range []struct {
		name string
		c    child.Command
		is   error
		text string
		hint bool
	}{
		{"not in PATH", child.Command{Argv: []string{"no-such-program"}}, child.ErrNotFound, "start no-such-program: no such program in PATH: file does not exist", true},
		{"empty PATH", child.Command{Argv: []string{"true"}, Env: []string{"PATH="}}, fs.ErrNotExist, "no such program", true},
		{"relative PATH", child.Command{Argv: []string{"plain"}, Env: []string{"PATH=."}, Dir: dir}, child.ErrNotFound, "no such program", true},
		{"not executable in PATH", child.Command{Argv: []string{"plain"}, Env: []string{"PATH=" + dir}}, fs.ErrPermission, "permission denied", true},
		{"no file", child.Command{Argv: []string{"/no/such/file"}}, fs.ErrNotExist, "start /no/such/file: no such file", false},
		{"no relative file", child.Command{Argv: []string{"./x"}, Dir: dir}, fs.ErrNotExist, "start ./x: no such file", false},
		{"folder", child.Command{Argv: []string{dir}}, fs.ErrPermission, "permission denied", true},
		{"not executable", child.Command{Argv: []string{plain}}, fs.ErrPermission, "permission denied", true},
		{"no interpreter", child.Command{Argv: []string{orphan}}, fs.ErrNotExist, "its interpreter: no such file", true},
		{"no program", child.Command{Argv: []string{binary}}, syscall.ENOEXEC, "exec format error", true},
		{"no folder", child.Command{Argv: []string{"true"}, Dir: dir + "/none"}, fs.ErrNotExist, "start true: enter " + dir + "/none: no such file", true},
		{"file as folder", child.Command{Argv: []string{"true"}, Dir: plain}, syscall.ENOTDIR, "enter " + plain, true},
		{"no argv", child.Command{}, nil, "no program given", false},
		{"NUL", child.Command{Argv: []string{"true", "a\x00b"}}, nil, "argument 1 holds a NUL", false},
		{"no key", child.Command{Argv: []string{"true"}, Env: []string{"A=1", "novalue"}}, nil, "environment entry 1", false},
		{"bad mark", child.Command{Argv: []string{"true"}, Marks: []string{"A="}}, nil, "mark 0", false},
		{"user", child.Command{Argv: []string{"true"}, User: "no-such-user"}, user.UnknownUserError("no-such-user"), "user no-such-user", false},
		{"group", child.Command{Argv: []string{"true"}, User: "root:no-such-group"}, user.UnknownGroupError("no-such-group"), "group no-such-group", false},
		{"number without group", child.Command{Argv: []string{"true"}, User: "4123456"}, nil, "write 4123456:GROUP", false},
		{"half a user", child.Command{Argv: []string{"true"}, User: "root:"}, nil, "neither USER nor", false},
		{"number out of range", child.Command{Argv: []string{"true"}, User: "4294967295:1"}, nil, "user 4294967295", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ways(t, func(t *testing.T, way func(child.Command) child.Command) {
				exit, err := child.Run(bound(t), way(test.c))
				var failed *child.StartError
				if !errors.As(err, &failed) || exit.Code != -1 || !strings.Contains(err.Error(), test.text) {
					t.Fatalf("%+v, %v", exit, err)
				}
				if test.is != nil && !errors.Is(err, test.is) {
					t.Errorf("%v is not %v", err, test.is)
				}
				if (failed.Hint() != "") != test.hint {
					t.Errorf("hint %q", failed.Hint())
				}
			})
		})
	}
}

func TestProgramsAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, sub := range []string{"a", "b", "a/tool"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tool := filepath.Join(dir, "b", "tool")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\necho \"$0\" \"$1\"; pwd\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=/wrong", "PATH=relative:" + dir + "/a:" + dir + "/b"}
	if got, err := child.LookPath("tool", env, ""); err != nil || got != tool {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := child.LookPath("b/tool", nil, dir); err != nil || got != tool {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := child.LookPath("sh", nil, ""); err != nil || !strings.HasSuffix(got, "/sh") {
		t.Errorf("%q, %v", got, err)
	}
	for _, name := range []string{"tool", "b/tool", tool} {
		out := newOutput(t)
		c := child.Command{Argv: []string{name, "x y"}, Env: append([]string{"LC_ALL=C"}, env...), Dir: dir, Stdout: out}
		if _, err := child.Run(bound(t), c); err != nil || out.String() != tool+" x y\n"+dir+"\n" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

func TestBusyProgramIsTriedAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	open := func() *os.File {
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open()
	closed := make(chan error)
	time.AfterFunc(20*time.Millisecond, func() { closed <- f.Close() })
	_, err := child.Run(bound(t), child.Command{Argv: []string{file}})
	if err := errors.Join(err, <-closed); err != nil {
		t.Error(err)
	}
	f = open()
	var failed *child.StartError
	if _, err = child.Run(bound(t), child.Command{Argv: []string{file}}); !errors.As(err, &failed) || !errors.Is(err, syscall.ETXTBSY) {
		t.Errorf("for ever busy: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		show := func(spec string) child.Command {
			c := way(script("id -u; id -g; id -G"))
			c.User = spec
			return c
		}
		for _, spec := range []string{me.Username, me.Uid, me.Username + ":" + me.Gid} {
			if got := prints(t, show(spec)); got[0] != me.Uid || got[1] != me.Gid {
				t.Errorf("%s: %v", spec, got)
			}
		}
		if me.Uid != "0" {
			for _, spec := range []string{"root", "0:0", "daemon", me.Username + ":root"} {
				var failed *child.StartError
				_, err := child.Run(bound(t), show(spec))
				if !errors.As(err, &failed) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "only root") {
					t.Errorf("%s: %v", spec, err)
				}
			}
			return
		}
		for spec, want := range map[string]string{
			"nobody":        "65534 65534 65534",
			"nobody:daemon": "65534 1 1 65534",
			"12345:23456":   "12345 23456 23456",
			"65534:1":       "65534 1 1 65534",
		} {
			if got := strings.Join(prints(t, show(spec)), " "); got != want {
				t.Errorf("%s: %q, want %q", spec, got, want)
			}
		}
		// Limits and another user at once, and a folder that is closed to it.
		c := show("nobody")
		c.Limits.Files = 50
		if got := prints(t, c); got[0] != "65534" {
			t.Errorf("with limits: %v", got)
		}
		c = show("nobody")
		c.Dir = t.TempDir()
		if err := os.Chmod(c.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		var failed *child.StartError
		if _, err := child.Run(bound(t), c); !errors.As(err, &failed) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(failed.Hint(), "nobody") {
			t.Errorf("closed folder: %v", err)
		}
	})
}

func TestLookupUserKnowsAllGroups(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"root", "nobody", "daemon"} {
		a, err := child.LookupUser(name)
		if err != nil || a.Name != name || a.Home == "" {
			t.Errorf("%+v, %v", a, err)
		}
		got := make([]string, 0, len(a.Groups))
		for _, g := range a.Groups {
			got = append(got, fmt.Sprint(g))
		}
		want := prints(t, script("id -G "+name))
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: groups %v, want %v", name, got, want)
		}
	}
}

// playRoot is a set-user-id program that becomes root altogether, so that an
// ordinary user cannot signal it.
func playRoot() {
	if err := syscall.Setresuid(0, 0, 0); err != nil {
		panic(err)
	}
	fmt.Println(os.Getpid())
	time.Sleep(time.Hour)
}

// playStuck runs it as an ordinary user and wants it stopped.
func playStuck() {
	ctx, cancel := context.WithCancel(context.Background())
	lines := make(chan string, 1)
	c := child.WithPatience(child.Command{
		Argv: []string{os.Getenv("PROGRAM")}, Env: []string{"CHILD_TEST_PART=root"},
		Stdout: lineWriter(lines), Grace: 50 * time.Millisecond, WaitDelay: 50 * time.Millisecond,
	}, 200*time.Millisecond)
	go func() { fmt.Fprintln(os.Stderr, strings.TrimSpace(<-lines)); cancel() }()
	exit, err := child.Run(ctx, c)
	var left *child.LeftoverError
	var stopped *child.StopError
	report([]any{exit.Remaining, errors.As(err, &left), errors.As(err, &stopped), exit.Killed, left != nil && errors.Is(left, fs.ErrPermission)})
}

func TestWhatCannotBeKilledIsReported(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // the program it needs can only be made by root; CI is
	}
	dir, err := os.MkdirTemp("", "child-stuck")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program := filepath.Join(dir, "program")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, self, 0o755), os.Chmod(program, 0o755|os.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	c := script("")
	c.Argv, c.User = []string{"/proc/self/exe"}, "nobody"
	c.Env = []string{"CHILD_TEST_PART=stuck", "PROGRAM=" + program}
	out, errs := newOutput(t), newOutput(t)
	c.Stdout, c.Stderr, c.WaitDelay = out, errs, 100*time.Millisecond
	exit, err := child.Run(bound(t), c)
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	var got []any
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "[1 true true true true]" {
		t.Errorf("remaining, LeftoverError, StopError, killed, cause: %v", got)
	}
	if exit.Escaped != 1 {
		t.Errorf("root's own tree: %+v", exit)
	}
	wantGone(t, errs.pids(), 1)
}

// TestAsOrdinaryUser repeats what depends on privilege as the user nobody.
func TestAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // then all tests are run by an ordinary user
	}
	c := script("")
	c.Argv = []string{"/proc/self/exe", "-test.count=1", "-test.run=^Test(Cgroup|Leftovers|Stop|Output|Start|Limits|Users|Nice|Sweep|Identity|Nameless|UnderRace)"}
	c.Env, c.User = []string{path, "TMPDIR=" + os.TempDir()}, "nobody"
	out := newOutput(t)
	c.Stdout, c.Stderr = out, out
	exit, err := child.Run(bound(t), c)
	if err != nil || exit.Escaped != 0 || !strings.HasSuffix(out.String(), "PASS\n") {
		t.Errorf("%+v, %v: %s", exit, err, out)
	}
}
