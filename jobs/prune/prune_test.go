package prune_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/prune"
)

const day = 24 * time.Hour

// put makes a file of an age.
func put(t *testing.T, path string, age time.Duration) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	setAge(t, path, age)
}

func setAge(t *testing.T, path string, age time.Duration) {
	t.Helper()
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func rule(t *testing.T, given any, root string) *prune.Options {
	t.Helper()
	o, ok := given.(*prune.Options)
	if !ok {
		t.Fatal("the kind's options have another type")
	}
	o.Root, o.Match, o.OlderThan, o.FirstRun = unit.Path(root), []string{"*.log"}, unit.Duration(7*day), "apply"
	return o
}

func TestKind(t *testing.T) {
	t.Parallel()
	logs := func(t *testing.T, root string, given any, _ *jobstest.Deps) {
		o := rule(t, given, filepath.Join(root, "logs"))
		put(t, filepath.Join(root, "logs", "old.log"), 8*day)
		put(t, filepath.Join(root, "logs", "app", "older.log"), 80*day)
		put(t, filepath.Join(root, "logs", "new.log"), time.Hour)
		put(t, filepath.Join(root, "logs", "old.txt"), 80*day)
		o.MaxShare = 100
	}
	jobstest.Exercise(t, prune.Kind(),
		jobstest.Fixture{
			Name: "old logs", Arrange: logs, Effects: true,
			Judge: func(t *testing.T, root string, r jobs.Result) {
				want := []string{".", "logs", "logs/app", "logs/new.log", "logs/old.txt"}
				if diff := cmp.Diff(want, names(t, root)); diff != "" {
					t.Errorf("left (-want +got):\n%s", diff)
				}
				if r.Values["deleted"] != 2 || r.Values["freed_bytes"] < 20 || r.Values["files_seen"] != 4 {
					t.Errorf("values = %v", r.Values)
				}
			},
		},
		jobstest.Fixture{Name: "no root", Arrange: func(t *testing.T, root string, given any, _ *jobstest.Deps) {
			rule(t, given, filepath.Join(root, "none"))
		}, Fails: "no such file"},
		jobstest.Fixture{Name: "a root that is a link", Refuses: true, Fails: "symbolic link", Arrange: func(t *testing.T, root string, given any, deps *jobstest.Deps) {
			logs(t, root, given, deps)
			if err := os.Symlink(filepath.Join(root, "logs"), filepath.Join(root, "link")); err != nil {
				t.Fatal(err)
			}
			rule(t, given, filepath.Join(root, "link"))
		}},
		jobstest.Fixture{Name: "too many files", Refuses: true, Fails: "would delete 2 files", Arrange: func(t *testing.T, root string, given any, deps *jobstest.Deps) {
			logs(t, root, given, deps)
			rule(t, given, filepath.Join(root, "logs")).MaxFiles = 1
		}},
		jobstest.Fixture{Name: "too many bytes", Refuses: true, Fails: "refused by max_bytes", Arrange: func(t *testing.T, root string, given any, deps *jobstest.Deps) {
			logs(t, root, given, deps)
			rule(t, given, filepath.Join(root, "logs")).MaxBytes = 1
		}},
		jobstest.Fixture{Name: "too large a share", Refuses: true, Fails: "refused by max_share", Arrange: func(t *testing.T, root string, given any, _ *jobstest.Deps) {
			for i := range 20 {
				put(t, filepath.Join(root, "logs", fmt.Sprintf("%02d.log", i)), 30*day)
			}
			rule(t, given, filepath.Join(root, "logs"))
		}},
	)
}

// names lists everything below root.
func names(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		relative, relErr := filepath.Rel(root, path)
		out = append(out, relative)
		return errors.Join(err, relErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply runs a rule below root and returns its result and output.
func apply(t *testing.T, root string, adjust func(*prune.Options), past ...jobs.Past) (jobs.Result, string) {
	t.Helper()
	r, out, err := try(t, root, adjust, past...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r, out
}

func try(t *testing.T, root string, adjust func(*prune.Options), past ...jobs.Past) (jobs.Result, string, error) {
	t.Helper()
	kind := prune.Kind()
	given := kind.Options()
	o := rule(t, given, root)
	if adjust != nil {
		adjust(o)
	}
	deps := jobstest.NewDeps(t)
	for _, p := range past {
		deps.AddPast("", "", p)
	}
	job, err := kind.Build(given, deps)
	if err != nil {
		t.Fatal(err)
	}
	out := &jobstest.Buffer{}
	r, err := job.Run(t.Context(), jobs.NewEnv(jobs.Env{Out: out}, jobs.Hooks{}))
	return r, out.String(), err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

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
	changed, _ := apply(t, root, func(o *prune.Options) { dry(o); o.OlderThan = unit.Duration(6 * day) }, jobs.Past{Result: first})
	if !exists(old) || changed.Values["deleted"] != 0 {
		t.Fatalf("the first run of a changed rule deleted: %+v", changed)
	}
	second, _ := apply(t, root, dry, jobs.Past{Result: first})
	if exists(old) || second.Values["deleted"] != 1 {
		t.Fatalf("the second run: %+v", second)
	}
}

func TestRun_NeverTouches(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	root, outside := filepath.Join(base, "logs"), filepath.Join(base, "outside")
	put(t, filepath.Join(outside, "precious.log"), 90*day)
	put(t, filepath.Join(root, "fine.log"), 90*day)
	put(t, filepath.Join(root, "linked.log"), 90*day)
	for _, err := range []error{
		os.Link(filepath.Join(root, "linked.log"), filepath.Join(base, "second-name")),
		os.Symlink(outside, filepath.Join(root, "away.log")),
		os.Symlink(filepath.Join(outside, "precious.log"), filepath.Join(root, "precious.log")),
		os.Mkdir(filepath.Join(root, "folder.log"), 0o700),
		exec.Command("mkfifo", filepath.Join(root, "pipe.log")).Run(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	setAge(t, filepath.Join(root, "folder.log"), 90*day)
	setAge(t, filepath.Join(root, "pipe.log"), 90*day)
	before := jobstest.Tree(t, outside)
	r, _ := apply(t, root, nil)
	want := []string{".", "away.log", "folder.log", "linked.log", "pipe.log", "precious.log"}
	if diff := cmp.Diff(want, names(t, root)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, jobstest.Tree(t, outside)); diff != "" {
		t.Errorf("the world outside changed (-before +after):\n%s", diff)
	}
	if !strings.Contains(r.Summary, "1 skipped: has several names") {
		t.Errorf("summary %q does not say why linked.log stayed", r.Summary)
	}
}

func TestRun_OpenFilesStay(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"written.log", "read.log", "idle.log"} {
		put(t, filepath.Join(root, name), 90*day)
	}
	// Another process holds two of them open, as a service and a reader would.
	holder := exec.Command("sh", "-c", `exec 3>>written.log 4<read.log; echo ready; cat`)
	holder.Dir = root
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	r, _ := apply(t, root, nil)
	if err := errors.Join(stdin.Close(), holder.Wait()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".", "read.log", "written.log"}, names(t, root)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if !strings.Contains(r.Summary, "2 skipped: open in a process") {
		t.Errorf("summary = %q", r.Summary)
	}
}

func TestRun_HostileNames(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"-rf.log", "a\nb.log", "$(touch pwned).log", "\xff\xfe.log", "; rm x.log", strings.Repeat("x", 250) + ".log"} {
		put(t, filepath.Join(root, name), 90*day)
	}
	deep := root
	for range 40 {
		deep = filepath.Join(deep, "d")
	}
	put(t, filepath.Join(deep, "deep.log"), 90*day)
	r, out := apply(t, root, func(o *prune.Options) { o.MaxShare = 100 })
	if r.Values["deleted"] != 7 {
		t.Errorf("deleted %v of 7; left %q", r.Values["deleted"], names(t, root))
	}
	if strings.Contains(out, "a\nb.log") || !utf8.ValidString(out) {
		t.Errorf("a hostile name reached the output as it is:\n%q", out)
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

func TestRun_AgeFromName(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	stamp := func(age time.Duration, layout string) string { return time.Now().UTC().Add(-age).Format(layout) }
	oldDash, oldPlain, fresh := "app-"+stamp(30*day, "2006-01-02")+".log", stamp(30*day, "20060102")+".log", "app-"+stamp(2*day, "2006-01-02")+".log"
	// Restored files have a fresh time of change; the name tells the truth.
	for _, name := range []string{oldDash, oldPlain, fresh, "current.log", "build-20261399.log", "id-1202610011.log"} {
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

func TestRun_OtherMountsStay(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can mount; the rail is proven where the tests run as root")
		return
	}
	base := t.TempDir()
	root, elsewhere := filepath.Join(base, "logs"), filepath.Join(base, "elsewhere")
	put(t, filepath.Join(elsewhere, "precious.log"), 90*day)
	put(t, filepath.Join(root, "old.log"), 90*day)
	if err := os.Mkdir(filepath.Join(root, "mounted"), 0o700); err != nil {
		t.Fatal(err)
	}
	// A bind mount has the same device number as its surroundings.
	if out, err := exec.Command("mount", "--bind", elsewhere, filepath.Join(root, "mounted")).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", filepath.Join(root, "mounted")).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	r, _ := apply(t, root, nil)
	if !exists(filepath.Join(elsewhere, "precious.log")) || r.Values["deleted"] != 1 {
		t.Errorf("a file behind a mount was deleted: %+v", r)
	}
	_, _, err := try(t, filepath.Join(root, "mounted"), nil)
	if _, ok := errors.AsType[*jobs.RefusedError](err); !ok {
		t.Errorf("a root that is a mount point was accepted: %v", err)
	}
}

func TestRun_UnreadableFolderIsAWarning(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, filepath.Join(root, "closed", "old.log"), 90*day)
	put(t, filepath.Join(root, "old.log"), 90*day)
	if err := os.Chmod(filepath.Join(root, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Chmod(filepath.Join(root, "closed"), 0o700); err != nil {
			t.Error(err)
		}
	})
	r, _ := apply(t, root, nil)
	if os.Geteuid() == 0 {
		// Root reads everything.
		if r.Values["deleted"] != 2 {
			t.Errorf("deleted = %v, want 2", r.Values["deleted"])
		}
		return
	}
	if r.Worst() != jobs.Warning || r.Values["deleted"] != 1 {
		t.Errorf("result = %+v, want a warning about the closed folder", r)
	}
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"/", "/var", "/home", "/home/anna", "/etc/app", "/usr/share/logs", "/proc/1", "/var/lib", "/data", "relative/logs", "/srv/app/../../etc/x", home} {
		o := prune.Options{Root: unit.Path(root), Match: []string{"*.log"}, OlderThan: 1, MaxFiles: 1, MaxShare: 1, AgeFrom: "mtime", FirstRun: "dry"}
		if field, ok := errors.AsType[*jobs.FieldError](o.Validate()); !ok || field.Field != "root" {
			t.Errorf("root %s was accepted", root)
		}
	}
	for _, root := range []string{"/var/log", "/srv/app/logs", "/home/anna/app/logs", "/var/lib/app/tmp"} {
		o := prune.Options{Root: unit.Path(root), Match: []string{"*.log"}, OlderThan: 1, MaxFiles: 1, MaxShare: 1, AgeFrom: "mtime", FirstRun: "dry"}
		if err := o.Validate(); err != nil {
			t.Errorf("root %s: %v", root, err)
		}
	}
	bad := prune.Options{Root: "/srv/logs", Exclude: []string{"../x", ""}, KeepNewest: -1, AgeFrom: "ctime", FirstRun: "maybe"}
	want := `match: it is required: a rule without a pattern would match every file
exclude[0]: "../x" is not a pattern of a name or of a path below root
exclude[1]: "" is not a pattern of a name or of a path below root
older_than: neither older_than nor max_total is given, so nothing says what is old
keep_newest: it is negative
max_files: it must be at least 1
max_share: it must be above 0%
age_from: it is neither mtime nor name
first_run: it is neither dry nor apply`
	if diff := cmp.Diff(want, bad.Validate().Error()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}
