package prune_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/prune"
)

func TestRun_ExactCutoff(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	// find -mtime +7 would keep this one until it is 8 days old.
	put(t, filepath.Join(root, "over.log"), 7*day+time.Second)
	put(t, filepath.Join(root, "under.log"), 7*day-time.Minute)
	put(t, filepath.Join(root, "future.log"), -30*day)
	r, out := apply(t, root, nil)
	if r.Values["deleted"] != 1 || exists(filepath.Join(root, "over.log")) {
		t.Errorf("deleted %v: %v", r.Values["deleted"], names(t, root))
	}
	if !strings.Contains(out, "cutoff: ") {
		t.Errorf("the cutoff is not shown:\n%s", out)
	}
	if r.Values["next_files"] != 1 {
		t.Errorf("next_files = %v, want 1: under.log is old tomorrow", r.Values["next_files"])
	}
}

func TestRun_FirstRunOnlyShows(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	old := filepath.Join(root, "old.log")
	put(t, old, 8*day)
	dry := func(o *prune.Options) { o.FirstRun = "dry" }
	first, _ := apply(t, root, dry)
	if !exists(old) || first.Values["deleted"] != 0 || !strings.HasPrefix(first.Summary, "first run of this rule: would delete 1 file") {
		t.Fatalf("the first run: %+v", first)
	}
	for name, change := range map[string]func(*prune.Options){
		"older_than": func(o *prune.Options) { o.OlderThan = unit.Duration(6 * day) },
		"match":      func(o *prune.Options) { o.Match = []string{"*"} },
		"exclude":    func(o *prune.Options) { o.Exclude = []string{"x"} },
		"max_total":  func(o *prune.Options) { o.MaxTotal = 1 },
	} {
		changed, _ := apply(t, root, func(o *prune.Options) { dry(o); change(o) }, jobs.Past{Result: first})
		if !exists(old) || changed.Values["deleted"] != 0 {
			t.Fatalf("the first run of a rule with another %s deleted: %+v", name, changed)
		}
	}
	// Neither a run of another rule in between nor higher caps make it new.
	second, _ := apply(t, root, func(o *prune.Options) { dry(o); o.MaxFiles, o.MaxShare = 7, 100 }, jobs.Past{}, jobs.Past{Result: first})
	if exists(old) || second.Values["deleted"] != 1 {
		t.Fatalf("the second run: %+v", second)
	}
}

func TestRun_FirstRunTellsOfRails(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, filepath.Join(root, "a.log"), 8*day)
	put(t, filepath.Join(root, "b.log"), 8*day)
	first, _ := apply(t, root, func(o *prune.Options) { o.FirstRun, o.MaxFiles = "dry", 1 })
	if first.Worst() != jobs.Warning || !strings.HasPrefix(first.Summary, "first run of this rule: would be refused by max_files: would delete 2 files") {
		t.Errorf("result = %+v", first)
	}
}

func TestRun_DryRunListsThenRefuses(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, filepath.Join(root, "b", "b.log"), 8*day)
	put(t, filepath.Join(root, "b", "a.log"), 9*day)
	put(t, filepath.Join(root, "c.log"), 9*day)
	before := names(t, root)
	dry := trial{hooks: jobs.Hooks{DryRun: true}}
	r, out, err := dry.run(t, root)
	if err != nil || !strings.HasPrefix(r.Summary, "would delete 3 files, ") {
		t.Errorf("summary %q, error %v", r.Summary, err)
	}
	var listed []string
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "would delete "); ok {
			name, _, _ := strings.Cut(rest, " (")
			listed = append(listed, strings.TrimPrefix(name, root+"/"))
		}
	}
	if diff := cmp.Diff([]string{"c.log", "b/a.log", "b/b.log"}, listed); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	dry.adjust = func(o *prune.Options) { o.MaxFiles = 2 }
	_, out, err = dry.run(t, root)
	if _, refused := errors.AsType[*jobs.RefusedError](err); !refused || strings.Count(out, "would delete "+root) != 3 {
		t.Errorf("error %v; output:\n%s", err, out)
	}
	if diff := cmp.Diff(before, names(t, root)); diff != "" {
		t.Errorf("a dry run changed (-want +got):\n%s", diff)
	}
}

