package sqlitebackup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/sqlitebackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// replace puts the backup in the place of target, or undoes that.
func replace(ctx context.Context, t testing.TB, a *object.Artifact, target string, h jobs.Hooks, undo bool) (jobs.Restored, error) {
	t.Helper()
	env := jobs.NewEnv(jobs.Env{RunID: "r", Workflow: "daily", Job: "db", Attempt: 1, WorkDir: t.TempDir(), Out: &jobstest.Buffer{}}, h)
	kind := sqlitebackup.Kind().Artifacts
	if undo {
		return kind.(jobs.Undoer).Undo(ctx, env, jobs.Target{To: target})
	}
	return kind.(jobs.Restorer).Restore(ctx, env, a, jobs.Target{To: target, Replace: true})
}

// oldDatabase makes a target that holds something else.
func oldDatabase(t testing.TB, path, journal string) {
	t.Helper()
	db := connect(t, path, "")
	exec(t, db, "PRAGMA journal_mode = "+journal, "CREATE TABLE precious (x)", "INSERT INTO precious VALUES (7)")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// holds tells which database a file is.
func holds(t testing.TB, path string) string {
	t.Helper()
	db := connect(t, path, "")
	var n int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = 'precious'").Scan(&n); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return map[int]string{0: "new", 1: "old"}[n]
}

// files lists what is in a folder.
func files(t testing.TB, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestReplace(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"wal", "delete", "persist"} {
		t.Run(journal, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, journal)
			_, a := b.saved()
			dir := filepath.Join(t.TempDir(), "odd [dir]*")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "link.db")
			oldDatabase(t, path, journal)
			if err := errors.Join(os.Chmod(path, 0o640), os.Symlink("app.db", target)); err != nil {
				t.Fatal(err)
			}
			before := jobstest.Tree(t, dir)
			if _, err := replace(t.Context(), t, a, target, jobs.Hooks{DryRun: true}, false); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, jobstest.Tree(t, dir)); diff != "" {
				t.Errorf("the dry run changed:\n%s", diff)
			}
			r, err := replace(t.Context(), t, a, target, jobs.Hooks{}, false)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != 0o640 || holds(t, path) != "new" || holds(t, target) != "new" {
				t.Errorf("%v, %v: %q", info, err, files(t, dir))
			}
			olds, _ := filepath.Glob(strings.NewReplacer("[", `\[`, "*", `\*`).Replace(path) + ".upkeep-old-*Z")
			if len(olds) != 1 || holds(t, olds[0]) != "old" || !strings.Contains(r.Summary, olds[0]) {
				t.Errorf("put aside: %q of %q, %s", olds, files(t, dir), r.Summary)
			}
			for _, want := range []string{"old", "new"} {
				if _, err := replace(t.Context(), t, nil, target, jobs.Hooks{}, true); err != nil || holds(t, path) != want {
					t.Errorf("undo: %v, %s instead of %s", err, holds(t, path), want)
				}
			}
			for _, name := range files(t, dir) {
				if strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, "-wal") {
					t.Errorf("left: %s", name)
				}
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if _, err := replace(t.Context(), t, nil, path, jobs.Hooks{}, true); err != nil || holds(t, path) != "old" {
				t.Errorf("undo without a target: %v", err)
			}
		})
	}
}

func TestReplaceRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	_, a := b.saved()
	refuses := func(t *testing.T, target, want string) {
		t.Helper()
		before := holds(t, target)
		for _, dry := range []bool{true, false} {
			_, err := replace(t.Context(), t, a, target, jobs.Hooks{DryRun: dry}, false)
			if _, ok := errors.AsType[*jobs.RefusedError](err); !ok || !strings.Contains(err.Error(), want) || jobs.HintOf(err) == "" {
				t.Errorf("dry run %v: %v, want %s", dry, err, want)
			}
		}
		if holds(t, target) != before || slices.ContainsFunc(files(t, filepath.Dir(target)), func(n string) bool { return strings.Contains(n, "upkeep") }) {
			t.Errorf("left: %q", files(t, filepath.Dir(target)))
		}
	}
	for _, journal := range []string{"wal", "delete"} {
		t.Run("open in mode "+journal, func(t *testing.T) {
			t.Parallel()
			target := filepath.Join(t.TempDir(), "app.db")
			oldDatabase(t, target, journal)
			db := connect(t, target, "")
			exec(t, db, "INSERT INTO precious VALUES (8)")
			refuses(t, target, "open")
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := replace(t.Context(), t, a, target, jobs.Hooks{}, false); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("another name", func(t *testing.T) {
		t.Parallel()
		target := filepath.Join(t.TempDir(), "app.db")
		oldDatabase(t, target, "delete")
		if err := os.Link(target, target+".copy"); err != nil {
			t.Fatal(err)
		}
		refuses(t, target, "hard links")
	})
	t.Run("opened at the last moment", func(t *testing.T) {
		t.Parallel()
		target := filepath.Join(t.TempDir(), "app.db")
		oldDatabase(t, target, "delete")
		var f *os.File
		_, err := replace(t.Context(), t, a, target, jobs.Hooks{Effected: func(what string, _ error) {
			if strings.HasPrefix(what, "restore ") {
				f, _ = os.Open(target)
			}
		}}, false)
		if _, ok := errors.AsType[*jobs.RefusedError](err); !ok || f == nil || holds(t, target) != "old" || len(files(t, filepath.Dir(target))) != 1 {
			t.Errorf("%v, %q", err, files(t, filepath.Dir(target)))
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a folder, nothing to undo", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if _, err := replace(t.Context(), t, a, dir, jobs.Hooks{}, false); err == nil {
			t.Error("replaced a folder")
		}
		if _, err := replace(t.Context(), t, nil, filepath.Join(dir, "none.db"), jobs.Hooks{}, true); !errors.Is(err, jobs.ErrNothingReplaced) {
			t.Errorf("%v", err)
		}
	})
}

// The log that a crash left is folded in, so that the old database is whole.
func TestReplaceAfterCrash(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	_, a := b.saved()
	dir := t.TempDir()
	target := filepath.Join(dir, "app.db")
	live := connect(t, filepath.Join(dir, "live.db"), "")
	exec(t, live, "PRAGMA journal_mode = wal", "PRAGMA wal_autocheckpoint = 0", "CREATE TABLE precious (x)", "INSERT INTO precious VALUES (7)")
	for _, suffix := range []string{"", "-wal"} {
		body, err := os.ReadFile(filepath.Join(dir, "live.db"+suffix))
		if err == nil {
			err = os.WriteFile(target+suffix, body, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := replace(t.Context(), t, a, target, jobs.Hooks{DryRun: true}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(target + "-wal"); err != nil {
		t.Fatal("the dry run folded the log in")
	}
	if _, err := replace(t.Context(), t, a, target, jobs.Hooks{}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := replace(t.Context(), t, nil, target, jobs.Hooks{}, true); err != nil || holds(t, target) != "old" {
		t.Errorf("%v", err)
	}
	// One that cannot be read stays where it is.
	broken := filepath.Join(t.TempDir(), "broken.db")
	if err := errors.Join(os.WriteFile(broken, []byte(strings.Repeat("x", 5000)), 0o600), os.WriteFile(broken+"-wal", []byte("precious"), 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := replace(t.Context(), t, a, broken, jobs.Hooks{}, false)
	if body, readErr := os.ReadFile(broken); err == nil || readErr != nil || string(body) != strings.Repeat("x", 5000) || jobs.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if left := files(t, filepath.Dir(broken)); slices.ContainsFunc(left, func(n string) bool { return strings.Contains(n, "upkeep") }) {
		t.Errorf("left: %q", left)
	}
}

func TestReplaceDamaged(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	memory := objecttest.NewMemory("s")
	b.store = memory
	_, a := b.saved()
	target := filepath.Join(t.TempDir(), "app.db")
	oldDatabase(t, target, "delete")
	memory.Change(a.Dir()+"/"+a.Manifest.Streams[0].Parts[0].Name, func(body []byte) []byte { body[len(body)/2] ^= 1; return body })
	if _, err := replace(t.Context(), t, a, target, jobs.Hooks{}, false); !errors.Is(err, object.ErrDamaged) || holds(t, target) != "old" || len(files(t, filepath.Dir(target))) != 1 {
		t.Errorf("%v, %q", err, files(t, filepath.Dir(target)))
	}
}

// replacerVariable tells a process of the test binary to replace and to die.
const replacerVariable = "SQLITEBACKUP_REPLACER"

type replacer struct {
	Store, ID, Target, At string
	After, Undo           bool
}

// TestReplaceVictim is the process that is killed; among other tests it does
// nothing.
func TestReplaceVictim(t *testing.T) {
	text := os.Getenv(replacerVariable)
	if text == "" {
		return
	}
	var v replacer
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	disk, err := local.Open("s", local.Options{Path: unit.Path(v.Store)})
	if err != nil {
		t.Fatal(err)
	}
	a, err := object.Find(t.Context(), disk, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	die := func(what string) {
		if strings.HasPrefix(what, v.At) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	h := jobs.Hooks{Effect: die}
	if v.After {
		h = jobs.Hooks{Effected: func(what string, _ error) { die(what) }}
	}
	r, err := replace(t.Context(), t, a, v.Target, h, v.Undo)
	t.Fatal("not killed: ", r, err)
}

// Wherever upkeep is killed, the name of the target stands for a whole
// database, and the next call leaves nothing of the dead one.
func TestReplaceKilled(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	store := filepath.Join(t.TempDir(), "store")
	disk, err := local.Open("s", local.Options{Path: unit.Path(store)})
	if err != nil {
		t.Fatal(err)
	}
	b.store = disk
	_, a := b.saved()
	for _, at := range []string{"restore ", "keep ", "put the other"} {
		for _, v := range []replacer{{}, {After: true}, {Undo: true}, {Undo: true, After: true}} {
			if v.Undo && at == "restore " {
				continue
			}
			v.Store, v.ID, v.At = store, a.Manifest.ID, at
			name, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(strings.ReplaceAll(at, " ", "_")+string(name[len(name)-28:]), func(t *testing.T) {
				t.Parallel()
				v := v
				v.Target = filepath.Join(t.TempDir(), "app.db")
				oldDatabase(t, v.Target, "wal")
				was, becomes := "old", "new"
				if v.Undo {
					if _, err := replace(t.Context(), t, a, v.Target, jobs.Hooks{}, false); err != nil {
						t.Fatal(err)
					}
					was, becomes = "new", "old"
				}
				text, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				cmd := osexec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReplaceVictim$")
				cmd.Env = append(os.Environ(), replacerVariable+"="+string(text))
				var said bytes.Buffer
				cmd.Stdout, cmd.Stderr = &said, &said
				_ = cmd.Run() // how it ended is judged below
				if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
					t.Fatalf("it was not killed: %s", said.String())
				}
				if v.At == "put the other" && v.After {
					was = becomes
				}
				if got := holds(t, v.Target); got != was {
					t.Errorf("the target is %s instead of %s", got, was)
				}
				if _, err := replace(t.Context(), t, a, v.Target, jobs.Hooks{}, false); err != nil || holds(t, v.Target) != "new" {
					t.Errorf("the next call: %v", err)
				}
				inodes := map[uint64]string{}
				for _, name := range files(t, filepath.Dir(v.Target)) {
					info, err := os.Lstat(filepath.Join(filepath.Dir(v.Target), name))
					if err != nil {
						t.Fatal(err)
					}
					number := info.Sys().(*syscall.Stat_t).Ino
					if inodes[number] != "" || strings.HasSuffix(name, ".tmp") {
						t.Errorf("left: %s, which is %q", name, inodes[number])
					}
					inodes[number] = name
				}
			})
		}
	}
}
