package archive_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// write makes a file with its directories.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o640)); err != nil {
		t.Fatal(err)
	}
}

func openLocal(t testing.TB, dir string) object.Store {
	t.Helper()
	s, err := local.Open("disk", local.Options{Path: unit.Path(dir)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bench is a job with its surroundings.
type bench struct {
	t        *testing.T
	root     string
	store    object.Store
	options  archive.Options
	out      *jobstest.Buffer
	dryRun   bool
	effect   func(string)
	progress func()
}

// newBench returns a job that saves root/data into a store in memory.
func newBench(t *testing.T) *bench {
	b := &bench{t: t, root: t.TempDir(), store: objecttest.NewMemory("s"), out: &jobstest.Buffer{}}
	b.options = *archive.Kind().Options().(*archive.Options)
	b.options.Paths = []unit.Path{unit.Path(filepath.Join(b.root, "data"))}
	b.options.Store = unit.Names{"s"}
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.root, name) }

func (b *bench) write(name, content string) { write(b.t, b.path(name), content) }

func (b *bench) run() (jobs.Result, error) {
	b.t.Helper()
	deps := jobstest.NewDeps(b.t)
	deps.AddStore("s", b.store)
	job, err := archive.Kind().Build(&b.options, deps)
	if err != nil {
		b.t.Fatal(err)
	}
	env := jobs.NewEnv(jobs.Env{
		RunID: "run", Workflow: "daily", Job: "files", Attempt: 1, Node: "n", Root: b.root, WorkDir: b.t.TempDir(), Out: b.out,
	}, jobs.Hooks{
		DryRun: b.dryRun,
		Effect: func(what string) {
			if b.effect != nil {
				b.effect(what)
			}
		},
		Progress: func(_, _ int64, _ string) {
			if b.progress != nil {
				b.progress()
			}
		},
	})
	return job.Run(b.t.Context(), env)
}

// saved runs the job and returns its artifact.
func (b *bench) saved() (jobs.Result, *object.Artifact) {
	b.t.Helper()
	r, err := b.run()
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := object.Newest(b.t.Context(), b.store, "")
	if err != nil || a == nil {
		b.t.Fatalf("no artifact: %v", err)
	}
	return r, a
}

// findings returns the findings as "severity id".
func findings(r jobs.Result) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, string(f.Severity)+" "+f.ID)
	}
	return out
}

