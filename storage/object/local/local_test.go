package local_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/all"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func open(t *testing.T, dir string) *local.Store {
	t.Helper()
	s, err := local.Open("local", local.Options{Path: unit.Path(dir)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s object.Store, key, body string) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, strings.NewReader(body), object.PutOptions{}); err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
}

// tree returns every path below dir, with its mode.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		out = append(out, rel+" "+info.Mode().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSuite(t *testing.T) {
	t.Parallel()
	objecttest.Exercise(t, func(t *testing.T) object.Store {
		return open(t, filepath.Join(t.TempDir(), "not", "yet", "there"))
	})
}

func TestKind(t *testing.T) {
	t.Parallel()
	kind, ok := object.NewRegistry(all.Kinds()...).Lookup("local")
	if !ok {
		t.Fatal("the list has no local store")
	}
	options, ok := kind.Options().(*local.Options)
	if !ok {
		t.Fatalf("Options returns %T", kind.Options())
	}
	options.Path = "relative"
	if _, err := kind.Open("a", options); err == nil {
		t.Error("a relative path was accepted")
	}
	dir := filepath.Join(t.TempDir(), "backups")
	options.Path = unit.Path(dir)
	store, err := kind.Open("a", options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open touched the file system: %v", err)
	}
	info, err := store.Put(t.Context(), "k", strings.NewReader("x"), object.PutOptions{})
	if err != nil || info.Store != "a" {
		t.Errorf("Put = %+v, %v; want store a", info, err)
	}
}

func TestModesAndCleanup(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, dir)
	put(t, s, "w/j/one/data", "x")
	put(t, s, "w/j/two/data", "x")
	if err := s.Delete(t.Context(), "w/j/one/data"); err != nil {
		t.Fatal(err)
	}
	want := []string{". drwx------", "w drwx------", "w/j drwx------", "w/j/two drwx------", "w/j/two/data -rw-------"}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if err := s.Delete(t.Context(), "w/j/two/data"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{". drwx------"}, tree(t, dir)); diff != "" {
		t.Errorf("after the last Delete (-want +got):\n%s", diff)
	}
}

func TestWorldWritableParent(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	open777 := filepath.Join(top, "open")
	for _, sticky := range []bool{false, true} {
		mode := os.ModeDir | 0o777
		if sticky {
			mode |= os.ModeSticky
		}
		if err := errors.Join(os.RemoveAll(open777), os.Mkdir(open777, 0o777), os.Chmod(open777, mode)); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{open777, filepath.Join(open777, "a"), filepath.Join(open777, "a", "b")} {
			s := open(t, dir)
			_, err := s.Put(t.Context(), "k", strings.NewReader("x"), object.PutOptions{})
			if sticky != (err == nil) {
				t.Errorf("sticky %v: Put into %s: %v", sticky, dir, err)
			}
			if err := s.Check(t.Context()); sticky != (err == nil) {
				t.Errorf("sticky %v: Check of %s: %v", sticky, dir, err)
			}
			hint, ok := errors.AsType[interface {
				error
				Hint() string
			}](err)
			if err != nil && (!ok || !strings.Contains(hint.Hint(), "chmod o-w "+open777)) {
				t.Errorf("no usable hint in %v", err)
			}
		}
	}
	// A link does not hide where the store really is.
	if err := errors.Join(os.Chmod(open777, 0o777), os.Symlink(open777, filepath.Join(top, "link"))); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, filepath.Join(top, "link", "x")).Put(t.Context(), "k", strings.NewReader("x"), object.PutOptions{}); err == nil {
		t.Error("a world-writable parent behind a link was accepted")
	}
}

