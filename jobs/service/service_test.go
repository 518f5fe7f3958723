package service_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/service"
)

// leaked stands in the journal.
const leaked = "sk-4f1cJournal9d2e"

// TestMain puts stand-ins for journalctl and systemctl before the real ones:
// nothing keeps a journal where tests run.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "service")
	if err != nil {
		panic(err)
	}
	script := "#!/bin/sh\necho \"stand-in for journalctl $*\"\necho 'token " + leaked + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte(script), 0o755); err != nil {
		panic(err)
	}
	ctl := "#!/bin/sh\nexec /bin/sh '" + dir + "/fake' '" + dir + "/state' \"$@\"\n"
	for name, text := range map[string]string{"fake": fakeSystemctl, "systemctl": ctl} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			panic(err)
		}
	}
	if err := os.Setenv("PATH", dir+":"+os.Getenv("PATH")); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// attempt is a job with its world.
type attempt struct {
	job     jobs.Job
	env     *jobs.Env
	out     *jobstest.Buffer
	deps    *jobstest.Deps
	planned []string
}

func quick(o *service.Options) {
	o.Takes = unit.Duration(time.Minute)
	o.Verify.Within, o.Verify.Stable, o.Verify.Every = unit.Duration(time.Minute), unit.Duration(200*time.Millisecond), unit.Duration(50*time.Millisecond)
}

func attemptOn(t *testing.T, s *standIn, hooks jobs.Hooks, adjust func(*service.Options)) *attempt {
	t.Helper()
	a := &attempt{out: &jobstest.Buffer{}, deps: jobstest.NewDeps(t)}
	given := service.Kind().Options()
	o := jobstest.Options[service.Options](t, given)
	quick(o)
	if s != nil {
		o.Bus = s.address
	}
	a.deps.AddCheck(jobs.Check{Name: "api", Kind: "fake", Probe: probe(func() (jobs.Result, error) { return jobs.Result{}, nil })})
	adjust(o)
	var err error
	if a.job, err = service.Kind().Build(given, a.deps); err != nil {
		t.Fatal(err)
	}
	service.RunIn(a.job, "")
	hooks.PlanRestart = func(_ context.Context, what string) error {
		a.planned = append(a.planned, what)
		return nil
	}
	hooks.Scrub = func(text string) string { return strings.ReplaceAll(text, leaked, "***") }
	a.env = jobs.NewEnv(jobs.Env{
		RunID: "run-" + strings.ReplaceAll(t.Name(), "/", "-"), Workflow: "weekly", Job: "restart", Attempt: 1,
		Root: t.TempDir(), WorkDir: t.TempDir(), KillGrace: time.Second, Out: a.out,
	}, hooks)
	return a
}

// probe is a check's probe.
type probe func() (jobs.Result, error)

func (p probe) Run(context.Context, *jobs.Env) (jobs.Result, error) { return p() }

func (a *attempt) run(t *testing.T) jobs.Result {
	t.Helper()
	r, err := a.job.Run(t.Context(), a.env)
	if err != nil {
		t.Fatalf("%v\noutput:\n%s", err, a.out)
	}
	jobstest.CheckResult(t, r)
	return r
}

func (a *attempt) fails(t *testing.T, want ...string) {
	t.Helper()
	_, _ = a.failure(t, want...)
}

// failure runs the job, which must fail with an error that contains all texts.
func (a *attempt) failure(t *testing.T, want ...string) (jobs.Result, error) {
	t.Helper()
	r, err := a.job.Run(t.Context(), a.env)
	if err == nil {
		t.Fatalf("it succeeded: %q\noutput:\n%s", r.Summary, a.out)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not contain %q\noutput:\n%s", err, text, a.out)
		}
	}
	return r, err
}

func restart(names ...string) func(*service.Options) {
	return func(o *service.Options) { o.Restart = names }
}

