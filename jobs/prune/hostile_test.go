package prune_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/prune"
)

func TestRun_NeverTouches(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	root, outside := filepath.Join(base, "logs"), filepath.Join(base, "outside")
	put(t, filepath.Join(outside, "precious.log"), 90*day)
	put(t, filepath.Join(root, "fine.log"), 90*day)
	put(t, filepath.Join(root, "linked.log"), 90*day)
	for _, err := range []error{
		os.Link(filepath.Join(root, "linked.log"), filepath.Join(base, "second-name")),
		os.Symlink(outside, filepath.Join(root, "away.log")),
		os.Symlink(filepath.Join(outside, "precious.log"), filepath.Join(root, "precious.log")),
		os.Mkdir(filepath.Join(root, "folder.log"), 0o700),
		exec.Command("mkfifo", filepath.Join(root, "pipe.log")).Run(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	setAge(t, filepath.Join(root, "folder.log"), 90*day)
	setAge(t, filepath.Join(root, "pipe.log"), 90*day)
	before := jobstest.Tree(t, outside)
	dry, _, err := trial{hooks: jobs.Hooks{DryRun: true}}.run(t, root)
	if err != nil || !strings.HasPrefix(dry.Summary, "would delete 1 file, ") || dry.Values["next_files"] != 1 {
		t.Errorf("a dry run promises more than a run does: %+v, %v", dry, err)
	}
	r, _ := apply(t, root, nil)
	want := []string{".", "away.log", "folder.log", "linked.log", "pipe.log", "precious.log"}
	if diff := cmp.Diff(want, names(t, root)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, jobstest.Tree(t, outside)); diff != "" {
		t.Errorf("the world outside changed (-before +after):\n%s", diff)
	}
	if !strings.Contains(r.Summary, "1 skipped: has several names") {
		t.Errorf("summary %q does not say why linked.log stayed", r.Summary)
	}
}

func TestRun_HostileNames(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"-rf.log", "a\nb.log", "$(touch pwned).log", "\xff\xfe.log", "; rm x.log", strings.Repeat("x", 250) + ".log"} {
		put(t, filepath.Join(root, name), 90*day)
	}
	deep := root
	for range 40 {
		deep = filepath.Join(deep, "d")
	}
	put(t, filepath.Join(deep, "deep.log"), 90*day)
	r, out := apply(t, root, func(o *prune.Options) { o.MaxShare = 100 })
	if r.Values["deleted"] != 7 {
		t.Errorf("deleted %v of 7; left %q", r.Values["deleted"], names(t, root))
	}
	if strings.Contains(out, "a\nb.log") || !utf8.ValidString(out) {
		t.Errorf("a hostile name reached the output as it is:\n%q", out)
	}
}

func TestRun_OtherMountsStay(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can mount; the rail is proven where the tests run as root")
		return
	}
	base := t.TempDir()
	root, elsewhere := filepath.Join(base, "logs"), filepath.Join(base, "elsewhere")
	put(t, filepath.Join(elsewhere, "precious.log"), 90*day)
	put(t, filepath.Join(root, "old.log"), 90*day)
	if err := os.Mkdir(filepath.Join(root, "mounted"), 0o700); err != nil {
		t.Fatal(err)
	}
	// A bind mount has the same device number as its surroundings.
	if out, err := exec.Command("mount", "--bind", elsewhere, filepath.Join(root, "mounted")).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", filepath.Join(root, "mounted")).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	r, _ := apply(t, root, nil)
	if !exists(filepath.Join(elsewhere, "precious.log")) || r.Values["deleted"] != 1 {
		t.Errorf("a file behind a mount was deleted: %+v", r)
	}
	_, _, err := try(t, filepath.Join(root, "mounted"), nil)
	if _, ok := errors.AsType[*jobs.RefusedError](err); !ok {
		t.Errorf("a root that is a mount point was accepted: %v", err)
	}
	allowed, _ := apply(t, filepath.Join(root, "mounted"), func(o *prune.Options) { o.MountRoot = true })
	if allowed.Values["deleted"] != 1 || exists(filepath.Join(elsewhere, "precious.log")) {
		t.Errorf("allow_mount_root: %+v", allowed)
	}
}

