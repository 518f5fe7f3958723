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
	o := jobstest.Options[prune.Options](t, given)
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
			Settled: func(t *testing.T, root string) {
				if diff := cmp.Diff([]string{".", "logs", "logs/app", "logs/new.log", "logs/old.txt"}, names(t, root)); diff != "" {
					t.Errorf("left (-want +got):\n%s", diff)
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
	return trial{adjust: adjust, past: past}.run(t, root)
}

// trial is a run of a rule under circumstances.
type trial struct {
	adjust func(*prune.Options)
	past   []jobs.Past
	world  prune.World
	hooks  jobs.Hooks
}

func (tr trial) run(t *testing.T, root string) (jobs.Result, string, error) {
	t.Helper()
	kind := prune.Kind()
	given := kind.Options()
	o := rule(t, given, root)
	if tr.adjust != nil {
		tr.adjust(o)
	}
	deps := jobstest.NewDeps(t)
	for _, p := range tr.past {
		deps.AddPast("", "", p)
	}
	job, err := kind.Build(given, deps)
	if err != nil {
		t.Fatal(err)
	}
	if tr.world.Remember > 0 {
		age(t)
	}
	out := &jobstest.Buffer{}
	r, err := prune.In(job, tr.world).Run(t.Context(), jobs.NewEnv(jobs.Env{Out: out}, tr.hooks))
	return r, out.String(), err
}

// age returns when the clock of the kernel has gone on, so that what was made
// before it shows times before now.
func age(t *testing.T) {
	t.Helper()
	start := time.Now().UnixNano()
	for now := (unix.Timespec{}); now.Nano() <= start; {
		if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
			t.Fatal(err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
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
older_than: none of older_than, max_total, compress and empty_folders is given, so nothing says what is old
keep_newest: it is negative
max_files: it must be at least 1
max_share: it must be above 0%
age_from: it is neither mtime nor name
first_run: it is neither dry nor apply`
	if diff := cmp.Diff(want, bad.Validate().Error()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestOptions_HomeFolders(t *testing.T) {
	t.Setenv("HOME", "/srv/people/anna")
	for root, why := range map[string]string{
		"/srv/people/anna": "is a home folder", "/srv/people": "holds the home folder /srv/people/anna", "/srv/people/anna/logs": "", "/srv/people/ann": "",
	} {
		o := prune.Options{Root: unit.Path(root), Match: []string{"*.log"}, OlderThan: 1, MaxFiles: 1, MaxShare: 1, AgeFrom: "mtime", FirstRun: "dry"}
		err := o.Validate()
		if why == "" && err != nil || why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
			t.Errorf("root %s: %v, want %q", root, err, why)
		}
	}
}