func TestContract_StandInForSystemd(t *testing.T) {
	t.Parallel()
	jobstest.Exercise(t, service.Kind(), jobstest.Fixture{
		Name: "Restarts", Effects: true, Secrets: []string{},
		Arrange: func(t *testing.T, _ string, options any, _ *jobstest.Deps) {
			o := jobstest.Options[service.Options](t, options)
			quick(o)
			o.Bus, o.Restart = startStandIn(t, map[string]*fakeUnit{"api.service": running(10), "mlflow.service": running(20)}).address, unit.Names{"api", "mlflow"}
		},
		Judge: func(t *testing.T, _ string, r jobs.Result) {
			if r.Values["done"] != 2 || r.Summary != "api.service, mlflow.service restarted and verified" || len(r.Events) != 2 {
				t.Errorf("%q, %v, %v", r.Summary, r.Values, r.Events)
			}
		},
	}, jobstest.Fixture{
		Name: "NoSuchUnit", Fails: "systemd knows no such unit",
		Arrange: func(t *testing.T, _ string, options any, _ *jobstest.Deps) {
			o := jobstest.Options[service.Options](t, options)
			o.Bus, o.Restart = startStandIn(t, nil).address, unit.Names{"api"}
		},
	}, jobstest.Fixture{
		Name: "AliasOfAVitalUnit", Refuses: true, Fails: "a unit that the host lives by",
		Arrange: func(t *testing.T, _ string, options any, _ *jobstest.Deps) {
			o := jobstest.Options[service.Options](t, options)
			u := running(10)
			u.id = "ssh.service"
			o.Bus, o.Restart = startStandIn(t, map[string]*fakeUnit{"door.service": u}).address, unit.Names{"door"}
		},
	})
}

func TestRun_StandIn_Verbs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		adjust  func(*service.Options)
		asked   []string
		summary string
	}{
		{"Restart", restart("api"), []string{"restart api.service"}, "api.service restarted and verified"},
		{"Reload", func(o *service.Options) { o.Reload = unit.Names{"api"} }, []string{"reload api.service"}, "api.service reloaded and verified"},
		{"StartRunning", func(o *service.Options) { o.Start = unit.Names{"api"} }, nil, "api.service started and verified"},
		{"StartStopped", func(o *service.Options) { o.Start = unit.Names{"idle"} }, []string{"start idle.service"}, "idle.service started and verified"},
		{"Stop", func(o *service.Options) { o.Stop = unit.Names{"api"} }, []string{"stop api.service"}, "api.service stopped"},
		{"InOrder", restart("api", "mlflow"), []string{"restart api.service", "restart mlflow.service"}, "api.service, mlflow.service restarted and verified"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			idle := running(0)
			idle.active, idle.sub = "inactive", "dead"
			s := startStandIn(t, map[string]*fakeUnit{"api.service": running(10), "mlflow.service": running(20), "idle.service": idle})
			a := attemptOn(t, s, jobs.Hooks{}, tt.adjust)
			r := a.run(t)
			if diff := cmp.Diff(tt.asked, s.asked()); diff != "" || r.Summary != tt.summary || len(r.Events) != len(tt.asked) {
				t.Errorf("%q, %v\n%s", r.Summary, r.Events, diff)
			}
			dry := attemptOn(t, s, jobs.Hooks{DryRun: true}, tt.adjust)
			dry.run(t)
			if diff := cmp.Diff(tt.asked, s.asked()); diff != "" {
				t.Errorf("a dry run asked systemd to do something:\n%s", diff)
			}
		})
	}
}

func TestRun_StandIn_Evidence(t *testing.T) {
	t.Parallel()
	s := startStandIn(t, map[string]*fakeUnit{"api.service": running(10)})
	a := attemptOn(t, s, jobs.Hooks{}, restart("api"))
	r := a.run(t)
	out := a.out.String()
	for _, want := range []string{"api.service: active (running), process 10, by D-Bus", "uses 300 MiB", "--lines=50 --unit=api.service", "token ***"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, leaked) || r.Values["memory_before_bytes.api"] != 300<<20 {
		t.Errorf("values %v, output:\n%s", r.Values, out)
	}
	if want := "restarted: active (running), process 1010, was active (running), process 10"; len(r.Events) != 1 || r.Events[0].Text != want {
		t.Errorf("events %v", r.Events)
	}
}

