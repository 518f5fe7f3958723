package health_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/health"
	"github.com/ghosteam/upkeep/jobs/jobstest"
)

// probe answers as a test says.
type probe func(ctx context.Context) (jobs.Result, error)

func (p probe) Run(ctx context.Context, _ *jobs.Env) (jobs.Result, error) { return p(ctx) }

func healthy(context.Context) (jobs.Result, error) {
	return jobs.Result{Summary: "all fine", Values: map[string]float64{"load": 1}}, nil
}

func warned(context.Context) (jobs.Result, error) {
	return jobs.Result{Summary: "memory at 83 %", Findings: []jobs.Finding{{ID: "memory", Severity: jobs.Warning, Text: "memory at 83 %"}}}, nil
}

func refused(context.Context) (jobs.Result, error) {
	return jobs.Result{}, jobs.WithHint(errors.New("connection\nrefused"), "is it running?")
}

func critical(context.Context) (jobs.Result, error) {
	return jobs.Result{Summary: "answers 500", Findings: []jobs.Finding{{ID: "status", Severity: jobs.Critical, Text: "answers 500"}}}, nil
}

func deaf(context.Context) (jobs.Result, error) { select {} }

func panics(context.Context) (jobs.Result, error) { panic("boom") }

func check(name, impact string, p probe) jobs.Check {
	return jobs.Check{Name: name, Kind: "fake", Impact: impact, Probe: p}
}

func TestKind(t *testing.T) {
	t.Parallel()
	jobstest.Exercise(t, health.Kind(), jobstest.Fixture{
		Name: "two checks",
		Arrange: func(_ *testing.T, _ string, _ any, deps *jobstest.Deps) {
			deps.AddCheck(check("system", "degraded", healthy))
			deps.AddCheck(check("database", "outage", warned))
		},
		Judge: func(t *testing.T, _ string, r jobs.Result) {
			if r.Worst() != jobs.Warning {
				t.Errorf("worst = %q, want warning", r.Worst())
			}
		},
	})
}

func build(t *testing.T, names []string, checks ...jobs.Check) (jobs.Job, error) {
	t.Helper()
	deps := jobstest.NewDeps(t)
	for _, c := range checks {
		deps.AddCheck(c)
	}
	kind := health.Kind()
	options := jobstest.Options[health.Options](t, kind.Options())
	options.Checks = names
	return kind.Build(options, deps)
}

func TestRun_JudgesTheWhole(t *testing.T) {
	t.Parallel()
	job, err := build(t, nil,
		check("system", "degraded", healthy), check("database", "outage", warned),
		check("redis", "none", refused), check("api", "outage", panics), check("mlflow", "none", critical))
	if err != nil {
		t.Fatal(err)
	}
	out := &jobstest.Buffer{}
	r, err := job.Run(t.Context(), jobs.NewEnv(jobs.Env{Out: out}, jobs.Hooks{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"api: panic: boom\n", "critical  api (fake)  the check panicked: boom\n", "healthy   system (fake)  all fine\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("the output lacks %q:\n%s", line, out)
		}
	}
	want := jobs.Result{
		Summary: "api critical: the check panicked: boom; database warning: memory at 83 %; redis warning: connection refused; and 1 more",
		Values:  map[string]float64{"checks": 5, "healthy": 1, "warning": 3, "critical": 1, "system.load": 1},
		Findings: []jobs.Finding{
			{ID: "database:memory", Severity: jobs.Warning, Text: "database: memory at 83 %"},
			{ID: "redis:failed", Severity: jobs.Warning, Text: "redis: connection refused (is it running?)"},
			{ID: "api:failed", Severity: jobs.Critical, Text: "api: the check panicked: boom"},
			{ID: "mlflow:status", Severity: jobs.Warning, Text: "mlflow: answers 500"},
		},
	}
	times := cmpopts.IgnoreMapEntries(func(k string, _ float64) bool { return len(k) > 8 && k[len(k)-8:] == ".seconds" })
	if diff := cmp.Diff(want, r, times); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestRun_DeafCheckCostsItsDeadlineOnly(t *testing.T) {
	t.Parallel()
	// Not a synctest bubble: the deaf goroutine never ends, and that is the point.
	for name, limits := range map[string]struct{ check, job time.Duration }{
		"of its own": {50 * time.Millisecond, time.Hour}, "of the job": {0, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := check("api", "outage", deaf)
			c.Timeout = limits.check
			deps := jobstest.NewDeps(t)
			deps.AddCheck(c)
			deps.AddCheck(check("system", "degraded", healthy))
			job, err := health.Kind().Build(&health.Options{Timeout: unit.Duration(limits.job)}, deps)
			if err != nil {
				t.Fatal(err)
			}
			r, err := job.Run(t.Context(), jobs.NewEnv(jobs.Env{}, jobs.Hooks{}))
			if err != nil {
				t.Fatal(err)
			}
			want := []jobs.Finding{{ID: "api:failed", Severity: jobs.Critical, Text: "api: no answer within 50ms"}}
			if diff := cmp.Diff(want, r.Findings); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRun_AsksAllAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context) (jobs.Result, error) { time.Sleep(10 * time.Second); return healthy(t.Context()) }
		job, err := build(t, nil, check("a", "outage", slow), check("b", "outage", slow), check("c", "outage", slow))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := job.Run(t.Context(), jobs.NewEnv(jobs.Env{}, jobs.Hooks{})); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("three checks of 10 s took %s, want 10s", took)
		}
	})
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	err := (&health.Options{Timeout: -1}).Validate()
	if field, ok := errors.AsType[*jobs.FieldError](err); !ok || field.Field != "timeout" {
		t.Errorf("error %v", err)
	}
}

func TestBuild_WrongNames(t *testing.T) {
	t.Parallel()
	_, err := build(t, []string{"system", "databse", "system"}, check("system", "degraded", healthy))
	want := "checks[1]: no check \"databse\"\nchecks[2]: check \"system\" is named twice"
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	if _, err := build(t, nil); err == nil {
		t.Error("a health job without any check was built")
	}
}
