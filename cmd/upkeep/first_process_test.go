package main_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Some processes of these jobs lose their parents before they end: a first
// process that does not bury them collects zombies.
const orphansConfig = `
timezone: UTC
node: db-1
ballast: off
kill_grace: 1s
workflows:
  orphans:
    schedule: {every: 1s}
    overlap: allow
    jobs:
      good: {kind: script, with: {run: "for i in 1 2 3 4 5; do (setsid sleep 0.05 &); done; sleep 0.2"}}
      three: {kind: script, continue_on_error: true, with: {run: "(setsid sleep 0.02 &); sleep 0.1; exit 3"}}
      signal: {kind: script, continue_on_error: true, with: {run: "(setsid sleep 0.02 &); sleep 0.1; kill -SEGV $$"}}
`

// nobody is the user and the group that own nothing (Debian, base-passwd).
const nobody = 65534

// As the first process of a PID namespace, as in a container, the service
// buries orphans and still gets the exit codes of its jobs right; root and
// others alike.
func TestServe_FirstProcess(t *testing.T) {
	t.Parallel()
	for _, user := range []int{0, nobody} {
		t.Run(strconv.Itoa(user), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, orphansConfig)
			d := h.launch(t, h.asFirstProcess(t, user))
			d.await(t, "upkeep serves")
			first := onlyChild(t, d.cmd.Process.Pid)
			eventually(t, "two runs ended", func() (bool, string) {
				return strings.Count(d.said(t), `msg="run ended" workflow=orphans state=warned`) >= 2, d.said(t)
			})
			text, _ := h.upkeep(t, 0, "history", "--state", "warned", "-n", "1", "-o", "json")
			_, id, _ := strings.Cut(text, `"id": "`)
			for _, a := range h.show(t, id[:36]).Attempts {
				want := map[string]string{"three": "exit status 3", "signal": "ended by SIGSEGV"}[a.Job]
				if (want == "") != (a.State == "succeeded") || !strings.Contains(a.Error, want) {
					t.Errorf("%s is %s: %s", a.Job, a.State, a.Error)
				}
			}
			if err := syscall.Kill(first, syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			d.await(t, "the configuration is reloaded")
			// Nothing of the past is left, dead or alive.
			eventually(t, "the orphans are buried", func() (bool, string) {
				dead := zombies(t, first)
				return len(dead) == 0, fmt.Sprint(dead)
			})
			if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			d.end(t)
			if strings.Contains(d.said(t), "bury orphaned processes") {
				t.Errorf("burying failed:\n%s", d.said(t))
			}
		})
	}
}

// asFirstProcess is the service as process 1 of a namespace with a /proc of its
// own, as root or as somebody else.
func (h *house) asFirstProcess(t *testing.T, user int) *exec.Cmd {
	t.Helper()
	cmd := h.command(t, "serve")
	program := h.program(t, cmd.Path)
	argv := []string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"}
	switch {
	case os.Geteuid() != 0 && user == 0:
		argv = append(argv, "--user", "--map-root-user")
	case os.Geteuid() != 0:
		argv = append(argv, "--user", "--map-current-user")
	case user != 0:
		h.giveTo(t, user)
		argv = append(argv, "setpriv", fmt.Sprintf("--reuid=%d", user), fmt.Sprintf("--regid=%d", user), "--clear-groups")
	}
	path, err := lookPath(argv[0])
	if err != nil {
		t.Fatal(err)
	}
	outer := exec.Command(path, append(append(argv[1:], program), cmd.Args[1:]...)...)
	outer.Dir, outer.Env = cmd.Dir, cmd.Env
	return outer
}

// program is a copy of the program that every user may execute, under its name.
func (h *house) program(t *testing.T, self string) string {
	t.Helper()
	path := filepath.Join(h.dir, "upkeep")
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// giveTo makes a house somebody else's, who has to find the way to it.
func (h *house) giveTo(t *testing.T, user int) {
	t.Helper()
	err := filepath.WalkDir(h.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, user, user))
	})
	for dir := filepath.Dir(h.dir); dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		err = errors.Join(err, os.Chmod(dir, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// onlyChild returns the only child of a process.
func onlyChild(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatalf("the children of %d are %q", pid, text)
	}
	return child
}

// zombies returns the children of a process that nobody has buried.
func zombies(t *testing.T, parent int) (dead []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		status, err := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		if err != nil {
			continue // no process, or none any more
		}
		if strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", parent)) && strings.Contains(string(status), "\nState:\tZ") {
			dead = append(dead, e.Name())
		}
	}
	return dead
}
