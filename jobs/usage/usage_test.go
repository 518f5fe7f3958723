package usage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/usage"
)

// noFree switches the judgement of this machine's real disk off.
var noFree = usage.FreeLimits{}

func write(t testing.TB, path string, bytes int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, bytes), 0o600); err != nil {
		t.Fatal(err)
	}
}

func options(t testing.TB, kindOptions any) *usage.Options {
	t.Helper()
	o := jobstest.Options[usage.Options](t, kindOptions)
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

// past is an earlier run with what it measured.
func past(age time.Duration, values map[string]float64) jobs.Past {
	return jobs.Past{Finished: time.Now().Add(-age), Result: jobs.Result{Values: values}}
}

const day = 24 * time.Hour

func TestRun_Growth(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "a.log"), 1<<20)
	target := func(o *usage.Options) { o.Paths = []usage.Target{{Name: "logs", Path: unit.Path(root), Growth: 100}} }
	bytes := func(age time.Duration, n float64) jobs.Past { return past(age, map[string]float64{"bytes.logs": n}) }
	r, out := measure(t, target, bytes(-day, 9), bytes(time.Minute, 0), bytes(2*day, 1), bytes(8*day, 1<<19), bytes(30*day, 2))
	want := (r.Values["bytes.logs"] - 1<<19) / 8
	if got := r.Values["growth_bytes_per_day.logs"]; got < want*0.999 || got > want*1.001 {
		t.Errorf("growth = %v a day, want %v from the run 8 days ago, the nearest to a week", got, want)
	}
	if len(r.Findings) != 1 || r.Findings[0].ID != "growth:logs" || !strings.Contains(r.Summary, " KiB a day, limit 100 B") {
		t.Errorf("summary %q, findings %+v\n%s", r.Summary, r.Findings, out)
	}
	if r, _ := measure(t, target, bytes(day, 1<<30)); len(r.Findings) != 0 || r.Values["growth_bytes_per_day.logs"] >= 0 {
		t.Errorf("a path that shrinks was judged as growing: %+v", r)
	}
	young, _ := measure(t, target, bytes(time.Minute, 0))
	if _, ok := young.Values["growth_bytes_per_day.logs"]; ok {
		t.Error("growth was computed from a run a minute ago")
	}
	if !strings.HasPrefix(young.Summary, "1 path takes 1.0 MiB") {
		t.Errorf("summary %q", young.Summary)
	}
}

func TestRun_DaysToFull(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"logs", "data"} {
		write(t, filepath.Join(root, name, "a"), 1)
	}
	target := func(o *usage.Options) {
		o.Paths = []usage.Target{{Path: unit.Path(filepath.Join(root, "logs"))}, {Path: unit.Path(filepath.Join(root, "data"))}}
	}
	now, _ := measure(t, target)
	free := now.Values["free_bytes.logs"]
	// It lost as much in three days as is left, so three days are left.
	lost := func(age time.Duration) jobs.Past {
		return past(age, map[string]float64{"free_bytes.logs": 2 * free, "free_bytes.data": 2 * free})
	}
	r, out := measure(t, target, lost(3*day), lost(time.Hour))
	if got := r.Values["days_to_full.logs"]; got < 2.9 || got > 3.1 {
		t.Errorf("days to full = %v, want 3", got)
	}
	// Both paths lie on one file system, which is full once.
	if len(r.Findings) != 1 || r.Findings[0].ID != "full:logs" || r.Findings[0].Severity != jobs.Warning ||
		!strings.Contains(r.Findings[0].Text, "is full in 3.0 days, limit 7d") {
		t.Errorf("findings = %+v\n%s", r.Findings, out)
	}
	if r, _ := measure(t, target, lost(36*time.Hour)); r.Worst() != jobs.Warning {
		t.Errorf("full in a day and a half: %+v", r.Findings)
	}
	if r, _ := measure(t, func(o *usage.Options) { target(o); o.Full.Crit = unit.Duration(2 * day) }, lost(36*time.Hour)); r.Worst() != jobs.Critical {
		t.Errorf("full in a day and a half, critical below two: %+v", r.Findings)
	}
	// An hour of downloads is no forecast, and free space that grows none either.
	for _, p := range []jobs.Past{lost(2 * time.Hour), past(3*day, map[string]float64{"free_bytes.logs": free / 2})} {
		r, _ := measure(t, target, p)
		if _, ok := r.Values["days_to_full.logs"]; ok || len(r.Findings) != 0 {
			t.Errorf("result = %+v", r)
		}
	}
}

func TestRun_FreeSpaceIsJudgedOnce(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "b", "a"), 1)
	for limits, want := range map[usage.FreeLimits]jobs.Severity{{Warn: 100, Crit: 100}: jobs.Critical, {Warn: 100}: jobs.Warning, {}: ""} {
		r, _ := measure(t, func(o *usage.Options) {
			o.Paths = []usage.Target{{Name: "data", Path: unit.Path(root)}, {Path: unit.Path(filepath.Join(root, "b"))}}
			o.Free = limits
		})
		if r.Worst() != want || want != "" && (len(r.Findings) != 1 || r.Findings[0].ID != "free:data") {
			t.Errorf("%+v: findings = %+v, want one, %s", limits, r.Findings, want)
		}
	}
}

