package archive_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv("ARCHIVE_TEST_DIE") != "":
		os.Exit(saveAndDie())
	case os.Getenv("ARCHIVE_TEST_READ") != "":
		saveUnreadable()
	default:
		os.Exit(m.Run())
	}
}

func TestStoreFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, fault := range map[string]objecttest.Fault{
		"disk full at the tar":     {Method: objecttest.Put, Key: "archive.tar", Err: syscall.ENOSPC, After: 50},
		"disk full at the index":   {Method: objecttest.Put, Key: "files.jsonl", Err: syscall.ENOSPC},
		"store keeps nothing":      {Method: objecttest.Put, Key: "archive.tar", Lose: true},
		"reads back nothing":       {Method: objecttest.Get, Key: "archive.tar", Body: func([]byte) []byte { return nil }},
		"reads back half":          {Method: objecttest.Get, Key: "archive.tar", Body: func(b []byte) []byte { return b[:len(b)/2] }},
		"reads back another index": {Method: objecttest.Get, Key: "files.jsonl", Body: func(b []byte) []byte { return append(b, b...) }},
		"cannot be read back":      {Method: objecttest.Get, Key: "files.jsonl", Err: broken},
		"breaks while read back":   {Method: objecttest.Get, Key: "archive.tar", Err: broken, After: 100},
		"refuses the manifest":     {Method: objecttest.Put, Key: "manifest", Err: broken},
		"loses the manifest":       {Method: objecttest.Put, Key: "manifest", Lose: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.write("data/x", strings.Repeat("some text, compressible\n", 1000))
			memory := objecttest.NewMemory("s")
			b.store = memory
			_, good := b.saved()
			b.store = objecttest.NewFaulty(t, memory, fault)
			r, err := b.run()
			if err == nil || fault.Err != nil && !errors.Is(err, fault.Err) || !strings.Contains(err.Error(), "store s") {
				t.Errorf("%q, %v; want an error about store s", r.Summary, err)
			}
			if len(r.Artifacts) != 0 || !strings.HasPrefix(r.Summary, "nothing was saved") {
				t.Errorf("result %+v", r)
			}
			if got := memory.Keys(); len(got) != 3 || !strings.HasPrefix(got[0], good.Dir()) {
				t.Errorf("the store holds %q", got)
			}
			// The older artifact is as good as it was, and the next run works.
			if err := archive.Verify(t.Context(), good); err != nil {
				t.Error(err)
			}
			b.store = memory
			b.saved()
		})
	}
}

func TestStaleStore(t *testing.T) {
	t.Parallel()
	// The store answers reads of the new tar with the bytes of the old one.
	b := newBench(t)
	b.write("data/x", "old")
	memory := objecttest.NewMemory("s")
	b.store = memory
	_, old := b.saved()
	var stale []byte
	memory.Change(old.Dir()+"/archive.tar.zst", func(b []byte) []byte { stale = b; return b })
	b.write("data/x", "new")
	b.store = objecttest.NewFaulty(t, memory, objecttest.Fault{Method: objecttest.Get, Key: "archive.tar.zst", Forever: true, Body: func([]byte) []byte { return stale }})
	if _, err := b.run(); !errors.Is(err, object.ErrDamaged) {
		t.Errorf("error %v, want ErrDamaged", err)
	}
	if got := memory.Keys(); len(got) != 3 {
		t.Errorf("the store holds %q", got)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 1<<20, func(disk string) {
		b := newBench(t)
		noise := make([]byte, 3<<20)
		for i := range noise {
			noise[i] = byte(i * i >> 7 * i >> 3)
		}
		b.write("data/noise", string(noise))
		b.options.Compression = "none"
		b.store = openLocal(t, filepath.Join(disk, "store"))
		before := jobstest.Tree(t, disk)
		_, err := b.run()
		if err == nil || !strings.Contains(err.Error(), "free, but about") || jobs.HintOf(err) == "" {
			t.Errorf("preflight: %v", err)
		}
		// Without the preflight's knowledge the disk fills up in the middle.
		b.store = struct{ object.Store }{b.store}
		_, err = b.run()
		if !errors.Is(err, syscall.ENOSPC) || jobs.HintOf(err) == "" {
			t.Errorf("error %v with hint %q, want ENOSPC with a hint", err, jobs.HintOf(err))
		}
		delete(before, ".")
		after := jobstest.Tree(t, filepath.Join(disk, "store"))
		if len(before) != 0 || len(after) != 1 {
			t.Errorf("left on the disk: %v", after)
		}
	})
}

