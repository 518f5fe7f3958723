package archive_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/jobstest"
)

func TestNamesInTheArchive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("data/x", "x")
	b.write("elsewhere/target/y", "y")
	outside := t.TempDir()
	write(t, filepath.Join(outside, "z"), "z")
	if err := os.Symlink("elsewhere/target", b.path("alias")); err != nil {
		t.Fatal(err)
	}
	b.options.Paths = append(b.options.Paths, unit.Path(b.path("alias")), unit.Path(filepath.Join(outside, "z")))
	_, a := b.saved()
	target := filepath.Join(t.TempDir(), "r")
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"data/x", "alias/y", strings.TrimPrefix(outside, "/") + "/z"} {
		if _, err := os.Stat(filepath.Join(target, name)); err != nil {
			t.Errorf("not restored: %v", err)
		}
	}
	d, err := archive.DetailsOf(a.Manifest)
	if err != nil || len(d.Sources) != 3 || d.Files != 3 {
		t.Errorf("details %+v, %v", d, err)
	}
	// A path outside the root whose name collides with one inside.
	inner := filepath.Join(b.root, outside)
	write(t, filepath.Join(inner, "w"), "w")
	b.options.Paths = []unit.Path{unit.Path(inner), unit.Path(outside)}
	if _, err := b.run(); err == nil || !strings.Contains(err.Error(), "both be called") {
		t.Errorf("colliding names: %v", err)
	}
}

func TestExclude(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"keep", "a.tmp", "sub/b.tmp", "cache/x", "sub/cache/y", "cachefile", "sub/old/z", "sub/deep/old/z", "whole"} {
		b.write("data/"+name, name)
	}
	b.options.Exclude = []string{"*.tmp", "cache/", "data/**/old", b.path("data/whole")}
	_, a := b.saved()
	target := filepath.Join(t.TempDir(), "r")
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for name := range jobstest.Tree(t, filepath.Join(target, "data")) {
		if info, err := os.Stat(filepath.Join(target, "data", name)); err == nil && info.Mode().IsRegular() {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"cachefile", "keep"}, got); diff != "" {
		t.Errorf("saved (-want +got):\n%s", diff)
	}
}

func TestReproducible(t *testing.T) {
	t.Parallel()
	hashes := map[string]bool{}
	for range 2 {
		b := newBench(t)
		b.options.Reproducible = true
		for i := range 20 {
			b.write(fmt.Sprintf("data/%d/%d", i%3, i), strings.Repeat("x", i))
		}
		err := filepath.WalkDir(b.path("data"), func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0)))
		})
		if err != nil {
			t.Fatal(err)
		}
		_, a := b.saved()
		for _, s := range a.Manifest.Streams {
			hashes[s.Name+s.Parts[0].SHA256] = true
		}
	}
	if len(hashes) != 2 {
		t.Errorf("two equal trees gave %d different streams, want the same 2", len(hashes))
	}
}
