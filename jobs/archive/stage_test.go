package archive_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// namesIn returns what is in a directory.
func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A restore that fails late leaves everything as it was.
func TestExtract_FailsWhole(t *testing.T) {
	t.Parallel()
	a := forge(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "closed/", Mode: 0o500},
		tar.Header{Typeflag: tar.TypeReg, Name: "closed/file", Size: 1, Mode: 0o400},
		tar.Header{Typeflag: tar.TypeReg, Name: "../evil", Size: 1, Mode: 0o600},
	)
	for name, arrange := range map[string]func(top string) (target string, err error){
		"absent":        func(top string) (string, error) { return filepath.Join(top, "target"), nil },
		"absent parent": func(top string) (string, error) { return filepath.Join(top, "some", "where", "target"), nil },
		"empty": func(top string) (string, error) {
			return filepath.Join(top, "target"), os.Mkdir(filepath.Join(top, "target"), 0o751)
		},
		"a link to an empty one": func(top string) (string, error) {
			return filepath.Join(top, "link"), errors.Join(os.Mkdir(filepath.Join(top, "target"), 0o751), os.Symlink("target", filepath.Join(top, "link")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			target, err := arrange(top)
			if err != nil {
				t.Fatal(err)
			}
			before := jobstest.Tree(t, top)
			if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target}); !errors.Is(err, object.ErrDamaged) {
				t.Errorf("error %v, want ErrDamaged", err)
			}
			after := jobstest.Tree(t, top)
			delete(before, ".")
			delete(after, ".")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

// An empty target keeps its mode and its place.
func TestExtract_IntoEmpty(t *testing.T) {
	t.Parallel()
	a := forge(t, tar.Header{Typeflag: tar.TypeReg, Name: "file", Size: 1, Mode: 0o600})
	top := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(top, "target"), 0o700), os.Chmod(filepath.Join(top, "target"), os.ModeSetgid|0o751), os.Symlink("target", filepath.Join(top, "link"))); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: filepath.Join(top, "link")}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(top, "target"))
	if err != nil || info.Mode() != os.ModeDir|os.ModeSetgid|0o751 {
		t.Errorf("%v, %v", info, err)
	}
	if diff := cmp.Diff([]string{"link", "target"}, namesIn(t, top)); diff != "" {
		t.Errorf("beside the target (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"file"}, namesIn(t, filepath.Join(top, "target"))); diff != "" {
		t.Errorf("in the target (-want +got):\n%s", diff)
	}
}

// The root of a mount cannot be replaced, so the content is moved into it.
func TestExtract_IntoMount(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 1<<20, func(disk string) {
		good := forge(t, tar.Header{Typeflag: tar.TypeReg, Name: "a/file", Size: 1, Mode: 0o600}, tar.Header{Typeflag: tar.TypeReg, Name: "b", Size: 1, Mode: 0o600})
		bad := forge(t, tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 1, Mode: 0o600}, tar.Header{Typeflag: tar.TypeReg, Name: "/b", Size: 1, Mode: 0o600})
		if _, err := archive.Extract(t.Context(), bad, archive.Extraction{Target: disk}); err == nil {
			t.Error("extracted")
		}
		if got := namesIn(t, disk); len(got) != 0 {
			t.Errorf("a failed restore left %q", got)
		}
		large := forge(t, tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 2 << 20, Mode: 0o600})
		if _, err := archive.Extract(t.Context(), large, archive.Extraction{Target: disk}); err == nil || !strings.Contains(err.Error(), "bytes free") {
			t.Errorf("too large: %v", err)
		}
		if _, err := archive.Extract(t.Context(), large, archive.Extraction{Target: disk, Only: []string{"a"}}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("disk full: %v", err)
		}
		if got := namesIn(t, disk); len(got) != 0 {
			t.Errorf("a full disk left %q", got)
		}
		if _, err := archive.Extract(t.Context(), good, archive.Extraction{Target: disk}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a", "b"}, namesIn(t, disk)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// restoreAndDie is the other process of TestExtract_Killed: it dies at the nth
// report of progress. Its exit code is 77 when it lived.
func restoreAndDie() int {
	root, left := os.Getenv("ARCHIVE_TEST_RESTORE"), 0
	if _, err := fmt.Sscan(os.Getenv("ARCHIVE_TEST_AT"), &left); err != nil {
		panic(err)
	}
	t := &testing.T{}
	a, err := object.Newest(context.Background(), openLocal(t, filepath.Join(root, "store")), "")
	if err != nil || a == nil {
		panic(err)
	}
	_, err = archive.Extract(context.Background(), a, archive.Extraction{Target: filepath.Join(root, "target"), Progress: func(_, _ int64) {
		if left--; left == 0 {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				panic(err)
			}
			select {}
		}
	}})
	if err != nil {
		panic(err)
	}
	return 77
}