func TestKind(t *testing.T) {
	t.Parallel()
	fixture := func(name string, arrange func(t *testing.T, root string, o *archive.Options)) jobstest.Fixture {
		return jobstest.Fixture{Name: name, Effects: true, Arrange: func(t *testing.T, root string, options any, deps *jobstest.Deps) {
			o := options.(*archive.Options)
			o.Paths = []unit.Path{unit.Path(filepath.Join(root, "data"))}
			o.Store = unit.Names{"s"}
			deps.AddStore("s", objecttest.NewMemory("s"))
			deps.AddStore("disk", openLocal(t, filepath.Join(root, "data", "backups")))
			write(t, filepath.Join(root, "data", "a", "one"), "one")
			write(t, filepath.Join(root, "data", "two"), strings.Repeat("two\n", 10000))
			if arrange != nil {
				arrange(t, root, o)
			}
		}}
	}
	failing := func(f jobstest.Fixture, text string) jobstest.Fixture {
		f.Fails = text
		return f
	}
	plain := fixture("saves a tree", nil)
	plain.Judge = func(t *testing.T, _ string, r jobs.Result) {
		want := "2 files, 40 kB -> "
		if !strings.HasPrefix(r.Summary, want) || !strings.HasSuffix(r.Summary, "zstd in store s, verified L2") {
			t.Errorf("summary %q, want %q…", r.Summary, want)
		}
		if r.Values["files"] != 2 || r.Values["bytes"] != 40003 || r.Values["directories"] != 2 || r.Values["ratio"] < 2 || len(r.Artifacts) != 3 {
			t.Errorf("values %v, artifacts %v", r.Values, r.Artifacts)
		}
	}
	jobstest.Exercise(t, archive.Kind(),
		plain,
		fixture("into a local store inside the tree, with retention", func(_ *testing.T, _ string, o *archive.Options) {
			o.Keep.Last = 1
			o.Compression = "gzip"
			o.Store = unit.Names{"disk", "s"}
		}),
		failing(fixture("a missing path", func(_ *testing.T, root string, o *archive.Options) {
			o.Paths = append(o.Paths, unit.Path(filepath.Join(root, "nothing")))
		}), "find "),
		failing(fixture("a path without files", func(t *testing.T, root string, o *archive.Options) {
			if err := os.MkdirAll(filepath.Join(root, "empty", "dirs"), 0o755); err != nil {
				t.Fatal(err)
			}
			o.Paths = append(o.Paths, unit.Path(filepath.Join(root, "empty")))
		}), "holds no file"),
		failing(fixture("everything excluded", func(_ *testing.T, _ string, o *archive.Options) {
			o.Exclude = []string{"*"}
		}), "holds no file"),
	)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(*archive.Options)
		field string
	}{
		"no paths":        {func(o *archive.Options) { o.Paths = nil }, "paths"},
		"same twice":      {func(o *archive.Options) { o.Paths = []unit.Path{"/a", "/a/"} }, "paths[1]"},
		"one in another":  {func(o *archive.Options) { o.Paths = []unit.Path{"/a/b", "/a"} }, "paths[0]"},
		"bad pattern":     {func(o *archive.Options) { o.Exclude = []string{"ok", "[x"} }, "exclude[1]"},
		"empty pattern":   {func(o *archive.Options) { o.Exclude = []string{"/"} }, "exclude[0]"},
		"empty but for !": {func(o *archive.Options) { o.Exclude = []string{"x", "!/"} }, "exclude[1]"},
		"nothing to take": {func(o *archive.Options) { o.Exclude = []string{"!x", "x"} }, "exclude[0]"},
		"owner by name":   {func(o *archive.Options) { o.Owner = "root:root" }, "owner"},
		"owner alone":     {func(o *archive.Options) { o.Owner = "0" }, "owner"},
		"no time":         {func(o *archive.Options) { o.Modified = "yesterday" }, "modified"},
		"shared options":  {func(o *archive.Options) { o.Level = 99 }, "level"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := archive.Kind().Options().(*archive.Options)
			o.Paths, o.Store = []unit.Path{"/a", "/ab"}, unit.Names{"s"}
			if err := o.Validate(); err != nil {
				t.Fatalf("sound options: %v", err)
			}
			tt.spoil(o)
			field, ok := errors.AsType[*jobs.FieldError](o.Validate())
			if !ok || field.Field != tt.field {
				t.Errorf("Validate: %v, want a complaint about %s", o.Validate(), tt.field)
			}
		})
	}
}

// hostileTree fills data with everything a tree can hold.
func (b *bench) hostileTree() {
	b.t.Helper()
	t := b.t
	b.write("data/plain", "plain")
	b.write("data/empty", "")
	b.write("data/big", strings.Repeat("0123456789abcdef", 700_000)) // 11 MB: several frames
	b.write("data/new\nline", "newline")
	b.write("data/invalid\xff\xfeutf8", "bytes")
	b.write("data/ünï/日本/ ", "unicode")
	b.write("data/-rf", "dash")
	b.write("data/"+strings.Repeat("n", 255), "long")
	b.write("data/"+strings.Repeat(strings.Repeat("d", 90)+"/", 12)+"leaf", "deep")
	b.write("data/script.sh", "#!/bin/sh")
	b.write("data/readonly/file", "x")
	if err := errors.Join(
		os.MkdirAll(b.path("data/emptydir"), 0o700),
		os.Chmod(b.path("data/script.sh"), 0o755),
		os.Symlink("plain", b.path("data/link")),
		os.Symlink("../../etc/passwd", b.path("data/out")),
		os.Symlink("missing", b.path("data/dangling")),
		os.Symlink(".", b.path("data/loop")),
		os.Link(b.path("data/plain"), b.path("data/hard1")),
		os.Link(b.path("data/plain"), b.path("data/ünï/hard2")),
		syscall.Mkfifo(b.path("data/fifo"), 0o600),
		os.Chtimes(b.path("data/plain"), time.Unix(1, 0), time.Unix(-86400, 0)),
		os.Chtimes(b.path("data/empty"), time.Unix(1, 0), time.Unix(1<<34, 0)),
		os.Chtimes(b.path("data/emptydir"), time.Unix(1, 0), time.Unix(1234567890, 0)),
		os.Chmod(b.path("data/readonly"), 0o555),
	); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(b.path("data/readonly"), 0o755) }) // only for the removal
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: b.path("data/sock")}), syscall.Close(fd))
	}
	if err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: the name is too long for a socket
		t.Fatal(err)
	}
}

