package archive_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
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

// saves returns the names of the files that an archive of data holds, below
// data.
func (b *bench) saves() []string {
	b.t.Helper()
	_, a := b.saved()
	target := filepath.Join(b.t.TempDir(), "r")
	if _, err := archive.Extract(b.t.Context(), a, archive.Extraction{Target: target}); err != nil {
		b.t.Fatal(err)
	}
	var got []string
	for name := range jobstest.Tree(b.t, filepath.Join(target, "data")) {
		if info, err := os.Stat(filepath.Join(target, "data", name)); err == nil && info.Mode().IsRegular() {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	return got
}

func TestExclude(t *testing.T) {
	t.Parallel()
	names := []string{"!odd", "a.tmp", "cache/keep", "cache/x", "cachefile", "keep", "keep.tmp", "sub/b.tmp", "sub/cache/y", "sub/deep/old/z", "sub/old/z", "whole"}
	for name, tt := range map[string]struct {
		exclude []string
		gone    []string
	}{
		"of every kind":               {[]string{"*.tmp", "cache/", "data/**/old", "ROOT/data/whole"}, []string{"a.tmp", "cache/keep", "cache/x", "keep.tmp", "sub/b.tmp", "sub/cache/y", "sub/deep/old/z", "sub/old/z", "whole"}},
		"taken back by name":          {[]string{"*.tmp", "!keep.tmp"}, []string{"a.tmp", "sub/b.tmp"}},
		"the last rule decides":       {[]string{"*.tmp", "!*.tmp", "b.tmp"}, []string{"sub/b.tmp"}},
		"taken back in what is gone":  {[]string{"cache/", "!data/cache/keep"}, []string{"cache/keep", "cache/x", "sub/cache/y"}},
		"the content of a directory":  {[]string{"data/cache/**", "!data/cache/keep"}, []string{"cache/x"}},
		"an absolute path taken back": {[]string{"keep*", "!ROOT/data/keep"}, []string{"cache/keep", "keep.tmp"}},
		"directories taken back":      {[]string{"cache", "!cache/"}, nil},
		"a name with an exclamation":  {[]string{`\!odd`}, []string{"!odd"}},
		"alternatives":                {[]string{"{a,b}.tmp"}, []string{"a.tmp", "sub/b.tmp"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for _, name := range names {
				b.write("data/"+name, name)
			}
			for _, pattern := range tt.exclude {
				b.options.Exclude = append(b.options.Exclude, strings.Replace(pattern, "ROOT", b.root, 1))
			}
			if err := b.options.Validate(); err != nil {
				t.Fatal(err)
			}
			want := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(tt.gone, name) })
			if diff := cmp.Diff(want, b.saves()); diff != "" {
				t.Errorf("saved (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExcludeCaches(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	signature := "Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n"
	for name, content := range map[string]string{
		"cache/CACHEDIR.TAG": signature, "cache/blob": "x", "cache/sub/blob": "x",
		"other/CACHEDIR.TAG": "not a signature", "other/file": "x", "keep": "x",
	} {
		b.write("data/"+name, content)
	}
	if got := b.saves(); len(got) != 6 {
		t.Errorf("without the option: %q", got)
	}
	b.options.ExcludeCaches = true
	if diff := cmp.Diff([]string{"cache/CACHEDIR.TAG", "keep", "other/CACHEDIR.TAG", "other/file"}, b.saves()); diff != "" {
		t.Errorf("saved (-want +got):\n%s", diff)
	}
	if r, _ := b.saved(); len(r.Findings) != 1 || r.Findings[0].ID != "caches-left-out" || !strings.Contains(r.Findings[0].Text, b.path("data/cache")) {
		t.Errorf("findings %+v", r.Findings)
	}
}

// streams returns the hashes of what an artifact stores.
func streams(a *object.Artifact) []string {
	var out []string
	for _, s := range a.Manifest.Streams {
		out = append(out, s.Name+" "+s.Parts[0].SHA256)
	}
	return out
}

// equalTree fills data with a tree that is the same on every call but for what
// an option is to hide: its times and owners, by turn.
func (b *bench) equalTree(turn int) {
	b.t.Helper()
	for i := range 300 {
		b.write(fmt.Sprintf("data/%d/%d", i%3, i), strings.Repeat("x", i*100))
	}
	b.write("data/sparse", "")
	body := make([]byte, 1<<20)
	body[len(body)-1] = 1
	var err error
	if turn == 0 {
		err = os.Truncate(b.path("data/sparse"), 1<<20-1)
		f, openErr := os.OpenFile(b.path("data/sparse"), os.O_WRONLY|os.O_APPEND, 0)
		if openErr == nil {
			_, openErr = f.Write([]byte{1})
			openErr = errors.Join(openErr, f.Close())
		}
		err = errors.Join(err, openErr)
	} else {
		err = os.WriteFile(b.path("data/sparse"), body, 0o640)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	err = filepath.WalkDir(b.path("data"), func(path string, _ os.DirEntry, err error) error {
		if os.Geteuid() == 0 {
			err = errors.Join(err, os.Lchown(path, 1000+turn, 100+turn))
		}
		return errors.Join(err, os.Chtimes(path, time.Unix(1e9, 0), time.Unix(int64(1e9+turn), 5)))
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestDeterminism(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.equalTree(0)
	_, first := b.saved()
	_, second := b.saved()
	if diff := cmp.Diff(streams(first), streams(second)); diff != "" {
		t.Errorf("the same tree twice (-first +second):\n%s", diff)
	}
	for name, set := range map[string]func(*archive.Options){
		"reproducible": func(o *archive.Options) { o.Reproducible = true },
		"an owner":     func(o *archive.Options) { o.Reproducible, o.Owner = true, "1234:99" },
	} {
		var got [][]string
		for turn := range 2 {
			b := newBench(t)
			b.equalTree(turn)
			set(&b.options)
			b.options.Modified = "2026-01-02T03:04:05Z"
			_, a := b.saved()
			got = append(got, streams(a))
			target := filepath.Join(t.TempDir(), "r")
			if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target, Owners: os.Geteuid() == 0}); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(target, "data", "0", "3"))
			if err != nil || !info.ModTime().Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
				t.Errorf("%s: %v, %v", name, info, err)
			}
			st, ok := info.Sys().(*syscall.Stat_t)
			if want := map[string]uint32{"reproducible": 0, "an owner": 1234}[name]; os.Geteuid() == 0 && (!ok || st.Uid != want) {
				t.Errorf("%s: it belongs to %d, want %d", name, st.Uid, want)
			}
		}
		if diff := cmp.Diff(got[0], got[1]); diff != "" {
			t.Errorf("%s: equal trees (-first +second):\n%s", name, diff)
		}
	}
}
