package prune_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/prune"
)

// packs makes a rule compress what is a day old.
func packs(form string) func(*prune.Options) {
	return func(o *prune.Options) {
		o.Compress, o.CompressAfter, o.MaxShare = form, unit.Duration(day), 100
	}
}

// chatter is text that a log could hold.
func chatter(lines int) []byte {
	var b bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&b, "2026-11-01T00:00:%02dZ INFO request %d served in %d ms\n", i%60, i, i*7919%1000)
	}
	return b.Bytes()
}

func write(t *testing.T, path string, content []byte, age time.Duration) {
	t.Helper()
	put(t, path, 0)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	setAge(t, path, age)
}

// unpack reads a compressed file with the plain tool.
func unpack(t *testing.T, path string) []byte {
	t.Helper()
	program := "gzip"
	if strings.HasSuffix(path, ".zst") {
		program = "zstd"
	}
	out, err := exec.CommandContext(t.Context(), program, "-dc", path).Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return out
}

func TestKind_Compress(t *testing.T) {
	t.Parallel()
	jobstest.Exercise(t, prune.Kind(), jobstest.Fixture{
		Name: "compressed logs", Effects: true,
		Arrange: func(t *testing.T, root string, given any, _ *jobstest.Deps) {
			packs("zstd")(rule(t, given, filepath.Join(root, "logs")))
			for i := range 6 {
				write(t, filepath.Join(root, "logs", fmt.Sprintf("%d.log", i)), chatter(20_000), 2*day)
			}
			put(t, filepath.Join(root, "logs", "new.log"), 0)
		},
		Settled: func(t *testing.T, root string) {
			want := []string{".", "logs", "logs/0.log.zst", "logs/1.log.zst", "logs/2.log.zst", "logs/3.log.zst", "logs/4.log.zst", "logs/5.log.zst", "logs/new.log"}
			if diff := cmp.Diff(want, names(t, root)); diff != "" {
				t.Fatalf("left (-want +got):\n%s", diff)
			}
			for i := range 6 {
				if !bytes.Equal(unpack(t, filepath.Join(root, "logs", fmt.Sprintf("%d.log.zst", i))), chatter(20_000)) {
					t.Errorf("%d.log.zst does not hold what the log held", i)
				}
			}
		},
	})
}

