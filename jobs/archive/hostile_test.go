package archive_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// A configured path that becomes a link, or whose parent does, between the two
// walks leads nowhere else.
func TestRootExchanged(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, filepath.Join(outside, "tree", "secret"), "secret")
	write(t, filepath.Join(outside, "secret"), "secret")
	for name, change := range map[string]func(b *bench) error{
		"the path": func(b *bench) error {
			return errors.Join(os.Rename(b.path("up/tree"), b.path("moved")), os.Symlink(filepath.Join(outside, "tree"), b.path("up/tree")))
		},
		"its parent": func(b *bench) error {
			return errors.Join(os.Rename(b.path("up"), b.path("moved")), os.Symlink(outside, b.path("up")))
		},
		"the path is gone": func(b *bench) error { return os.RemoveAll(b.path("up/tree")) },
		"all files are gone": func(b *bench) error {
			return errors.Join(os.RemoveAll(b.path("up/tree")), os.MkdirAll(b.path("up/tree/empty"), 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.write("data/other", "other")
			b.write("up/tree/file", "inner")
			b.options.Paths = append(b.options.Paths, unit.Path(b.path("up/tree")))
			changed := false
			b.effect = func(string) {
				changed = true
				if err := change(b); err != nil {
					t.Error(err)
				}
			}
			r, err := b.run()
			if !changed || err == nil || len(r.Artifacts) != 0 {
				t.Errorf("changed %v, result %+v, %v; want an error", changed, r, err)
			}
		})
	}
}

// While one goroutine exchanges directories and files for links without a
// pause, nothing from outside comes into any archive.
func TestExchangedWithoutPause(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, filepath.Join(outside, "file"), "secret")
	b := newBench(t)
	for i := range 200 {
		b.write(fmt.Sprintf("data/%03d/file", i), "inner")
	}
	for _, name := range []string{"data/100", "data/150"} {
		if err := os.Symlink(outside, b.path(name)+"x"); err != nil {
			t.Fatal(err)
		}
	}
	stop, swaps := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { swaps <- n }()
		for {
			for _, name := range []string{"data/100", "data/150"} {
				select {
				case <-stop:
					return
				default:
				}
				if err := exchange(b.path(name), b.path(name)+"x"); err != nil {
					t.Error(err)
					return
				}
				n++
			}
		}
	}()
	for range 10 {
		_, a := b.saved()
		noSecret(t, a)
	}
	close(stop)
	if n := <-swaps; n < 100 {
		t.Errorf("only %d exchanges took place", n)
	}
}

// Files that say they are empty but are not, endless devices, and the state of
// the kernel.
func TestKernelFiles(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 1<<20, func(string) {
		b := newBench(t)
		b.write("data/here", "here")
		for _, name := range []string{"proc", "loop", "version"} {
			if err := os.Mkdir(b.path("data/"+name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		b.write("data/version/file", "")
		b.write("data/zero/file", "")
		mount := func(from, to, kind string, flags uintptr) {
			if err := syscall.Mount(from, b.path(to), kind, flags, ""); err != nil {
				t.Fatalf("mount %s at %s: %v", from, to, err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(b.path(to), syscall.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
		}
		mount("/proc", "data/proc", "", syscall.MS_BIND|syscall.MS_REC)
		mount("/proc/version", "data/version/file", "", syscall.MS_BIND)
		mount("/dev/zero", "data/zero/file", "", syscall.MS_BIND)
		mount(b.path("data"), "data/loop", "", syscall.MS_BIND)
		r, a := b.saved()
		want := []string{"warning mounts-left-out", "warning unsized", "info pseudo-left-out", "info specials-left-out"}
		if diff := cmp.Diff(want, findings(r)); diff != "" {
			t.Errorf("findings (-want +got):\n%s", diff)
		}
		if got := restored(t, a, "data/here"); got != "here" {
			t.Errorf("restored %q", got)
		}
		b.options.FollowMounts = true
		r, _ = b.saved()
		want = []string{"warning unsized", "warning loops", "info pseudo-left-out", "info specials-left-out"}
		if diff := cmp.Diff(want, findings(r)); diff != "" || r.Values["files"] != 2 {
			t.Errorf("follow_mounts: values %v, findings (-want +got):\n%s", r.Values, diff)
		}
	})
}

// A file without end, or one that grows faster than it is read, ends at the
// length that it had.
func TestEndlessFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("data/log", big)
	grow := func() {
		f, err := os.OpenFile(b.path("data/log"), os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.WriteString(big[:8<<20])
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	b.progress = grow
	r, a := b.saved()
	if diff := cmp.Diff([]string{"info grown"}, findings(r)); diff != "" || r.Values["bytes"] != float64(len(big)) {
		t.Errorf("values %v, findings (-want +got):\n%s", r.Values, diff)
	}
	if got := restored(t, a, "data/log"); got != big {
		t.Errorf("restored %d bytes", len(got))
	}
}

// Many names of many files: the memory of links ends with their last names.
func TestHardLinks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store = openLocal(t, b.path("store"))
	for i := range 300 {
		name := fmt.Sprintf("data/a/%03d", i)
		b.write(name, name)
		for _, dir := range []string{"b", "c"} {
			if err := errors.Join(os.MkdirAll(b.path("data/"+dir), 0o755), os.Link(b.path(name), b.path(fmt.Sprintf("data/%s/%03d", dir, i)))); err != nil {
				t.Fatal(err)
			}
		}
	}
	// One name lies outside.
	if err := os.Link(b.path("data/a/007"), b.path("outside")); err != nil {
		t.Fatal(err)
	}
	r, a := b.saved()
	if r.Values["files"] != 300 || r.Values["links"] != 600 || len(r.Findings) != 0 {
		t.Errorf("values %v, findings %v", r.Values, r.Findings)
	}
	target := filepath.Join(t.TempDir(), "r")
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target}); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{target, b.unpack(a)} {
		for i := range 300 {
			var stats []os.FileInfo
			for _, dir := range []string{"a", "b", "c"} {
				info, err := os.Stat(filepath.Join(root, "data", dir, fmt.Sprintf("%03d", i)))
				if err != nil {
					t.Fatal(err)
				}
				stats = append(stats, info)
			}
			if !os.SameFile(stats[0], stats[1]) || !os.SameFile(stats[0], stats[2]) {
				t.Fatalf("%s: the names of file %d are parted", root, i)
			}
		}
	}
	// A part that has none of the first names is whole all the same.
	part := filepath.Join(t.TempDir(), "r")
	x, err := archive.Extract(t.Context(), a, archive.Extraction{Target: part, Only: []string{"data/b/007", "data/c"}})
	if err != nil || len(x.Refused) != 0 || x.Totals.Hardlinks != 301 {
		t.Fatalf("links without their files: %+v, %v", x, err)
	}
	for i := range 300 {
		body, err := os.ReadFile(filepath.Join(part, "data", "c", fmt.Sprintf("%03d", i)))
		if want := fmt.Sprintf("data/a/%03d", i); err != nil || string(body) != want {
			t.Fatalf("file %d holds %q, %v", i, body, err)
		}
	}
	one, err := os.Stat(filepath.Join(part, "data/b/007"))
	two, otherErr := os.Stat(filepath.Join(part, "data/c/007"))
	if err = errors.Join(err, otherErr); err != nil || !os.SameFile(one, two) {
		t.Errorf("two names of a file are parted: %v", err)
	}
}