func TestExtract_Killed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store = openLocal(t, b.path("store"))
	for _, name := range []string{"a", "b", "dir/c", "dir/d", "e"} {
		b.write("data/"+name, name)
	}
	_, a := b.saved()
	// What looks like ours but is not stays.
	foreign := b.path(".upkeep-restore-AAAAAAAAAAAAAAAAAAAAAAAAAA")
	write(t, filepath.Join(foreign, "precious"), "precious")
	write(t, b.path(".upkeep-restore-notes/precious"), "precious")
	killed := 0
	for at := 1; ; at++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "ARCHIVE_TEST_RESTORE="+b.root, fmt.Sprintf("ARCHIVE_TEST_AT=%d", at))
		out, err := cmd.CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if ok && exit.ExitCode() == 77 {
			break
		}
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("kill point %d: the process ended with %v:\n%s", at, err, out)
		}
		killed++
		if _, err := os.Stat(b.path("target")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("kill point %d: the target is there: %v", at, err)
		}
		// What the dead one left is gone after the next attempt, whether that is
		// killed or not: only its own is there.
		if got := len(stagesIn(t, b.root)); got != 1+1 {
			t.Errorf("kill point %d: %d stages are there, want the foreign one and the last one", at, got)
		}
	}
	if killed < 7 {
		t.Errorf("only %d kill points were met", killed)
	}
	if got := stagesIn(t, b.root); len(got) != 1 {
		t.Errorf("left: %q", got)
	}
	same(t, b.path("data"), b.path("target/data"))
	if _, err := os.Stat(filepath.Join(foreign, "precious")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.path(".upkeep-restore-notes/precious")); err != nil {
		t.Error(err)
	}
	if err := archive.Verify(t.Context(), a); err != nil {
		t.Error(err)
	}
}

// stagesIn returns the directories of unfinished restores, and what looks like
// them.
func stagesIn(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for _, name := range namesIn(t, dir) {
		if strings.HasPrefix(name, ".upkeep-restore-") && name != ".upkeep-restore-notes" {
			out = append(out, name)
		}
	}
	return out
}

// Two restores beside each other leave each other alone.
func TestExtract_BesideAnother(t *testing.T) {
	t.Parallel()
	a := forge(t, tar.Header{Typeflag: tar.TypeReg, Name: "file", Size: 1, Mode: 0o600}, tar.Header{Typeflag: tar.TypeReg, Name: "other", Size: 1, Mode: 0o600})
	top := t.TempDir()
	nested := once(func() {
		if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: filepath.Join(top, "inner")}); err != nil {
			t.Error(err)
		}
		if got := len(stagesIn(t, top)); got != 1 {
			t.Errorf("%d stages, want that of the one under way", got)
		}
	})
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: filepath.Join(top, "outer"), Progress: func(_, _ int64) { nested() }}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"inner", "outer"}, namesIn(t, top)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Somebody else puts something into the target meanwhile.
	_, err := archive.Extract(t.Context(), a, archive.Extraction{Target: filepath.Join(top, "third"), Progress: func(_, _ int64) {
		write(t, filepath.Join(top, "third", "theirs"), "theirs")
	}})
	if err == nil || jobs.HintOf(err) == "" {
		t.Errorf("into what was filled meanwhile: %v", err)
	}
	if diff := cmp.Diff([]string{"theirs"}, namesIn(t, filepath.Join(top, "third"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := stagesIn(t, top); len(got) != 0 {
		t.Errorf("left %q", got)
	}
}

// A target whose parent is closed to the user is filled in its place.
func TestExtract_BelowClosedParent(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("", "archive")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(os.Chmod(root, 0o755), os.RemoveAll(root)); err != nil {
			t.Error(err)
		}
	})
	write(t, filepath.Join(root, "data", "file"), "content")
	if _, err := saveInto(root, func(s object.Store) object.Store { return s }); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(root, "test")
	if err := errors.Join(os.WriteFile(self, program, 0o755), os.Mkdir(filepath.Join(root, "target"), 0o700)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Dir = root
	cmd.Env = []string{"ARCHIVE_TEST_RESTORE=" + root, "ARCHIVE_TEST_AT=-1"}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if path == root {
				return err
			}
			return errors.Join(err, os.Lchown(path, 65534, 65534))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o555); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 77 {
		t.Fatalf("the restore ended with %v:\n%s", err, out)
	}
	if diff := cmp.Diff([]string{"data"}, namesIn(t, filepath.Join(root, "target"))); diff != "" {
		t.Errorf("in the target (-want +got):\n%s", diff)
	}
}
