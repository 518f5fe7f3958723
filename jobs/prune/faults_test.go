package prune_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/prune"
)

// all lets a rule delete whatever share it finds.
func all(o *prune.Options) { o.MaxShare = 100 }

func TestRun_SocketsAndDevicesStay(t *testing.T) {
	t.Parallel()
	for name, world := range map[string]prune.World{"typed": {}, "untyped": {Untyped: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			listener, err := net.Listen("unix", filepath.Join(root, "s.log"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			if err := syscall.Mkfifo(filepath.Join(root, "p.log"), 0o600); err != nil {
				t.Fatal(err)
			}
			want := []string{".", "p.log", "s.log"}
			if os.Geteuid() == 0 {
				if err := unix.Mknod(filepath.Join(root, "n.log"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
					t.Fatal(err)
				}
				want = []string{".", "n.log", "p.log", "s.log"}
			}
			for _, name := range want[1:] {
				setAge(t, filepath.Join(root, name), 90*day)
			}
			put(t, filepath.Join(root, "old.log"), 90*day)
			r, _, err := trial{world: world, adjust: func(o *prune.Options) { all(o); packs("gzip")(o) }}.run(t, root)
			if err != nil || r.Values["deleted"] != 1 || r.Values["files_seen"] != 1 {
				t.Errorf("result %+v, %v", r, err)
			}
			if diff := cmp.Diff(want, names(t, root)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRun_SwappedRoot puts another tree in the place of the root, and of the
// folder that holds it, when the first file is about to go.
func TestRun_SwappedRoot(t *testing.T) {
	t.Parallel()
	for _, swapped := range []string{"data/logs", "data"} {
		for memory, world := range map[string]prune.World{"": {}, ", without memory": little()} {
			t.Run(swapped+memory, func(t *testing.T) {
				t.Parallel()
				base := t.TempDir()
				root := filepath.Join(base, "data", "logs")
				put(t, filepath.Join(root, "app", "old.log"), 90*day)
				put(t, filepath.Join(root, "old.log"), 90*day)
				for _, dir := range []string{"precious/logs", "precious"} {
					put(t, filepath.Join(base, dir, "app", "old.log"), 90*day)
					put(t, filepath.Join(base, dir, "old.log"), 90*day)
				}
				before := jobstest.Tree(t, filepath.Join(base, "precious"))
				fired := 0
				r, _, err := trial{world: world, adjust: all, hooks: jobs.Hooks{Effect: serial(func(string) {
					if fired++; fired == 1 {
						path := filepath.Join(base, swapped)
						if err := errors.Join(os.Rename(path, filepath.Join(base, "away")), os.Symlink(filepath.Join(base, "precious"), path)); err != nil {
							t.Error(err)
						}
					}
				})}}.run(t, root)
				// The folder that was opened is worked on, whatever its path now leads to.
				if err != nil || fired < 1 || r.Values["deleted"] != 2 {
					t.Errorf("result %+v, %v, %d effects", r, err, fired)
				}
				if diff := cmp.Diff(before, jobstest.Tree(t, filepath.Join(base, "precious"))); diff != "" {
					t.Errorf("the world outside changed (-before +after):\n%s", diff)
				}
			})
		}
	}
}

// TestRun_FolderVanishes takes a folder away after the survey.
func TestRun_FolderVanishes(t *testing.T) {
	t.Parallel()
	for memory, world := range map[string]prune.World{"with memory": {}, "without memory": little()} {
		t.Run(memory, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			root := filepath.Join(base, "logs")
			for i := range 40 {
				put(t, filepath.Join(root, fmt.Sprintf("%02d", i), "deep", "old.log"), 90*day)
			}
			var fired atomic.Int64
			r, out, err := trial{world: world, adjust: all, hooks: jobs.Hooks{Effect: func(what string) {
				if n := fired.Add(1); n == 1 {
					for i := 10; i < 20; i++ {
						if err := os.RemoveAll(filepath.Join(root, fmt.Sprintf("%02d", i))); err != nil {
							t.Error(err)
						}
					}
					for i := 20; i < 30; i++ {
						if err := os.Rename(filepath.Join(root, fmt.Sprintf("%02d", i)), filepath.Join(base, fmt.Sprint("moved-", i))); err != nil {
							t.Error(err)
						}
					}
				}
			}}}.run(t, root)
			if err != nil || fired.Load() < 20 {
				t.Fatalf("%v, %d effects\n%s", err, fired.Load(), out)
			}
			if got := r.Values["deleted"]; got < 20 || got > 40 {
				t.Errorf("deleted %v", got)
			}
			for i := range 10 {
				if exists(filepath.Join(root, fmt.Sprintf("%02d", i), "deep", "old.log")) {
					t.Errorf("%02d was left out", i)
				}
			}
		})
	}
}

// TestRun_GrowingFile appends to a file for as long as rules run.
func TestRun_GrowingFile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := filepath.Join(root, "grows.log")
	for n := range 20 {
		write(t, path, chatter(10), 90*day)
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		form, fired := []string{"none", "zstd"}[n%2], 0
		r, _, err := trial{adjust: func(o *prune.Options) {
			if all(o); form != "none" {
				packs(form)(o)
				o.OlderThan = 0
			}
		}, hooks: jobs.Hooks{Effect: serial(func(string) {
			fired++
			if _, err := io.WriteString(f, "more\n"); err != nil {
				t.Error(err)
			}
		})}}.run(t, root)
		if err := errors.Join(err, f.Close()); err != nil || fired != 1 {
			t.Fatalf("%v, %d effects", err, fired)
		}
		if !exists(path) || r.Values["deleted"]+r.Values["compressed"] != 0 {
			t.Fatalf("a growing file went: %+v", r)
		}
	}
}

// TestRun_OtherFileSystemStays mounts a disk below the root.
func TestRun_OtherFileSystemStays(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can mount; this is proven where the tests run as root")
		return
	}
	root := mountDisk(t, "size=4m")
	inside := mkdir(t, filepath.Join(root, "inside", "disk"))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "none", inside).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", inside).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	put(t, filepath.Join(inside, "precious.log"), 90*day)
	put(t, filepath.Join(root, "inside", "old.log"), 90*day)
	for _, stepwise := range []bool{false, true} {
		put(t, filepath.Join(root, "inside", "old.log"), 90*day)
		setAge(t, filepath.Join(root, "inside"), 90*day)
		r, _, err := trial{world: prune.World{Stepwise: stepwise}, adjust: func(o *prune.Options) {
			all(o)
			o.MountRoot, o.EmptyFolders = true, 1
		}}.run(t, root)
		if err != nil || r.Values["deleted"] != 1 || !strings.Contains(r.Summary, "1 skipped: on another mount") || !exists(filepath.Join(inside, "precious.log")) {
			t.Errorf("stepwise %v: %+v, %v", stepwise, r, err)
		}
	}
}

func TestRun_ReadOnlyFileSystem(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can mount; this is proven where the tests run as root")
		return
	}
	disk := mountDisk(t, "size=4m")
	root := filepath.Join(disk, "logs")
	write(t, filepath.Join(root, "old.log"), chatter(100), 90*day)
	write(t, filepath.Join(root, "younger.log"), chatter(1000), 2*day)
	setAge(t, mkdir(t, filepath.Join(root, "empty")), 90*day)
	if out, err := exec.Command("mount", "-o", "remount,ro", disk).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(root, "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Fatalf("the disk is not read-only: %v", err)
	}
	r, _ := apply(t, root, func(o *prune.Options) { packs("zstd")(o); o.EmptyFolders = 1 })
	if r.Worst() != jobs.Warning || r.Values["deleted"]+r.Values["compressed"]+r.Values["folders_removed"] != 0 || !strings.Contains(r.Summary, "3 skipped: no permission") {
		t.Errorf("result %+v", r)
	}
}

func TestRun_ImmutableFile(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can make files immutable; this is proven where the tests run as root")
		return
	}
	root := mountDisk(t, "size=4m")
	path := filepath.Join(root, "logs", "fixed.log")
	put(t, path, 90*day)
	put(t, filepath.Join(root, "logs", "old.log"), 90*day)
	if out, err := exec.Command("chattr", "+i", path).CombinedOutput(); err != nil {
		t.Fatalf("chattr: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("chattr", "-i", path).CombinedOutput(); err != nil {
			t.Errorf("chattr: %v: %s", err, out)
		}
	})
	if err := os.Remove(path); !errors.Is(err, unix.EPERM) {
		t.Fatalf("the file is not immutable: %v", err)
	}
	r, _ := apply(t, filepath.Join(root, "logs"), all)
	if r.Values["deleted"] != 1 || r.Worst() != jobs.Warning || !strings.Contains(r.Summary, "1 skipped: no permission") {
		t.Errorf("result %+v", r)
	}
}