func TestRun_SizeLimits(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "a"), 40_000)
	for _, tt := range []struct {
		warn, crit unit.Size
		want       jobs.Severity
	}{{}, {30_000, 0, jobs.Warning}, {0, 30_000, jobs.Critical}, {20_000, 1 << 30, jobs.Warning}, {1 << 30, 1 << 31, ""}} {
		r, _ := measure(t, func(o *usage.Options) {
			o.Paths = []usage.Target{{Name: "x", Path: unit.Path(root), Match: []string{"a"}, Warn: tt.warn, Crit: tt.crit}}
		})
		if r.Worst() != tt.want || tt.want != "" && r.Findings[0].ID != "size:x" {
			t.Errorf("%+v: findings %+v", tt, r.Findings)
		}
	}
}

func TestRun_HostileNames(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"a\nb", "\xff\xfe", "\x1b[31mred", strings.Repeat("x", 250)} {
		write(t, filepath.Join(root, name), 1)
	}
	r, out := measure(t, func(o *usage.Options) { o.Paths = []usage.Target{{Path: unit.Path(root), Name: "../Wéird Näme"}} })
	if r.Values["files.w_ird_n_me"] != 4 {
		t.Errorf("values = %v", r.Values)
	}
	if !utf8.ValidString(out) || strings.ContainsRune(out, '\x1b') || strings.Contains(out, "a\nb") {
		t.Errorf("a hostile name reached the output as it is:\n%q", out)
	}
}

func TestRun_Top(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for i, name := range []string{"small", "middle", "large"} {
		write(t, filepath.Join(root, name, "a"), 100_000*(i+1))
	}
	for top, want := range map[int][]string{0: nil, 2: {"large", "middle"}, 9: {"large", "middle", "small"}} {
		_, out := measure(t, func(o *usage.Options) { o.Paths, o.Top = []usage.Target{{Name: "x", Path: unit.Path(root)}}, top })
		var got []string
		for line := range strings.SplitSeq(out, "\n") {
			if fields := strings.Fields(line); strings.HasPrefix(line, "  ") && len(fields) == 3 {
				got = append(got, fields[2])
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("top %d (-want +got):\n%s\n%s", top, diff, out)
		}
	}
}

func TestRun_Unreadable(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "closed", "a"), 1)
	if err := os.Chmod(filepath.Join(root, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Chmod(filepath.Join(root, "closed"), 0o700); err != nil {
			t.Error(err)
		}
	})
	r, _ := measure(t, func(o *usage.Options) { o.Paths = []usage.Target{{Name: "x", Path: unit.Path(root)}} })
	switch {
	case os.Geteuid() == 0 && r.Values["files.x"] != 1:
		t.Errorf("root cannot read everything: %+v", r)
	case os.Geteuid() != 0 && (r.Worst() != jobs.Warning || r.Findings[0].ID != "unreadable:x"):
		t.Errorf("a sum that is too small is not reported: %+v", r)
	}
}

func TestRun_StopsWithItsContext(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for i := range 100 {
		write(t, filepath.Join(root, fmt.Sprint(i)), 0)
	}
	kind := usage.Kind()
	given := kind.Options()
	options(t, given).Paths = []usage.Target{{Name: "x", Path: unit.Path(root)}, {Name: "y", Path: unit.Path(root)}}
	job, err := kind.Build(given, jobstest.NewDeps(t))
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	// The first path has been printed when the second one is measured.
	out := writerFunc(func() { cancel(stop) })
	if _, err := job.Run(ctx, jobs.NewEnv(jobs.Env{Out: out}, jobs.Hooks{})); !errors.Is(err, stop) {
		t.Errorf("error %v does not wrap the cause", err)
	}
}

type writerFunc func()

func (f writerFunc) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	o := usage.Options{Paths: []usage.Target{
		{Path: "/a/logs", Warn: 5, Crit: 4}, {Path: "/b/logs"}, {}, {Path: "/c", Match: []string{"["}, Missing: "maybe"},
	}, Free: usage.FreeLimits{Warn: 1, Crit: 2}, Full: usage.FullLimits{Warn: 1, Crit: 2}, Top: -1}
	err := o.Validate()
	want := `paths[0].warn: 5 B is above crit, 4 B
paths[1]: two paths are called "logs"
paths[2].path: it is required
paths[3].missing: "maybe" is neither fail nor ignore
paths[3].match[0]: "[" is not a pattern
free.warn: 1% is below crit, 2%
days_to_full.warn: 1ns is below crit, 2ns
top: -1 is out of range: use 0 to 1000`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}
