package custody_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
)

// childVariable makes the test binary a process that works in a folder of its
// own until its input ends.
const childVariable = "CUSTODY_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	err := custody.InScratch(func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "artifact"), []byte("laid down"), 0o600); err != nil {
			return err
		}
		fmt.Println(dir)
		return second(io.Copy(io.Discard, os.Stdin))
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// worker is such a process.
type worker struct {
	cmd   *exec.Cmd
	input io.Closer
	dir   string
}

func startWorker(t *testing.T, parent string) *worker {
	t.Helper()
	w := &worker{cmd: exec.Command(os.Args[0])}
	w.cmd.Env = append(os.Environ(), childVariable+"=1", "TMPDIR="+parent)
	w.cmd.Stderr = os.Stderr
	input, err := w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	w.input = input
	t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	w.dir = strings.TrimSpace(line)
	return w
}

// age makes a folder look old.
func age(t *testing.T, dir string) {
	t.Helper()
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir, then, then); err != nil {
		t.Fatal(err)
	}
}

func exists(dir string) bool {
	_, err := os.Lstat(dir)
	return !errors.Is(err, fs.ErrNotExist)
}

// TestScratch: what a process that was killed laid down is removed by the next
// one; what belongs to one that lives, to somebody else or to nobody stays.
func TestScratch(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dead, alive := startWorker(t, parent), startWorker(t, parent)
	for _, w := range []*worker{dead, alive} {
		if info, err := os.Stat(w.dir); err != nil || info.Mode().Perm() != 0o700 || filepath.Dir(w.dir) != parent {
			t.Errorf("the working directory %s: %v, %v", w.dir, info, err)
		}
	}
	if err := dead.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = dead.cmd.Wait() // it was killed
	// Of another kind: a name that fits alone makes nothing ours.
	var others []string
	for name, make := range map[string]func(string) error{
		"open":   func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o755)) },
		"file":   func(p string) error { return os.WriteFile(p, nil, 0o700) },
		"link":   func(p string) error { return os.Symlink(dead.dir, p) },
		"broken": func(p string) error { return os.Symlink("nowhere", p) },
	} {
		path := filepath.Join(parent, custody.ScratchPrefix+name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if others = append(others, path); name == "open" || name == "file" {
			age(t, path)
		}
	}
	sweep := func() {
		t.Helper()
		if err := custody.SweepScratch(parent); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if !exists(dead.dir) {
		t.Error("a folder so young that its owner may not have locked it yet was removed")
	}
	age(t, dead.dir)
	age(t, alive.dir)
	sweep()
	if exists(dead.dir) {
		t.Error("the folder of a dead process is left")
	}
	if text, err := os.ReadFile(filepath.Join(alive.dir, "artifact")); err != nil || string(text) != "laid down" {
		t.Errorf("of a process that works: %q, %v", text, err)
	}
	for _, path := range others {
		if !exists(path) {
			t.Errorf("%s was removed", path)
		}
	}
	if err := alive.input.Close(); err != nil {
		t.Fatal(err)
	}
	if err := alive.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if exists(alive.dir) {
		t.Error("a process left its folder behind")
	}
}

// TestHoldIdentities: what decrypts can be read as a file while it is held, lies
// on no disk, and is gone afterwards.
func TestHoldIdentities(t *testing.T) {
	t.Parallel()
	texts := []string{"AGE-SECRET-KEY-ONE", "AGE-SECRET-KEY-TWO\n"}
	paths, release, err := custody.HoldIdentities(texts)
	if err != nil || len(paths) != 2 {
		t.Fatalf("%v, %v", paths, err)
	}
	var got []string
	var links []string
	for _, path := range slices.Concat(paths, paths[:1]) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text))
		link, err := os.Readlink(path)
		if err != nil {
			t.Fatal(err)
		}
		if links = append(links, link); !strings.HasPrefix(link, "/memfd:") {
			t.Errorf("it lies in %s", link)
		}
	}
	if !slices.Equal(got, []string{texts[0], texts[1], texts[0]}) {
		t.Errorf("held: %q", got)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	for i, path := range paths {
		if link, err := os.Readlink(path); err == nil && link == links[i] {
			t.Errorf("%s is still held", path)
		}
	}
}