// asNobody names the environment variable that tells a test process that it is
// the one of nobody.
const asNobody = "UPKEEP_TEST_AS_NOBODY"

// TestRun_AsNobody runs what root is not subject to in a process of nobody.
func TestRun_AsNobody(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 || os.Getenv(asNobody) != "" {
		t.Log("this process is nobody of importance: the tests prove it here")
		return
	}
	dir, err := os.MkdirTemp("", "upkeep-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	binary := filepath.Join(dir, "prune.test")
	own, err := os.ReadFile("/proc/self/exe")
	if err := errors.Join(err, os.WriteFile(binary, own, 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.v", "-test.run", "^TestRun_(UnreadableFolderIsAWarning|OpenFilesStay|ForeignFiles|NeverTouches|Compress|EmptyFolders)$")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asNobody+"=1", "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: TestRun_") < 6 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRun_ForeignFiles meets files of somebody else in a folder of its own:
// whether they are open it cannot know.
func TestRun_ForeignFiles(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Log("nothing is foreign to root; nobody proves it (TestRun_AsNobody)")
		return
	}
	root := t.TempDir()
	put(t, filepath.Join(root, "own.log"), 90*day)
	r, _, err := trial{world: prune.World{Lease: func(int) error { return unix.EACCES }}}.run(t, root)
	if err != nil || r.Values["deleted"] != 0 || r.Worst() != jobs.Warning || !strings.Contains(r.Summary, "not known whether it is open") {
		t.Errorf("result %+v, %v", r, err)
	}
}
