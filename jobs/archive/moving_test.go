package archive_test

import (
	"errors"
	"fmt"
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
// What is read ahead of it is shorter than the rest of it.
var big = strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB

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

// restored returns the content of a file of an archive.
func restored(t *testing.T, a *object.Artifact, name string) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "r")
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target}); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(target, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestFilesThatChange(t *testing.T) {
	t.Parallel()
	appendTo := func(path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("more")
		return errors.Join(err, f.Close())
	}
	for name, tt := range map[string]struct {
		change func(path string) error
		// finding is there when the file never stops to change.
		finding string
		// grew tells that nothing but growth is to be seen.
		grew bool
		// settled is how long the file is that is saved when it changes once.
		settled int
	}{
		"grows":          {appendTo, "info grown", true, len(big)},
		"shrinks":        {func(path string) error { return os.Truncate(path, 10<<20) }, "", false, 10 << 20},
		"is overwritten": {func(path string) error { return os.WriteFile(path, []byte(strings.ToUpper(big)), 0o600) }, "warning torn", false, len(big)},
		"is replaced": {func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("new"), 0o600), os.Rename(path+".new", path))
		}, "", false, len(big)},
		"is deleted": {os.Remove, "", false, len(big)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, policy := range []string{"warn", "fail"} {
				b := newBench(t)
				b.options.Changed = policy
				b.write("data/moving", big)
				b.write("data/still", "still")
				b.progress = once(func() {
					if err := tt.change(b.path("data/moving")); err != nil {
						t.Error(err)
					}
				})
				// What stops to change is read again at the end, and good then.
				r, a := b.saved()
				var want []string
				torn := 0.0
				if tt.grew && policy == "warn" {
					want, torn = []string{"info grown"}, 1
				}
				if diff := cmp.Diff(want, findings(r)); diff != "" || r.Values["torn"] != torn || r.Values["files"] != 2 {
					t.Errorf("changes once, %s: values %v, findings (-want +got):\n%s", policy, r.Values, diff)
				}
				settled := tt.settled
				if tt.grew && policy == "fail" {
					settled += len("more")
				}
				if got := restored(t, a, "data/moving"); len(got) != settled || name == "is overwritten" && got != strings.ToUpper(big) {
					t.Errorf("changes once, %s: restored %d bytes, want %d", policy, len(got), settled)
				}
				if tt.finding == "" {
					continue
				}
				// What does not stop is torn.
				changes := 0
				b.progress = func() {
					changes++
					if err := tt.change(b.path("data/moving")); err != nil {
						t.Error(err)
					}
				}
				b.write("data/moving", big)
				r, err := b.run()
				if changes == 0 {
					t.Fatal("the file was never changed")
				}
				if policy == "fail" {
					if err == nil || !strings.Contains(err.Error(), "moving") || jobs.HintOf(err) == "" {
						t.Errorf("changed: fail: %v, want an error that names the file, with a hint", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{tt.finding}, findings(r)); diff != "" || r.Values["torn"] != 1 {
					t.Errorf("never stops: values %v, findings (-want +got):\n%s", r.Values, diff)
				}
			}
		})
	}
}

// A torn file whose second copy follows it comes out right from GNU tar too.
func TestTornFilesForOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("data/moving", big)
	b.progress = once(func() {
		if err := os.WriteFile(b.path("data/moving"), []byte(strings.ToUpper(big)), 0o600); err != nil {
			t.Error(err)
		}
	})
	b.store = openLocal(t, b.path("store"))
	r, a := b.saved()
	if len(findings(r)) != 0 || r.Values["files"] != 1 {
		t.Errorf("values %v, findings %v", r.Values, r.Findings)
	}
	body, err := os.ReadFile(filepath.Join(b.unpack(a), "data", "moving"))
	if err != nil || string(body) != strings.ToUpper(big) {
		t.Errorf("GNU tar made %d bytes of it, %v", len(body), err)
	}
}

// A second copy would part a file from its other names, so there is none.
func TestTornFileWithSeveralNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("data/one", big)
	if err := os.Link(b.path("data/one"), b.path("data/two")); err != nil {
		t.Fatal(err)
	}
	b.progress = once(func() {
		if err := os.WriteFile(b.path("data/two"), []byte(strings.ToUpper(big)), 0o600); err != nil {
			t.Error(err)
		}
	})
	r, a := b.saved()
	if diff := cmp.Diff([]string{"warning torn"}, findings(r)); diff != "" || r.Values["links"] != 1 {
		t.Errorf("values %v, findings (-want +got):\n%s", r.Values, diff)
	}
	if got := restored(t, a, "data/two"); len(got) != len(big) {
		t.Errorf("restored %d bytes", len(got))
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
			for i := range 20 { // more than what is opened ahead
				name := fmt.Sprintf("data/dir/b%02d", i)
				b.write(name, "")
				if err := os.Truncate(b.path(name), 2<<20); err != nil {
					t.Fatal(err)
				}
			}
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