// same compares two trees, sockets and FIFOs left out, times in seconds.
func same(t *testing.T, want, got string, leaveOut ...string) {
	t.Helper()
	trees := make([]map[string]string, 0, 2)
	for _, root := range []string{want, got} {
		tree := jobstest.Tree(t, root)
		for name, text := range tree {
			info, err := os.Lstat(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode()&(os.ModeSocket|os.ModeNamedPipe) != 0 || name == "." ||
				slices.ContainsFunc(leaveOut, func(out string) bool { return name == out || strings.HasPrefix(name, out+"/") }) {
				delete(tree, name)
				continue
			}
			fields := strings.SplitN(text, " ", 4)
			stamp, _, _ := strings.Cut(fields[2], ".")
			if info.Mode()&os.ModeSymlink != 0 {
				stamp = ""
			}
			size := fields[1]
			if info.IsDir() {
				size = ""
			}
			tree[name] = strings.Join(append([]string{fields[0], size, stamp}, fields[3:]...), " ")
		}
		trees = append(trees, tree)
	}
	if diff := cmp.Diff(trees[0], trees[1]); diff != "" {
		t.Errorf("trees differ (-saved +restored):\n%s", diff)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"zstd", "gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.hostileTree()
			b.options.Compression = compression
			disk := filepath.Join(b.root, "data", "own-backups")
			b.store = openLocal(t, disk)
			b.saved() // a first run, so that the store holds something that must not be saved
			r, a := b.saved()
			if diff := cmp.Diff([]string{"info specials-left-out", "info stores-left-out"}, findings(r)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			target := filepath.Join(t.TempDir(), "restored")
			x, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"data/out -> ../../etc/passwd"}, x.Refused); diff != "" {
				t.Errorf("refused (-want +got):\n%s", diff)
			}
			same(t, b.path("data"), filepath.Join(target, "data"), "own-backups", "out")
			if err := os.Chmod(filepath.Join(target, "data/readonly"), 0o755); err != nil {
				t.Fatal(err)
			}
			one, err := os.Stat(filepath.Join(target, "data/plain"))
			if err != nil {
				t.Fatal(err)
			}
			two, err := os.Stat(filepath.Join(target, "data/ünï/hard2"))
			if err != nil || !os.SameFile(one, two) {
				t.Errorf("the hard link is a copy: %v", err)
			}
			// What GNU tar makes of it.
			part, _ := a.Manifest.Stream("archive.tar")
			gnu := t.TempDir()
			program := map[string]string{"zstd": "zstd -dc", "gzip": "gzip -dc", "none": "cat"}[compression]
			cmd := exec.CommandContext(t.Context(), "sh", "-c", program+` "$1" | LC_ALL=C.UTF-8 tar -x -p -C "$2"`, "sh", filepath.Join(disk, a.Dir(), part.Parts[0].Name), gnu)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("GNU tar: %v\n%s", err, out)
			}
			same(t, b.path("data"), filepath.Join(gnu, "data"), "own-backups")
			if err := os.Chmod(filepath.Join(gnu, "data/readonly"), 0o755); err != nil {
				t.Fatal(err)
			}
		})
	}
}