func TestRun_ClockJumps(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for i := range 30 {
		put(t, filepath.Join(root, fmt.Sprintf("%02d.log", i)), time.Duration(i)*6*time.Hour)
		// What does not match must not hide how much of the rest would go.
		for j := range 5 {
			put(t, filepath.Join(root, fmt.Sprintf("%02d-%d.dat", i, j)), 0)
		}
	}
	// A service wrote to its log after the jump.
	ahead := time.Now().Add(365 * day)
	if err := os.Chtimes(filepath.Join(root, "00.log"), ahead, ahead); err != nil {
		t.Fatal(err)
	}
	before := names(t, root)
	_, _, err := trial{world: prune.World{Now: ahead}}.run(t, root)
	refused, ok := errors.AsType[*jobs.RefusedError](err)
	if !ok || refused.Rail != "max_share" || !strings.Contains(refused.Why, "would delete 29 files") || !strings.Contains(jobs.HintOf(err), "clock") {
		t.Errorf("a clock that jumped a year ahead: %v", err)
	}
	back, _, err := trial{world: prune.World{Now: time.Now().Add(-365 * day)}}.run(t, root)
	if err != nil || back.Values["deleted"] != 0 {
		t.Errorf("a clock that jumped a year back: %+v, %v", back, err)
	}
	if diff := cmp.Diff(before, names(t, root)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestRun_TimesOutOfThisWorld(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, year := range map[string]int{"ancient.log": 1902, "epoch.log": 1970, "future.log": 2399} {
		put(t, filepath.Join(root, name), 0)
		// os.Chtimes goes through nanoseconds, which end in the year 2262.
		at := unix.Timespec{Sec: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Unix()}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(root, name), []unix.Timespec{at, at}, 0); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := apply(t, root, nil)
	if diff := cmp.Diff([]string{".", "future.log"}, names(t, root)); diff != "" {
		t.Errorf("left (-want +got):\n%s\n%+v", diff, r)
	}
}

func TestRun_KeepNewestAndMaxTotal(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for i := range 5 {
		put(t, filepath.Join(root, "a", fmt.Sprintf("%d.log", i)), time.Duration(10+i)*day)
		put(t, filepath.Join(root, "b", fmt.Sprintf("%d.log", i)), time.Duration(20+i)*day)
	}
	apply(t, root, func(o *prune.Options) { o.KeepNewest = 2 })
	want := []string{".", "a", "a/0.log", "a/1.log", "b", "b/0.log", "b/1.log"}
	if diff := cmp.Diff(want, names(t, root)); diff != "" {
		t.Fatalf("keep_newest left (-want +got):\n%s", diff)
	}
	// Every file takes one block of the file system; room for two of four.
	r, _ := apply(t, root, func(o *prune.Options) { o.MaxTotal, o.OlderThan, o.MaxFiles = 1, 0, 1+3; o.KeepNewest = 1 })
	want = []string{".", "a", "a/0.log", "b", "b/0.log"}
	if diff := cmp.Diff(want, names(t, root)); diff != "" {
		t.Errorf("max_total left (-want +got):\n%s\n%+v", diff, r)
	}
}

func TestRun_MaxTotal(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for i := range 5 {
		path := filepath.Join(root, fmt.Sprint(i%2), fmt.Sprintf("%d.log", i))
		put(t, path, 0)
		if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		setAge(t, path, time.Duration(i)*day)
	}
	for keep, limit := range map[int]unit.Size{4: 300 << 10, 3: 200 << 10, 2: 150 << 10} {
		r, _, err := trial{adjust: func(o *prune.Options) { o.MaxTotal, o.OlderThan = limit, 0 }, hooks: jobs.Hooks{DryRun: true}}.run(t, root)
		if want := fmt.Sprintf("would delete %d file", 5-keep); err != nil || !strings.HasPrefix(r.Summary, want) {
			t.Errorf("room for %s: summary %q, want %q, error %v", limit, r.Summary, want, err)
		}
	}
	apply(t, root, func(o *prune.Options) { o.MaxTotal, o.OlderThan = 150<<10, 0 })
	if diff := cmp.Diff([]string{".", "0", "0/0.log", "1", "1/1.log"}, names(t, root)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestRun_AgeFromName(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	stamp := func(age time.Duration, layout string) string { return time.Now().UTC().Add(-age).Format(layout) }
	oldDash, oldPlain, fresh := "app-"+stamp(30*day, "2006-01-02")+".log", stamp(30*day, "20060102")+".log", "app-"+stamp(2*day, "2006-01-02")+".log"
	// Restored files have a fresh time of change; the name tells the truth.
	spanning := stamp(30*day, "20060102") + "-" + stamp(day, "20060102") + ".log" // the last date counts
	for _, name := range []string{oldDash, oldPlain, fresh, spanning, "current.log", "build-20261399.log", "id-1202610011.log"} {
		put(t, filepath.Join(root, name), 0)
	}
	r, _ := apply(t, root, func(o *prune.Options) { o.AgeFrom = "name" })
	if exists(filepath.Join(root, oldDash)) || exists(filepath.Join(root, oldPlain)) || r.Values["deleted"] != 2 {
		t.Errorf("deleted %v; left %v", r.Values["deleted"], names(t, root))
	}
	if !strings.Contains(r.Summary, "3 skipped: no date in its name") {
		t.Errorf("summary = %q", r.Summary)
	}
}

func TestRun_ExcludeAndPaths(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"x.log", "audit.log", "app/x.log", "app/deep/x.gz", "app/x.gz"} {
		put(t, filepath.Join(root, name), 90*day)
	}
	apply(t, root, func(o *prune.Options) {
		o.Match, o.Exclude = []string{"*.log", "app/**/*.gz"}, []string{"audit*", "app/x.*"}
	})
	want := []string{".", "app", "app/deep", "app/x.gz", "app/x.log", "audit.log"}
	if diff := cmp.Diff(want, names(t, root)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}