func TestRun_StandIn_Outcomes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		unit   func(*fakeUnit)
		adjust func(*service.Options)
		want   []string
		hint   string
	}{
		{"Failed", func(u *fakeUnit) { u.script = []outcome{{result: "failed", failed: "exit-code"}} }, nil, []string{"systemd says failed", "result exit-code"}, "systemctl status"},
		{"StartLimit", func(u *fakeUnit) { u.script = []outcome{{result: "failed", failed: "start-limit-hit"}} }, nil, []string{"started too often"}, "systemctl reset-failed api.service"},
		{"JobTimesOut", func(u *fakeUnit) { u.script = []outcome{{result: "timeout", failed: "timeout"}} }, nil, []string{"systemd says timeout"}, ""},
		{"Dependency", func(u *fakeUnit) { u.script = []outcome{{result: "dependency"}} }, nil, []string{"systemd says dependency"}, ""},
		{"NeverEnds", func(u *fakeUnit) { u.script = []outcome{{}} }, func(o *service.Options) { o.Takes = unit.Duration(300 * time.Millisecond) }, []string{"it took longer than 300ms"}, ""},
		{"Denied", func(u *fakeUnit) { u.script = []outcome{{denied: true}} }, nil, []string{"Interactive authentication required"}, "polkit"},
		{"DoneButDies", func(u *fakeUnit) { u.script = []outcome{{result: "done", failed: "exit-code"}} }, nil, []string{"it has failed (exit-code)"}, "journal"},
		{"Masked", func(u *fakeUnit) { u.load = "masked" }, nil, []string{"is masked"}, "unmask"},
		{"CannotReload", func(u *fakeUnit) { u.canReload = false }, func(o *service.Options) { o.Restart, o.Reload = nil, unit.Names{"api"} }, []string{"does not know how to reload"}, "ExecReload"},
		{"Flapping", func(u *fakeUnit) {
			u.looked = func(u *fakeUnit) { u.restarts++; u.pid++ }
		}, func(o *service.Options) { o.Verify.Within = unit.Duration(2 * time.Second) }, []string{"not well within 2s: it was started anew", "systemd restarted it"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := running(10)
			tt.unit(u)
			s := startStandIn(t, map[string]*fakeUnit{"api.service": u, "next.service": running(20)})
			a := attemptOn(t, s, jobs.Hooks{}, func(o *service.Options) {
				o.Restart = unit.Names{"api", "next"}
				if tt.adjust != nil {
					tt.adjust(o)
				}
			})
			r, err := a.failure(t, tt.want...)
			if !strings.Contains(jobs.HintOf(err), tt.hint) || r.Values["done"] != 0 {
				t.Errorf("hint %q, values %v", jobs.HintOf(err), r.Values)
			}
			if slices.Contains(s.asked(), "restart next.service") {
				t.Error("the next unit was done although the first did not come up well")
			}
		})
	}
}