func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"zstd", "gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.options.Compression = compression
			memory := objecttest.NewMemory("s")
			b.store = memory
			b.write("data/one", "the first file\n")
			b.write("data/two", strings.Repeat("the second file\n", 50))
			_, a := b.saved()
			verify := func() error {
				a, err := object.Load(t.Context(), memory, a.Info.Key)
				if err != nil {
					return err
				}
				return archive.Verify(t.Context(), a)
			}
			if err := verify(); err != nil {
				t.Fatalf("undamaged: %v", err)
			}
			for _, key := range memory.Keys() {
				var whole []byte
				memory.Change(key, func(body []byte) []byte { whole = slices.Clone(body); return body })
				step := max(1, len(whole)/600)
				for i := 0; i < len(whole); i += step {
					for how, bad := range map[string][]byte{
						"flipped": append(append(slices.Clone(whole[:i]), whole[i]^0x04), whole[i+1:]...),
						"cut":     whole[:i],
						"shifted": append(slices.Clone(whole[:i]), whole[i+1:]...),
					} {
						memory.Change(key, func([]byte) []byte { return bad })
						if err := verify(); !errors.Is(err, object.ErrDamaged) {
							t.Errorf("%s %s at %d: %v, want ErrDamaged", key, how, i, err)
						}
					}
				}
				memory.Change(key, func([]byte) []byte { return whole })
			}
		})
	}
}

// mortal is a store whose process dies at its nth call, or in the middle of it.
type mortal struct {
	object.Store
	left *int
}

func (m mortal) count() {
	if *m.left--; *m.left == 0 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
		select {}
	}
}

// Put counts as three calls: before, in the middle, and after.
func (m mortal) Put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (object.Info, error) {
	m.count()
	info, err := m.Store.Put(ctx, key, &mortalReader{Reader: r, m: m}, o)
	m.count()
	return info, err
}

func (m mortal) Get(ctx context.Context, key string) (io.ReadCloser, object.Info, error) {
	m.count()
	return m.Store.Get(ctx, key)
}

func (m mortal) Delete(ctx context.Context, key string) error {
	m.count()
	err := m.Store.Delete(ctx, key)
	m.count()
	return err
}

type mortalReader struct {
	io.Reader
	m    mortal
	once bool
}

func (r *mortalReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 && !r.once {
		r.once = true
		r.m.count()
	}
	return n, err
}

// saveAndDie is the other process of TestKill. Its exit code is 77 when it was
// never killed.
func saveAndDie() int {
	root := os.Getenv("ARCHIVE_TEST_DIE")
	at, err := strconv.Atoi(os.Getenv("ARCHIVE_TEST_AT"))
	if err != nil {
		panic(err)
	}
	r, err := saveInto(root, func(s object.Store) object.Store { return mortal{s, &at} })
	if err != nil || r.Summary == "" {
		panic(err)
	}
	return 77
}

// saveInto saves root/data into root/store, of which one artifact stays.
func saveInto(root string, wrap func(object.Store) object.Store) (jobs.Result, error) {
	t := &testing.T{}
	o := archive.Kind().Options().(*archive.Options)
	o.Paths, o.Store, o.Keep.Last = []unit.Path{unit.Path(filepath.Join(root, "data"))}, unit.Names{"s"}, 1
	deps := jobstest.NewDeps(t)
	deps.AddStore("s", wrap(openLocal(t, filepath.Join(root, "store"))))
	job, err := archive.Kind().Build(o, deps)
	if err != nil {
		return jobs.Result{}, err
	}
	work, err := os.MkdirTemp(root, "work")
	if err != nil {
		return jobs.Result{}, err
	}
	env := jobs.NewEnv(jobs.Env{RunID: "run", Workflow: "daily", Job: "files", Attempt: 1, Node: "n", Root: root, WorkDir: work}, jobs.Hooks{})
	return job.Run(context.Background(), env)
}

func TestKill(t *testing.T) {
	t.Parallel()
	killed := 0
	for at := 1; ; at++ {
		root := t.TempDir()
		write(t, filepath.Join(root, "data", "x"), "first")
		if _, err := saveInto(root, func(s object.Store) object.Store { return s }); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, "data", "x"), strings.Repeat("second", 1000))
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "ARCHIVE_TEST_DIE="+root, fmt.Sprintf("ARCHIVE_TEST_AT=%d", at))
		out, err := cmd.CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if ok && exit.ExitCode() == 77 {
			break
		}
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("kill point %d: the process ended with %v:\n%s", at, err, out)
		}
		killed++
		afterKill(t, root, at)
	}
	// 3 objects put at 3 points, the marker 3, reads 2+1+1, deletions of the
	// marker, and the retention of the older artifact.
	if killed < 25 {
		t.Errorf("only %d kill points were met", killed)
	}
	t.Logf("%d kills, each in the middle of an attempt", killed)
}

