package prune_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/prune"
)

// noLeases is a file system without leases.
func noLeases(int) error { return unix.EINVAL }

// hold lets another process have files open: one for writing, one for reading.
func hold(t *testing.T, root string) {
	t.Helper()
	holder := exec.CommandContext(context.Background(), "sh", "-c", `exec 3>>written.log 4<read.log; echo ready; cat`)
	holder.Dir = root
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(stdin.Close(), holder.Wait()); err != nil {
			t.Error(err)
		}
	})
	if _, err := stdout.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
}

func TestRun_OpenFilesStay(t *testing.T) {
	t.Parallel()
	for name, world := range map[string]prune.World{"with leases": {}, "without leases": {Lease: noLeases}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for _, name := range []string{"written.log", "read.log", "mapped.log", "own.log", "idle.log"} {
				put(t, filepath.Join(root, name), 90*day)
			}
			hold(t, root)
			mapFile(t, filepath.Join(root, "mapped.log"))
			own, err := os.OpenFile(filepath.Join(root, "own.log"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = own.Close() }()
			r, out, err := trial{world: world, adjust: func(o *prune.Options) { o.MaxShare = 100 }}.run(t, root)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			left := []string{".", "mapped.log", "own.log", "read.log", "written.log"}
			reason := "4 skipped: open in a process"
			if world.Lease != nil && os.Geteuid() != 0 {
				// Only root sees what processes of others have open.
				left, reason = []string{".", "idle.log", "mapped.log", "own.log", "read.log", "written.log"}, "skipped: not known whether it is open"
				if r.Worst() != jobs.Warning {
					t.Errorf("findings = %+v, want a warning", r.Findings)
				}
			}
			if diff := cmp.Diff(left, names(t, root)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if !strings.Contains(r.Summary, reason) {
				t.Errorf("summary %q lacks %q", r.Summary, reason)
			}
		})
	}
}

// mapFile maps a file into this process without holding it open.
func mapFile(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, 10, unix.PROT_READ, unix.MAP_PRIVATE)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(memory); err != nil {
			t.Error(err)
		}
	})
}

func TestRun_WithoutLeasesOrProc(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, filepath.Join(root, "old.log"), 90*day)
	r, _, err := trial{world: prune.World{Lease: noLeases, Proc: t.TempDir()}}.run(t, root)
	if err != nil || !exists(filepath.Join(root, "old.log")) || r.Worst() != jobs.Warning {
		t.Errorf("what cannot be known was guessed: %+v, %v", r, err)
	}
}

func TestRun_FoldersWithoutTypes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, filepath.Join(root, "a", "b", "old.log"), 90*day)
	put(t, filepath.Join(root, "a", "other.txt"), 90*day)
	if err := os.Symlink("a", filepath.Join(root, "link.log")); err != nil {
		t.Fatal(err)
	}
	r, _, err := trial{world: prune.World{Untyped: true}}.run(t, root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".", "a", "a/b", "a/other.txt", "link.log"}, names(t, root)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if r.Values["files_seen"] != 2 {
		t.Errorf("files_seen = %v, want 2", r.Values["files_seen"])
	}
}

// TestRun_AsksForFewLeases: where all processes are seen only suspects are
// asked for one, and where they are not every file is.
func TestRun_AsksForFewLeases(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root sees all processes; this is proven where the tests run as root")
		return
	}
	outside := t.TempDir() // a /proc without this process's namespace
	if err := os.MkdirAll(filepath.Join(outside, "1", "fd"), 0o700); err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &stat); err != nil {
		t.Fatal(err)
	}
	want := 1
	if stat.Ino != 0xEFFFFFFC {
		want = 51 // the tests run in a container
	}
	for proc, want := range map[string]int{"": want, outside: 51} {
		root := t.TempDir()
		for i := range 50 {
			put(t, filepath.Join(root, fmt.Sprintf("%02d.log", i)), 90*day)
		}
		put(t, filepath.Join(root, "mapped.log"), 90*day)
		mapFile(t, filepath.Join(root, "mapped.log"))
		var asked atomic.Int64
		r, _, err := trial{adjust: func(o *prune.Options) { o.MaxShare = 100 }, world: prune.World{Proc: proc, Lease: func(fd int) error {
			asked.Add(1)
			_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
			return err
		}}}.run(t, root)
		if err != nil || r.Values["deleted"] != 50 || !exists(filepath.Join(root, "mapped.log")) {
			t.Errorf("result %+v, %v", r, err)
		}
		// The number of a mapped file's inode may be that of a log too.
		if n := int(asked.Load()); n < want || n > want+5 {
			t.Errorf("%d leases, want %d", n, want)
		}
	}
}

// TestRun_FilesBehindDevicesStay: the kernel itself has them open.
func TestRun_FilesBehindDevicesStay(t *testing.T) {
	t.Parallel()
	root, sys := t.TempDir(), t.TempDir()
	put(t, filepath.Join(root, "disk.log"), 90*day)
	put(t, filepath.Join(root, "old.log"), 90*day)
	loop := filepath.Join(sys, "block", "loop0", "loop")
	if err := errors.Join(os.MkdirAll(loop, 0o700), os.WriteFile(filepath.Join(loop, "backing_file"), []byte(filepath.Join(root, "disk.log")+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	asked := 0
	r, _, err := trial{world: prune.World{Sys: sys, Lease: func(int) error { asked++; return unix.EAGAIN }}}.run(t, root)
	if err != nil || asked == 0 || !exists(filepath.Join(root, "disk.log")) {
		t.Errorf("result %+v, %v, %d leases", r, err, asked)
	}
}