func TestRun_Compress(t *testing.T) {
	t.Parallel()
	for form, ending := range map[string]string{"gzip": ".gz", "zstd": ".zst"} {
		for memory, world := range map[string]prune.World{"": {}, ", without memory": little()} {
			t.Run(form+memory, func(t *testing.T) {
				t.Parallel()
				root := t.TempDir()
				text := chatter(5000)
				log := filepath.Join(root, "app", "day.log")
				write(t, log, text, 2*day)
				noise := make([]byte, 64<<10)
				if _, err := io.ReadFull(rand.NewChaCha8([32]byte{1}), noise); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(root, "noise.log"), noise, 2*day)
				write(t, filepath.Join(root, "packed.log"), append([]byte{0x1f, 0x8b}, text...), 2*day)
				write(t, filepath.Join(root, "yesterday.log"+ending), text, 2*day)
				write(t, filepath.Join(root, "ancient.log"+ending), text, 30*day)
				write(t, filepath.Join(root, "empty.log"), nil, 2*day)
				write(t, filepath.Join(root, "today.log"), text, 0)
				write(t, filepath.Join(root, strings.Repeat("n", 251)+".log"), text, 2*day)
				if err := errors.Join(os.Chmod(log, 0o640), unix.Setxattr(log, "user.origin", []byte("db-1"), 0)); err != nil {
					t.Fatal(err)
				}
				if os.Geteuid() == 0 {
					if err := os.Chown(log, 1234, 4321); err != nil {
						t.Fatal(err)
					}
				}
				setAge(t, log, 2*day)
				before := stat(t, log)
				r, out, err := trial{world: world, adjust: packs(form)}.run(t, root)
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				want := []string{".", "app", "app/day.log" + ending, "empty.log", strings.Repeat("n", 251) + ".log", "noise.log", "packed.log", "today.log", "yesterday.log" + ending}
				if diff := cmp.Diff(want, names(t, root)); diff != "" {
					t.Fatalf("left (-want +got):\n%s\n%s", diff, r.Summary)
				}
				after := stat(t, log+ending)
				if after.Mtim != before.Mtim || after.Mode != before.Mode || after.Uid != before.Uid || after.Gid != before.Gid {
					t.Errorf("the copy has time %v, mode %o, owner %d:%d; want %v, %o, %d:%d",
						after.Mtim, after.Mode, after.Uid, after.Gid, before.Mtim, before.Mode, before.Uid, before.Gid)
				}
				attribute := make([]byte, 10)
				if n, err := unix.Getxattr(log+ending, "user.origin", attribute); err != nil || string(attribute[:n]) != "db-1" {
					t.Errorf("attribute %q, %v", attribute[:max(n, 0)], err)
				}
				if !bytes.Equal(unpack(t, log+ending), text) {
					t.Error("the copy does not hold what the log held")
				}
				for _, part := range []string{"deleted 1 file", "compressed 1 file", "1 skipped: its compressed name is taken", "2 skipped: does not get smaller"} {
					if !strings.Contains(r.Summary, part) {
						t.Errorf("summary %q lacks %q", r.Summary, part)
					}
				}
				if r.Values["compressed"] != 1 || r.Values["saved_bytes"] <= 0 || r.Values["deleted"] != 1 {
					t.Errorf("values %v", r.Values)
				}
			})
		}
	}
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRun_CompressAmid lets something happen when a file is about to be
// compressed, and what a crash can leave.
func TestRun_CompressAmid(t *testing.T) {
	t.Parallel()
	text := chatter(3000)
	tests := []struct {
		name   string
		before func(t *testing.T, log string)
		amid   func(log string) error
		skip   string
		left   []string
	}{
		{name: "it grows", amid: func(log string) error { return os.WriteFile(log, append(text, "more"...), 0o600) }, skip: "changed since", left: []string{".", "a.log"}},
		{name: "it is gone", amid: os.Remove, skip: "gone already", left: []string{"."}},
		{name: "it becomes a link", amid: func(log string) error {
			return errors.Join(os.Rename(log, log+".1"), os.Symlink("a.log.1", log))
		}, skip: "changed since", left: []string{".", "a.log", "a.log.1"}},
		{name: "it is open", before: func(t *testing.T, log string) {
			f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() }) // nothing was written
		}, skip: "open in a process", left: []string{".", "a.log"}},
		{name: "the copy was published before a crash", before: func(t *testing.T, log string) {
			out, err := exec.CommandContext(t.Context(), "zstd", "-q", "-k", log).CombinedOutput()
			if err != nil {
				t.Fatalf("zstd: %v: %s", err, out)
			}
		}, left: []string{".", "a.log.zst"}},
		{name: "another file has its name", before: func(t *testing.T, log string) { write(t, log+".zst", text, 2*day) }, skip: "its compressed name is taken", left: []string{".", "a.log", "a.log.zst"}},
		{name: "a folder has its name", before: func(t *testing.T, log string) { mkdir(t, log+".zst") }, skip: "its compressed name is taken", left: []string{".", "a.log", "a.log.zst"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			log := filepath.Join(root, "a.log")
			write(t, log, text, 2*day)
			if tt.before != nil {
				tt.before(t, log)
			}
			fired := 0
			r, out, err := trial{adjust: packs("zstd"), hooks: jobs.Hooks{Effect: serial(func(string) {
				if fired++; fired == 1 && tt.amid != nil {
					if err := tt.amid(log); err != nil {
						t.Error(err)
					}
				}
			})}}.run(t, root)
			if err != nil || fired != 1 {
				t.Fatalf("%v, %d effects\n%s", err, fired, out)
			}
			if diff := cmp.Diff(tt.left, names(t, root)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if tt.skip != "" && !strings.Contains(r.Summary, "1 skipped: "+tt.skip) || tt.skip == "" && r.Values["compressed"] != 1 {
				t.Errorf("summary %q", r.Summary)
			}
		})
	}
}

// TestRun_CompressOnAFullDisk has no room for the copy.
func TestRun_CompressOnAFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can mount a small disk; this is proven where the tests run as root")
		return
	}
	disk := mountDisk(t, "size=4m")
	root := filepath.Join(disk, "logs")
	text := chatter(20_000)
	write(t, filepath.Join(root, "a.log"), text, 2*day)
	if err := os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 8<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	r, _ := apply(t, root, packs("zstd"))
	if diff := cmp.Diff([]string{".", "a.log"}, names(t, root)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if r.Worst() != jobs.Warning || !strings.Contains(r.Summary, "1 skipped: no room to compress it") || r.Values["compressed"] != 0 {
		t.Errorf("result %+v", r)
	}
	if got, err := os.ReadFile(filepath.Join(root, "a.log")); err != nil || !bytes.Equal(got, text) {
		t.Errorf("the log is not what it was: %v", err)
	}
}

// mountDisk mounts a RAM disk for the duration of a test.
func mountDisk(t *testing.T, options string) string {
	t.Helper()
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "none", disk).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return disk
}
