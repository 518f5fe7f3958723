package prune_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/prune"
)

// serial lets one call at a time into a hook.
func serial(do func(string)) func(string) {
	var mu sync.Mutex
	return func(what string) {
		mu.Lock()
		defer mu.Unlock()
		do(what)
	}
}

// usedBy is the room that a file takes on disk.
func usedBy(t *testing.T, path string) int64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Blocks * 512
}

func TestRun_Plan(t *testing.T) {
	t.Parallel()
	dryRule := func(o *prune.Options) { o.FirstRun = "dry"; o.EmptyFolders = unit.Duration(time.Second) }
	tests := []struct {
		name    string
		change  func(root string) error
		plan    func(plan string) string
		refused string
		left    []string
	}{
		{name: "nothing changed", left: []string{"."}},
		{name: "something else came", change: func(root string) error { return os.WriteFile(filepath.Join(root, "new.log"), nil, 0o600) }, left: []string{".", "new.log"}},
		{name: "a file came of age", change: func(root string) error {
			at := time.Now().Add(-7*day + 500*time.Millisecond)
			return errors.Join(os.WriteFile(filepath.Join(root, "soon.log"), nil, 0o600), os.Chtimes(filepath.Join(root, "soon.log"), at, at))
		}, left: []string{".", "soon.log"}},
		{name: "a file was written to", change: func(root string) error { return os.WriteFile(filepath.Join(root, "a", "old.log"), []byte("x"), 0o600) }, refused: "the facts have changed"},
		{name: "a file is gone", change: func(root string) error { return os.Remove(filepath.Join(root, "older.log")) }, refused: "the facts have changed"},
		{name: "an old file came", change: func(root string) error {
			at := time.Now().Add(-90 * day)
			return errors.Join(os.WriteFile(filepath.Join(root, "third.log"), nil, 0o600), os.Chtimes(filepath.Join(root, "third.log"), at, at))
		}, refused: "the facts have changed"},
		{name: "no plan of this job", plan: func(string) string { return "abc" }, refused: "is not a plan of this job"},
		{name: "another plan", plan: func(p string) string { return p[:len(p)-1] + "x" }, refused: "the facts have changed"},
		{name: "a plan of yesterday", plan: func(p string) string { return time.Now().Add(-25*time.Hour).UTC().Format("20060102T150405Z") + p[16:] }, refused: "is older than 24 hours"},
		{name: "a plan of tomorrow", plan: func(p string) string { return time.Now().Add(25*time.Hour).UTC().Format("20060102T150405Z") + p[16:] }, refused: "is of the future"},
	}
	for _, tt := range tests {
		for memory, world := range map[string]prune.World{"": {}, ", without memory": little()} {
			t.Run(tt.name+memory, func(t *testing.T) {
				t.Parallel()
				root := t.TempDir()
				put(t, filepath.Join(root, "a", "old.log"), 90*day)
				put(t, filepath.Join(root, "older.log"), 95*day)
				setAge(t, filepath.Join(root, "a"), 30*day)
				tr := trial{world: world, adjust: dryRule, hooks: jobs.Hooks{DryRun: true}}
				dry, out, err := tr.run(t, root)
				plan := dry.Outputs[jobs.OutputPlan]
				if err != nil || !strings.Contains(out, "plan "+plan+"\n") || len(plan) != 41 {
					t.Fatalf("plan %q, %v\n%s", plan, err, out)
				}
				if tt.change != nil {
					if err := tt.change(root); err != nil {
						t.Fatal(err)
					}
				}
				if tt.plan != nil {
					plan = tt.plan(plan)
				}
				before, left := names(t, root), tt.left
				tr.hooks = jobs.Hooks{Plan: plan}
				r, _, err := tr.run(t, root)
				if tt.refused != "" {
					if refused, ok := errors.AsType[*jobs.RefusedError](err); !ok || refused.Rail != "apply" || !strings.Contains(err.Error(), tt.refused) {
						t.Errorf("error %v, want a refusal: %s", err, tt.refused)
					}
					left = before
				} else if err != nil || r.Values["deleted"] != 2 {
					t.Errorf("result %+v, %v", r, err)
				}
				if diff := cmp.Diff(left, names(t, root)); diff != "" {
					t.Errorf("left (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestRun_PlanKeepsTheRails: who looked at a plan has not raised a limit.
func TestRun_PlanKeepsTheRails(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, filepath.Join(root, "a.log"), 90*day)
	put(t, filepath.Join(root, "b.log"), 90*day)
	tr := trial{adjust: func(o *prune.Options) { o.MaxFiles = 1 }, hooks: jobs.Hooks{DryRun: true}}
	dry, _, err := tr.run(t, root)
	if _, refused := errors.AsType[*jobs.RefusedError](err); !refused || dry.Outputs[jobs.OutputPlan] == "" {
		t.Fatalf("%+v, %v", dry, err)
	}
	tr.hooks = jobs.Hooks{Plan: dry.Outputs[jobs.OutputPlan]}
	_, _, err = tr.run(t, root)
	if refused, ok := errors.AsType[*jobs.RefusedError](err); !ok || refused.Rail != "max_files" || !exists(filepath.Join(root, "a.log")) {
		t.Errorf("error %v", err)
	}
}

func TestRun_EmptyFolders(t *testing.T) {
	t.Parallel()
	for memory, world := range map[string]prune.World{"with memory": {}, "without memory": little()} {
		t.Run(memory, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			put(t, filepath.Join(root, "emptied", "deep", "old.log"), 90*day)
			put(t, filepath.Join(root, "half", "old.log"), 90*day)
			put(t, filepath.Join(root, "half", "new.log"), 0)
			put(t, filepath.Join(root, "other", "notes.txt"), 90*day)
			for _, dir := range []string{"empty/a/b", "empty/c", "fresh", "keep-me", "holds-link", "young/old"} {
				mkdir(t, filepath.Join(root, dir))
			}
			if err := os.Symlink("/etc", filepath.Join(root, "holds-link", "etc")); err != nil {
				t.Fatal(err)
			}
			for _, dir := range []string{"emptied/deep", "emptied", "half", "other", "empty/a/b", "empty/a", "empty/c", "empty", "keep-me", "holds-link", "young/old"} {
				setAge(t, filepath.Join(root, dir), 30*day)
			}
			adjust := func(o *prune.Options) {
				o.EmptyFolders, o.MaxShare, o.Exclude = unit.Duration(7*day), 100, []string{"keep-*"}
			}
			dry, out, err := trial{world: world, adjust: adjust, hooks: jobs.Hooks{DryRun: true}}.run(t, root)
			if err != nil || !strings.HasSuffix(dry.Summary, "remove 7 empty folders") || strings.Count(out, "would remove the empty folder ") != 7 {
				t.Errorf("summary %q, %v\n%s", dry.Summary, err, out)
			}
			r, out, err := trial{world: world, adjust: adjust}.run(t, root)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			want := []string{".", "fresh", "half", "half/new.log", "holds-link", "holds-link/etc", "keep-me", "other", "other/notes.txt", "young"}
			if diff := cmp.Diff(want, names(t, root)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if r.Values["folders_removed"] != 7 || r.Values["deleted"] != 2 || !strings.Contains(r.Summary, "removed 7 empty folders") {
				t.Errorf("result %+v", r)
			}
		})
	}
}

// TestRun_EmptyFolderFills puts something into a folder in the last moment.
func TestRun_EmptyFolderFills(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"filled", "swapped", "moved"} {
		setAge(t, mkdir(t, filepath.Join(root, dir)), 30*day)
	}
	fired := 0
	r, _, err := trial{adjust: func(o *prune.Options) { o.EmptyFolders = unit.Duration(7 * day) }, hooks: jobs.Hooks{Effect: func(string) {
		if fired++; fired > 1 {
			return
		}
		put(t, filepath.Join(root, "filled", "precious.txt"), 0)
		err := errors.Join(os.Remove(filepath.Join(root, "swapped")), os.Mkdir(filepath.Join(root, "swapped"), 0o700), os.Rename(filepath.Join(root, "moved"), filepath.Join(root, "away")))
		if err != nil {
			t.Error(err)
		}
	}}}.run(t, root)
	if err != nil || fired != 3 {
		t.Fatalf("%v, %d effects", err, fired)
	}
	want := []string{".", "away", "filled", "filled/precious.txt", "swapped"}
	if diff := cmp.Diff(want, names(t, root)); diff != "" || r.Values["folders_removed"] != 0 || !strings.Contains(r.Summary, "3 skipped: changed since") {
		t.Errorf("left (-want +got):\n%s\n%+v", diff, r)
	}
}
