package archive_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

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
	case os.Getenv("ARCHIVE_TEST_RESTORE") != "":
		os.Exit(restoreAndDie())
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