// afterKill checks what a killed process left, and that the next run
// converges.
func afterKill(t *testing.T, root string, at int) {
	t.Helper()
	store := openLocal(t, filepath.Join(root, "store"))
	whole := func() int {
		n := 0
		for a, err := range object.Artifacts(t.Context(), store, "") {
			if err != nil {
				t.Fatalf("kill point %d: %v", at, err)
			}
			if err := archive.Verify(t.Context(), a); err != nil {
				t.Errorf("kill point %d: a manifest without whole data: %v", at, err)
			}
			n++
		}
		return n
	}
	if n := whole(); n < 1 || n > 2 {
		t.Errorf("kill point %d: %d artifacts, want the old one, the new one or both", at, n)
	}
	// The dead attempt is taken for dead only after a day.
	old := time.Now().Add(-25 * time.Hour)
	err := filepath.WalkDir(filepath.Join(root, "store"), func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := saveInto(root, func(s object.Store) object.Store { return s }); err != nil {
		t.Errorf("kill point %d: the next run: %v", at, err)
	}
	if n := whole(); n != 1 {
		t.Errorf("kill point %d: after the next run %d artifacts, want 1", at, n)
	}
	files := 0
	for name := range jobstest.Tree(t, filepath.Join(root, "store")) {
		if info, err := os.Stat(filepath.Join(root, "store", name)); err == nil && info.Mode().IsRegular() {
			files++
		}
	}
	if files != 3 {
		t.Errorf("kill point %d: after the next run %d files are in the store, want 3:\n%v", at, files, jobstest.Tree(t, filepath.Join(root, "store")))
	}
}

// saveUnreadable is the other process of TestUnreadable: it runs without root's
// rights and prints what a run says.
func saveUnreadable() {
	root := os.Getenv("ARCHIVE_TEST_READ")
	t := &testing.T{}
	o := archive.Kind().Options().(*archive.Options)
	o.Paths, o.Store = []unit.Path{unit.Path(filepath.Join(root, "data"))}, unit.Names{"s"}
	o.Unreadable = os.Getenv("ARCHIVE_TEST_POLICY")
	deps := jobstest.NewDeps(t)
	store := objecttest.NewMemory("s")
	deps.AddStore("s", store)
	job, err := archive.Kind().Build(o, deps)
	if err != nil {
		panic(err)
	}
	r, err := job.Run(context.Background(), jobs.NewEnv(jobs.Env{Workflow: "daily", Job: "files", Root: root}, jobs.Hooks{}))
	fmt.Println("error:", err, "hint:", jobs.HintOf(err), "files:", r.Values["files"], "stored:", len(store.Keys()))
	for _, f := range r.Findings {
		fmt.Println("finding:", f.Severity, f.ID, f.Text)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("", "archive")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	write(t, filepath.Join(root, "data", "fine"), "fine")
	for _, name := range []string{"secret1", "secret2", "dir/inner"} {
		write(t, filepath.Join(root, "data", name), "secret")
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(root, "test")
	if err := errors.Join(
		os.WriteFile(self, program, 0o755), os.Chmod(root, 0o755), os.Chmod(filepath.Join(root, "data/fine"), 0o644),
		os.Chmod(filepath.Join(root, "data/secret1"), 0), os.Chmod(filepath.Join(root, "data/secret2"), 0), os.Chmod(filepath.Join(root, "data/dir"), 0),
	); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(root, "data/dir"), 0o755) }) // only for the removal
	run := func(policy string) string {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Dir = root
		cmd.Env = []string{"ARCHIVE_TEST_READ=" + root, "ARCHIVE_TEST_POLICY=" + policy}
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	out := run("fail")
	for _, want := range []string{"permission denied", "2 more", "secret1", "secret2", "data/dir", "hint: let the user", "stored: 0"} {
		if !strings.Contains(out, want) {
			t.Errorf("unreadable: fail says %q, want %q in it", out, want)
		}
	}
	out = run("warn")
	for _, want := range []string{"error: <nil>", "files: 1", "stored: 3", "finding: warning unreadable 3 entries"} {
		if !strings.Contains(out, want) {
			t.Errorf("unreadable: warn says %q, want %q in it", out, want)
		}
	}
}
