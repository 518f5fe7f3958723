package archive_test

import (
	"context"
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
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
)

// mortal is a store whose process dies at its nth call, or in the middle of it.
type mortal struct {
	object.Store
	left *int
}

func (m mortal) count() {
	if *m.left--; *m.left == 0 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
		select {}
	}
}

// Put counts as three calls: before, in the middle, and after.
func (m mortal) Put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (object.Info, error) {
	m.count()
	info, err := m.Store.Put(ctx, key, &mortalReader{Reader: r, m: m}, o)
	m.count()
	return info, err
}

func (m mortal) Get(ctx context.Context, key string) (io.ReadCloser, object.Info, error) {
	m.count()
	return m.Store.Get(ctx, key)
}

func (m mortal) Delete(ctx context.Context, key string) error {
	m.count()
	err := m.Store.Delete(ctx, key)
	m.count()
	return err
}

type mortalReader struct {
	io.Reader
	m    mortal
	once bool
}

func (r *mortalReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 && !r.once {
		r.once = true
		r.m.count()
	}
	return n, err
}

// saveAndDie is the other process of TestKill. Its exit code is 77 when it was
// never killed.
func saveAndDie() int {
	root := os.Getenv("ARCHIVE_TEST_DIE")
	at, err := strconv.Atoi(os.Getenv("ARCHIVE_TEST_AT"))
	if err != nil {
		panic(err)
	}
	r, err := saveInto(root, func(s object.Store) object.Store { return mortal{s, &at} })
	if err != nil || r.Summary == "" {
		panic(err)
	}
	return 77
}

// saveInto saves root/data into root/store, of which one artifact stays.
func saveInto(root string, wrap func(object.Store) object.Store) (jobs.Result, error) {
	t := &testing.T{}
	o := archive.Kind().Options().(*archive.Options)
	o.Paths, o.Store, o.Keep.Last = []unit.Path{unit.Path(filepath.Join(root, "data"))}, unit.Names{"s"}, 1
	deps := jobstest.NewDeps(t)
	deps.AddStore("s", wrap(openLocal(t, filepath.Join(root, "store"))))
	job, err := archive.Kind().Build(o, deps)
	if err != nil {
		return jobs.Result{}, err
	}
	work, err := os.MkdirTemp(root, "work")
	if err != nil {
		return jobs.Result{}, err
	}
	env := jobs.NewEnv(jobs.Env{RunID: "run", Workflow: "daily", Job: "files", Attempt: 1, Node: "n", Root: root, WorkDir: work}, jobs.Hooks{})
	return job.Run(context.Background(), env)
}

func TestKill(t *testing.T) {
	t.Parallel()
	killed := 0
	for at := 1; ; at++ {
		root := t.TempDir()
		write(t, filepath.Join(root, "data", "x"), "first")
		if _, err := saveInto(root, func(s object.Store) object.Store { return s }); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, "data", "x"), strings.Repeat("second", 1000))
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "ARCHIVE_TEST_DIE="+root, fmt.Sprintf("ARCHIVE_TEST_AT=%d", at))
		out, err := cmd.CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if ok && exit.ExitCode() == 77 {
			break
		}
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("kill point %d: the process ended with %v:\n%s", at, err, out)
		}
		killed++
		afterKill(t, root, at)
	}
	// 3 objects put at 3 points, the marker 3, reads 2+1+1, deletions of the
	// marker, and the retention of the older artifact.
	if killed < 25 {
		t.Errorf("only %d kill points were met", killed)
	}
	t.Logf("%d kills, each in the middle of an attempt", killed)
}

// afterKill checks what a killed process left, and that the next run
// converges.
func afterKill(t *testing.T, root string, at int) {
	t.Helper()
	store := openLocal(t, filepath.Join(root, "store"))
	whole := func() int {
		n := 0
		for a, err := range object.Artifacts(t.Context(), store, "") {
			if err != nil {
				t.Fatalf("kill point %d: %v", at, err)
			}
			if err := archive.Verify(t.Context(), a); err != nil {
				t.Errorf("kill point %d: a manifest without whole data: %v", at, err)
			}
			n++
		}
		return n
	}
	if n := whole(); n < 1 || n > 2 {
		t.Errorf("kill point %d: %d artifacts, want the old one, the new one or both", at, n)
	}
	// The dead attempt is taken for dead only after a day.
	old := time.Now().Add(-25 * time.Hour)
	err := filepath.WalkDir(filepath.Join(root, "store"), func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := saveInto(root, func(s object.Store) object.Store { return s }); err != nil {
		t.Errorf("kill point %d: the next run: %v", at, err)
	}
	if n := whole(); n != 1 {
		t.Errorf("kill point %d: after the next run %d artifacts, want 1", at, n)
	}
	files := 0
	for name := range jobstest.Tree(t, filepath.Join(root, "store")) {
		if info, err := os.Stat(filepath.Join(root, "store", name)); err == nil && info.Mode().IsRegular() {
			files++
		}
	}
	if files != 3 {
		t.Errorf("kill point %d: after the next run %d files are in the store, want 3:\n%v", at, files, jobstest.Tree(t, filepath.Join(root, "store")))
	}
}