func TestRun_StandIn_Probes(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if hits.Add(1) <= 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	s := startStandIn(t, map[string]*fakeUnit{"api.service": running(10)})
	a := attemptOn(t, s, jobs.Hooks{}, func(o *service.Options) {
		o.Restart, o.Verify.HTTP, o.Verify.TCP = unit.Names{"api"}, server.URL, server.Listener.Addr().String()
		o.Verify.Check, o.Verify.Run = "api", unit.Command{"true"}
	})
	a.run(t)
	if hits.Load() < 5 { // three bad ones, and a stable window of several good ones
		t.Errorf("%d requests", hits.Load())
	}
	tests := []struct {
		name   string
		adjust func(*service.Options)
		want   string
	}{
		{"Run", func(o *service.Options) { o.Verify.Run = unit.Command{"/bin/sh", "-c", "echo not yet; exit 3"} }, "the program: /bin/sh: exit status 3: not yet"},
		{"TCP", func(o *service.Options) { o.Verify.TCP = "127.0.0.1:1" }, "connect to 127.0.0.1:1"},
		{"Check", func(o *service.Options) { o.Verify.Check = "sick" }, "check sick: latency 9s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startStandIn(t, map[string]*fakeUnit{"api.service": running(10)})
			given := service.Kind().Options()
			o := jobstest.Options[service.Options](t, given)
			quick(o)
			o.Bus, o.Restart, o.Verify.Within = s.address, unit.Names{"api"}, unit.Duration(time.Second)
			tt.adjust(o)
			deps := jobstest.NewDeps(t)
			deps.AddCheck(jobs.Check{Name: "sick", Kind: "fake", Probe: probe(func() (jobs.Result, error) {
				return jobs.Result{Findings: []jobs.Finding{{ID: "latency", Severity: jobs.Critical, Text: "latency 9s"}}}, nil
			})})
			job, err := service.Kind().Build(given, deps)
			if err != nil {
				t.Fatal(err)
			}
			base := attemptOn(t, s, jobs.Hooks{}, restart("api"))
			if _, err := job.Run(t.Context(), base.env); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRun_StandIn_Rollback(t *testing.T) {
	t.Parallel()
	t.Run("Helps", func(t *testing.T) {
		t.Parallel()
		u := running(10)
		u.script = []outcome{{result: "failed", failed: "exit-code"}}
		s := startStandIn(t, map[string]*fakeUnit{"api.service": u})
		a := attemptOn(t, s, jobs.Hooks{}, func(o *service.Options) {
			o.Restart, o.Rollback = unit.Names{"api"}, unit.Command{"touch", "rolled"}
		})
		r, _ := a.failure(t, "systemd says failed", "it was rolled back, and api.service is well again")
		if _, err := os.Stat(filepath.Join(a.env.Root, "rolled")); err != nil || len(s.asked()) != 2 || len(r.Events) != 2 {
			t.Errorf("%v, %q, %v", err, s.asked(), r.Events)
		}
	})
	t.Run("DoesNotHelp", func(t *testing.T) {
		t.Parallel()
		u := running(10)
		u.script = []outcome{{result: "failed", failed: "exit-code"}, {result: "failed", failed: "signal"}}
		s := startStandIn(t, map[string]*fakeUnit{"api.service": u})
		attemptOn(t, s, jobs.Hooks{}, func(o *service.Options) {
			o.Restart, o.Rollback = unit.Names{"api"}, unit.Command{"true"}
		}).fails(t, "the roll back did not help", "result signal")
	})
	t.Run("Fails", func(t *testing.T) {
		t.Parallel()
		u := running(10)
		u.script = []outcome{{result: "failed", failed: "exit-code"}}
		s := startStandIn(t, map[string]*fakeUnit{"api.service": u})
		attemptOn(t, s, jobs.Hooks{}, func(o *service.Options) {
			o.Restart, o.Rollback = unit.Names{"api"}, unit.Command{"false"}
		}).fails(t, "roll back: false: exit status 1")
		if len(s.asked()) != 1 {
			t.Errorf("asked %q", s.asked())
		}
	})
}

func TestRun_StandIn_Cooldown(t *testing.T) {
	t.Parallel()
	s := startStandIn(t, map[string]*fakeUnit{"api.service": running(10)})
	past := func(age time.Duration, unit string) jobs.Past {
		return jobs.Past{Finished: time.Now().Add(-age), Result: jobs.Result{Events: []jobs.Event{{Kind: "restart", Subject: unit, Text: "restarted"}}}}
	}
	cool := func(o *service.Options) { o.Restart, o.Cooldown = unit.Names{"api"}, unit.Duration(30*time.Minute) }
	a := attemptOn(t, s, jobs.Hooks{}, cool)
	a.deps.AddPast("", "", past(time.Minute, "other.service"))
	a.deps.AddPast("", "", past(31*time.Minute, "api.service"))
	a.run(t)
	a = attemptOn(t, s, jobs.Hooks{}, cool)
	a.deps.AddPast("", "", past(time.Minute, "api.service"))
	_, err := a.failure(t, "refused by cooldown: api.service was done 1m0s ago, limit 30m")
	if _, ok := errors.AsType[*jobs.RefusedError](err); !ok || len(s.asked()) != 1 {
		t.Errorf("error %v, asked %q", err, s.asked())
	}
}

func TestRun_StandIn_Plan(t *testing.T) {
	t.Parallel()
	s := startStandIn(t, map[string]*fakeUnit{"api.service": running(10)})
	dry := attemptOn(t, s, jobs.Hooks{DryRun: true}, restart("api"))
	plan := dry.run(t).Outputs[jobs.OutputPlan]
	if plan == "" {
		t.Fatal("a dry run names no plan")
	}
	attemptOn(t, s, jobs.Hooks{Plan: plan}, restart("api")).run(t)
	attemptOn(t, s, jobs.Hooks{Plan: plan}, restart("api")).fails(t, "the facts have changed")
	if len(s.asked()) != 1 {
		t.Errorf("asked %q", s.asked())
	}
}

func TestRun_StandIn_BusDies(t *testing.T) {
	t.Parallel()
	u := running(10)
	u.script = []outcome{{}}
	s := startStandIn(t, map[string]*fakeUnit{"api.service": u})
	a := attemptOn(t, s, jobs.Hooks{}, restart("api"))
	go func() {
		for len(s.asked()) == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		s.stop()
	}()
	a.fails(t, "the connection to systemd was lost")
}