func TestLinksOut(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	outside := filepath.Join(top, "outside")
	dir := filepath.Join(top, "store")
	s := open(t, dir)
	put(t, s, "a/b", "mine")
	if err := errors.Join(
		os.Mkdir(outside, 0o700),
		os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600),
		os.Symlink(outside, filepath.Join(dir, "out")),
		os.Symlink("../outside/secret", filepath.Join(dir, "file")),
		os.Symlink(filepath.Join(dir, "a", "b"), filepath.Join(dir, "alias")),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"out/secret", "file", "alias", "fifo", "out/new"} {
		if r, _, err := s.Get(t.Context(), key); err == nil {
			t.Errorf("Get(%q) opened %v", key, r)
		}
		if key == "out/new" || key == "out/secret" {
			if _, err := s.Put(t.Context(), key, strings.NewReader("x"), object.PutOptions{}); err == nil {
				t.Errorf("Put(%q) left the store", key)
			}
		}
		// An error is as good as doing nothing.
		_ = s.Delete(t.Context(), key)
	}
	var keys []string
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	if diff := cmp.Diff([]string{"a/b"}, keys); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	want := []string{". drwx------", "secret -rw-------"}
	if diff := cmp.Diff(want, tree(t, outside)); diff != "" {
		t.Errorf("outside (-want +got):\n%s", diff)
	}
	if body, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(body) != "secret" {
		t.Errorf("outside file now holds %q, %v", body, err)
	}
}

func TestUnfinishedAndDiscard(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "w/j/good", "x")
	foreign := []string{".upkeep-note", ".upkeep-short.tmp", "w/other.tmp", "w/.upkeep-aaaaaaaaaaaaaaaa.tmp.gz"}
	dead := []string{"w/j/.upkeep-aaaaaaaaaaaaaaaa.tmp", "w/lone/.upkeep-bbbbbbbbbbbbbbbb.tmp"}
	young := "w/.upkeep-cccccccccccccccc.tmp"
	alive := "w/.upkeep-dddddddddddddddd.tmp"
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Mkdir(filepath.Join(dir, "w/lone"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(append(foreign, dead...), young, alive) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if name != young {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink("w/j/good", filepath.Join(dir, ".upkeep-eeeeeeeeeeeeeeee.tmp")); err != nil {
		t.Fatal(err)
	}
	writer, err := os.Open(filepath.Join(dir, alive))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close() //nolint:errcheck // only a lock
	if err := syscall.Flock(int(writer.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	found, err := s.Unfinished(t.Context(), time.Now().Add(-24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range found {
		names = append(names, u.Name)
		if err := s.Discard(t.Context(), u); err != nil {
			t.Errorf("Discard(%s): %v", u.Name, err)
		}
		if err := s.Discard(t.Context(), u); err != nil {
			t.Errorf("Discard(%s) again: %v", u.Name, err)
		}
	}
	if diff := cmp.Diff([]string{alive, dead[0], dead[1]}, names); diff != "" {
		t.Errorf("Unfinished (-want +got):\n%s", diff)
	}
	for _, name := range append(foreign, young, alive, "w/j/good", ".upkeep-eeeeeeeeeeeeeeee.tmp") {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s should have been kept: %v", name, err)
		}
	}
	for _, name := range append(dead, "w/lone") {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s should be gone: %v", name, err)
		}
	}
}

func TestDiscardKeepsWhatChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	path := filepath.Join(dir, ".upkeep-aaaaaaaaaaaaaaaa.tmp")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := s.Unfinished(t.Context(), time.Now().Add(time.Hour))
	if err != nil || len(found) != 1 {
		t.Fatalf("Unfinished = %v, %v", found, err)
	}
	grown := found[0].Modified.Add(time.Second)
	if err := os.Chtimes(path, grown, grown); err != nil {
		t.Fatal(err)
	}
	if err := s.Discard(t.Context(), found[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("a file that changed since it was found was discarded: %v", err)
	}
}

func TestCheckAndFreeBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "a", "b"))
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check of a store that can be made: %v", err)
	}
	free, err := s.FreeBytes(t.Context())
	if err != nil || free <= 0 {
		t.Errorf("FreeBytes = %d, %v", free, err)
	}
	if diff := cmp.Diff([]string{"."}, names(tree(t, dir))); diff != "" {
		t.Errorf("Check left (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("Check accepts a path through a file")
	}
	if _, err := s.Put(t.Context(), "k", strings.NewReader("x"), object.PutOptions{}); err == nil {
		t.Error("Put accepts a path through a file")
	}
}

func names(tree []string) []string {
	var out []string
	for _, line := range tree {
		name, _, _ := strings.Cut(line, " ")
		out = append(out, name)
	}
	return out
}
