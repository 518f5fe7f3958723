package archive_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// big is longer than the distance between two reports of progress.
var big = strings.Repeat("0123456789abcdef", 1<<19) // 8 MiB

// once returns a hook that does its work the first time only.
func once(do func()) func() {
	done := false
	return func() {
		if !done {
			done = true
			do()
		}
	}
}

func TestFilesThatChange(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change  func(path string) error
		finding string
		torn    float64
	}{
		"grows": {func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString(strings.Repeat("more", 5<<20))
			return errors.Join(err, f.Close())
		}, "info grown", 1},
		"shrinks":        {func(path string) error { return os.Truncate(path, 100) }, "warning torn", 1},
		"is overwritten": {func(path string) error { return os.WriteFile(path, []byte(strings.ToUpper(big)), 0o600) }, "warning torn", 1},
		"is replaced": {func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("new"), 0o600), os.Rename(path+".new", path))
		}, "", 0},
		"is deleted": {os.Remove, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, policy := range []string{"warn", "fail"} {
				b := newBench(t)
				b.options.Changed = policy
				b.write("data/moving", big)
				b.write("data/still", "still")
				changed := false
				b.progress = once(func() {
					changed = true
					if err := tt.change(b.path("data/moving")); err != nil {
						t.Error(err)
					}
				})
				r, err := b.run()
				if !changed {
					t.Fatal("the file was never changed")
				}
				if policy == "fail" && tt.finding != "" {
					if err == nil || !strings.Contains(err.Error(), "moving") || jobs.HintOf(err) == "" {
						t.Errorf("changed: fail: %v, want an error that names the file, with a hint", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				var want []string
				if tt.finding != "" {
					want = []string{tt.finding}
				}
				if diff := cmp.Diff(want, findings(r)); diff != "" || r.Values["torn"] != tt.torn || r.Values["files"] != 2 {
					t.Errorf("values %v, findings (-want +got):\n%s", r.Values, diff)
				}
			}
		})
	}
}

func TestTreesThatChange(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, filepath.Join(outside, "secret"), "secret")
	for name, tt := range map[string]struct {
		change   func(b *bench) error
		findings []string
	}{
		"a file vanishes":      {func(b *bench) error { return os.Remove(b.path("data/file")) }, nil},
		"a directory vanishes": {func(b *bench) error { return os.RemoveAll(b.path("data/sub")) }, nil},
		"a file becomes a FIFO": {func(b *bench) error {
			return errors.Join(os.Remove(b.path("data/file")), syscall.Mkfifo(b.path("data/file"), 0o600))
		}, []string{"info specials-left-out"}},
		"a file becomes a link out": {func(b *bench) error {
			return errors.Join(os.Remove(b.path("data/file")), os.Symlink(outside+"/secret", b.path("data/file")))
		}, nil},
		"a directory becomes a link out": {func(b *bench) error {
			return errors.Join(os.RemoveAll(b.path("data/sub")), os.Symlink(outside, b.path("data/sub")))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.write("data/file", "file")
			b.write("data/sub/secret", "inner")
			b.write("data/stays", "stays")
			// Between the survey and the walk that reads.
			b.effect = func(string) {
				if err := tt.change(b); err != nil {
					t.Error(err)
				}
			}
			r, a := b.saved()
			if diff := cmp.Diff(tt.findings, findings(r)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			noSecret(t, a)
		})
	}
}

func TestEntriesExchangedWhileListed(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, filepath.Join(outside, "secret"), "secret")
	for name, change := range map[string]func(b *bench) error{
		"vanishes": func(b *bench) error { return os.Remove(b.path("data/dir/z")) },
		"becomes a FIFO": func(b *bench) error {
			return errors.Join(os.Remove(b.path("data/dir/z")), syscall.Mkfifo(b.path("data/dir/z"), 0o600))
		},
		"becomes a link": func(b *bench) error {
			return errors.Join(os.Remove(b.path("data/dir/z")), os.Symlink(outside+"/secret", b.path("data/dir/z")))
		},
		"parent becomes links": func(b *bench) error {
			return errors.Join(os.Rename(b.path("data/dir"), b.path("moved")), os.Symlink(outside, b.path("data/dir")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.write("data/dir/a", big)
			b.write("data/dir/z", "last")
			// While the first file of a directory is read, its listing is known.
			changed := false
			b.progress = once(func() {
				changed = true
				if err := change(b); err != nil {
					t.Error(err)
				}
			})
			r, a := b.saved()
			if !changed {
				t.Fatal("nothing was changed")
			}
			if name == "vanishes" {
				if diff := cmp.Diff([]string{"warning vanished"}, findings(r)); diff != "" {
					t.Errorf("findings (-want +got):\n%s", diff)
				}
			}
			noSecret(t, a)
		})
	}
}

// noSecret restores an artifact and looks for what lies outside of the tree.
func noSecret(t *testing.T, a *object.Artifact) {
	t.Helper()
	target := filepath.Join(t.TempDir(), "r")
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target}); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(target, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		body, err := os.ReadFile(path)
		if string(body) == "secret" {
			t.Errorf("%s was read from outside of the tree", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOtherMounts(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 1<<20, func(disk string) {
		b := newBench(t)
		b.write("data/here", "here")
		write(t, filepath.Join(disk, "there"), "there")
		mnt := b.path("data/mnt")
		if err := errors.Join(os.Mkdir(mnt, 0o755), syscall.Mount(disk, mnt, "", syscall.MS_BIND, "")); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Unmount(mnt, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}()
		r, _ := b.saved()
		if diff := cmp.Diff([]string{"warning mounts-left-out"}, findings(r)); diff != "" || r.Values["files"] != 1 {
			t.Errorf("values %v, findings (-want +got):\n%s", r.Values, diff)
		}
		b.options.FollowMounts = true
		r, _ = b.saved()
		if len(r.Findings) != 0 || r.Values["files"] != 2 {
			t.Errorf("follow_mounts: values %v, findings %v", r.Values, r.Findings)
		}
	})
}

func TestLiveSQLite(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, content := range map[string]string{
		"app.db": "SQLite format 3\x00rest", "app.db-wal": "frames",
		"idle.db": "SQLite format 3\x00rest", "idle.db-wal": "",
		"other": "text", "other-wal": "text", "gone.db-wal": "frames",
	} {
		b.write("data/"+name, content)
	}
	r, _ := b.saved()
	if len(r.Findings) != 1 || r.Findings[0].ID != "live-sqlite" || !strings.Contains(r.Findings[0].Text, "1 entries") ||
		!strings.Contains(r.Findings[0].Text, b.path("data/app.db")) {
		t.Errorf("findings %+v", r.Findings)
	}
	b.options.Exclude = []string{"app.db*"}
	if r, _ := b.saved(); len(r.Findings) != 0 {
		t.Errorf("excluded, but %+v", r.Findings)
	}
}
