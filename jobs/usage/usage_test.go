package usage_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/usage"
)

// noFree switches the judgement of this machine's real disk off.
var noFree = usage.FreeLimits{}

func write(t *testing.T, path string, bytes int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, bytes), 0o600); err != nil {
		t.Fatal(err)
	}
}

func options(t *testing.T, kindOptions any) *usage.Options {
	t.Helper()
	o, ok := kindOptions.(*usage.Options)
	if !ok {
		t.Fatal("the kind's options have another type")
	}
	o.Free = noFree
	return o
}

func TestKind(t *testing.T) {
	t.Parallel()
	jobstest.Exercise(t, usage.Kind(),
		jobstest.Fixture{
			Name: "two paths",
			Arrange: func(t *testing.T, root string, given any, _ *jobstest.Deps) {
				o := options(t, given)
				write(t, filepath.Join(root, "logs", "a.log"), 10_000)
				write(t, filepath.Join(root, "data", "deep", "b.bin"), 5_000)
				o.Paths = []usage.Target{
					{Path: unit.Path(filepath.Join(root, "logs")), Warn: 1},
					{Path: unit.Path(filepath.Join(root, "data")), Crit: 1 << 40},
					{Path: unit.Path(filepath.Join(root, "none")), Missing: "ignore"},
				}
			},
			Judge: func(t *testing.T, _ string, r jobs.Result) {
				if r.Worst() != jobs.Warning || r.Values["files.logs"] != 1 || r.Values["bytes.data"] < 5_000 {
					t.Errorf("result = %+v", r)
				}
			},
		},
		jobstest.Fixture{
			Name: "a missing path",
			Arrange: func(t *testing.T, root string, given any, _ *jobstest.Deps) {
				options(t, given).Paths = []usage.Target{{Path: unit.Path(filepath.Join(root, "none"))}}
			},
			Fails: "no such file or directory",
		})
}

// measure runs the job over targets below root with the given past.
func measure(t *testing.T, adjust func(*usage.Options), past ...jobs.Past) (jobs.Result, string) {
	t.Helper()
	kind := usage.Kind()
	given := kind.Options()
	adjust(options(t, given))
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
	if err != nil {
		t.Fatal(err)
	}
	return r, out.String()
}

func TestRun_CountsBlocksOnceAndMatches(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "a.log"), 8192)
	write(t, filepath.Join(root, "sub", "b.log"), 4096)
	write(t, filepath.Join(root, "sub", "c.txt"), 1<<20)
	if err := os.Link(filepath.Join(root, "a.log"), filepath.Join(root, "again.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(root, "everything.log")); err != nil {
		t.Fatal(err)
	}
	sparse, err := os.Create(filepath.Join(root, "sparse.log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := sparse.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	if err := sparse.Close(); err != nil {
		t.Fatal(err)
	}
	r, out := measure(t, func(o *usage.Options) {
		o.Paths = []usage.Target{{Name: "logs", Path: unit.Path(root), Match: []string{"**/*.log"}}}
	})
	if got := r.Values["bytes.logs"]; got != 12288 {
		t.Errorf("bytes = %v, want 12288: blocks of a.log once and of b.log\n%s", got, out)
	}
	if got := r.Values["files.logs"]; got != 4 {
		t.Errorf("files = %v, want 4: a.log, b.log, the sparse file and the link itself", got)
	}
	if !strings.Contains(out, "sub") {
		t.Errorf("the largest entries are not printed:\n%s", out)
	}
}

func TestRun_GrowthAndDaysToFull(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "a.log"), 1<<20)
	day := 24 * time.Hour
	past := func(age time.Duration, bytes float64) jobs.Past {
		return jobs.Past{Finished: time.Now().Add(-age), Result: jobs.Result{Values: map[string]float64{"bytes.logs": bytes}}}
	}
	target := func(o *usage.Options) {
		o.Paths = []usage.Target{{Name: "logs", Path: unit.Path(root), Growth: 100}}
		o.Full = usage.FullLimits{Warn: unit.Duration(1_000_000 * time.Hour), Crit: 0}
	}
	r, _ := measure(t, target, past(time.Minute, 0), past(2*day, 1), past(8*day, 1<<19), past(30*day, 2))
	now := r.Values["bytes.logs"]
	want := (now - 1<<19) / 8
	if got := r.Values["growth_bytes_per_day.logs"]; got < want*0.999 || got > want*1.001 {
		t.Errorf("growth = %v a day, want %v from the run 8 days ago, the nearest to a week", got, want)
	}
	if got, want := r.Values["days_to_full.logs"], r.Values["free_bytes.logs"]/want; got < want*0.99 || got > want*1.01 {
		t.Errorf("days to full = %v, want %v", got, want)
	}
	if len(r.Findings) == 0 || r.Findings[0].ID != "growth:logs" {
		t.Errorf("findings = %+v, want growth first", r.Findings)
	}
	shrinking, _ := measure(t, target, past(day, 1<<30))
	if _, ok := shrinking.Values["days_to_full.logs"]; ok || len(shrinking.Findings) != 0 {
		t.Errorf("a path that shrinks was judged as growing: %+v", shrinking)
	}
	young, _ := measure(t, target, past(time.Minute, 0))
	if _, ok := young.Values["growth_bytes_per_day.logs"]; ok {
		t.Error("growth was computed from a run a minute ago")
	}
}

func TestRun_FullDiskIsCritical(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "a"), 1)
	r, _ := measure(t, func(o *usage.Options) {
		o.Paths = []usage.Target{{Name: "data", Path: unit.Path(root)}}
		o.Free = usage.FreeLimits{Warn: 100, Crit: 100}
	})
	if r.Worst() != jobs.Critical || r.Findings[0].ID != "free:data" {
		t.Errorf("findings = %+v, want free:data critical", r.Findings)
	}
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	o := usage.Options{Paths: []usage.Target{
		{Path: "/a/logs", Warn: 5, Crit: 4}, {Path: "/b/logs"}, {}, {Path: "/c", Match: []string{"["}, Missing: "maybe"},
	}, Free: usage.FreeLimits{Warn: 1, Crit: 2}, Top: -1}
	err := o.Validate()
	want := `paths[0].warn: 5 B is above crit, 4 B
paths[1]: two paths are called "logs"
paths[2].path: it is required
paths[3].missing: "maybe" is neither fail nor ignore
paths[3].match[0]: "[" is not a pattern
free.warn: 1% is below crit, 2%
top: -1 is out of range: use 0 to 1000`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}