func TestRun_UnreadableFolderIsAWarning(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, filepath.Join(root, "closed", "old.log"), 90*day)
	put(t, filepath.Join(root, "old.log"), 90*day)
	if err := os.Chmod(filepath.Join(root, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Chmod(filepath.Join(root, "closed"), 0o700); err != nil {
			t.Error(err)
		}
	})
	r, _ := apply(t, root, nil)
	if os.Geteuid() == 0 {
		// Root reads everything.
		if r.Values["deleted"] != 2 {
			t.Errorf("deleted = %v, want 2", r.Values["deleted"])
		}
		return
	}
	if r.Worst() != jobs.Warning || r.Values["deleted"] != 1 {
		t.Errorf("result = %+v, want a warning about the closed folder", r)
	}
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRun_LooksAgain changes a file in the last moment: after the decision,
// before its deletion.
func TestRun_LooksAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(root, path string) error
		skip   string
	}{
		{"nothing", func(string, string) error { return nil }, ""},
		{"written to", func(_, path string) error { return os.WriteFile(path, []byte("more than before"), 0o600) }, "changed since"},
		{"touched", func(_, path string) error { return os.Chtimes(path, time.Now(), time.Now()) }, "changed since"},
		{"removed", func(_, path string) error { return os.Remove(path) }, "gone already"},
		{"linked", func(root, path string) error { return os.Link(path, filepath.Join(root, "again")) }, "has several names"},
		{"replaced by a file of the same age", func(root, path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			at := info.ModTime()
			return errors.Join(os.WriteFile(path+".new", []byte("0123456789"), 0o600), os.Chtimes(path+".new", at, at), os.Rename(path+".new", path))
		}, "changed since"},
		{"replaced by a link", func(root, path string) error {
			return errors.Join(os.Remove(path), os.Symlink(filepath.Join(root, "..", "precious.log"), path))
		}, "changed since"},
		{"replaced by a pipe", func(_, path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) }, "changed since"},
		{"replaced by a folder", func(_, path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "changed since"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			root := filepath.Join(base, "logs")
			path, precious := filepath.Join(root, "old.log"), filepath.Join(base, "precious.log")
			put(t, path, 90*day)
			put(t, precious, 90*day)
			fired := 0
			r, _, err := trial{hooks: jobs.Hooks{Effect: func(string) {
				fired++
				if err := tt.change(root, path); err != nil {
					t.Error(err)
				}
			}}}.run(t, root)
			if err != nil || fired != 1 {
				t.Fatalf("error %v, %d effects", err, fired)
			}
			if !exists(precious) {
				t.Error("a file outside was deleted")
			}
			if tt.skip == "" {
				if r.Values["deleted"] != 1 || exists(path) {
					t.Errorf("the file was not deleted: %+v", r)
				}
				return
			}
			if r.Values["deleted"] != 0 || !strings.Contains(r.Summary, "1 skipped: "+tt.skip) {
				t.Errorf("summary %q", r.Summary)
			}
			if tt.name != "removed" && !exists(path) {
				t.Error("what took the place of the file was deleted")
			}
		})
	}
}

func TestRun_TooDeep(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Deeper than a path can be long.
	name := strings.Repeat("d", 100)
	for range 60 {
		next := -1
		err := unix.Mkdirat(fd, name, 0o700)
		if err == nil {
			next, err = unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		}
		if err := errors.Join(err, unix.Close(fd)); err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, name, name, "old.log"), 90*day)
	r, _ := apply(t, root, nil)
	if r.Values["deleted"] != 1 || !strings.Contains(r.Summary, "1 skipped: too deep") {
		t.Errorf("result = %+v", r)
	}
}

func TestRun_LargeFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for i := range 9000 {
		age := 90 * day
		if i%3 == 0 {
			age = day
		}
		put(t, filepath.Join(root, fmt.Sprintf("%05d.log", i)), age)
	}
	r, _ := apply(t, root, nil)
	if r.Values["deleted"] != 6000 || len(names(t, root)) != 3001 {
		t.Errorf("deleted %v, %d left", r.Values["deleted"], len(names(t, root)))
	}
}

// TestRun_FullDisk prunes where no byte is free: that is when it is needed.
func TestRun_FullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can mount a small disk; this is proven where the tests run as root")
		return
	}
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "none", disk).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	root := filepath.Join(disk, "logs")
	put(t, filepath.Join(root, "old.log"), 90*day)
	if err := os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 2<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	r, _ := apply(t, root, nil)
	if r.Values["deleted"] != 1 || r.Values["freed_bytes"] == 0 {
		t.Errorf("result = %+v", r)
	}
}
