package script_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/script"
)

// restarting is a job that restarts something, and its world.
type restarting struct {
	job     jobs.Job
	env     *jobs.Env
	out     *jobstest.Buffer
	planned []string
}

func arrangeRestart(t *testing.T, command string, adjust func(*script.Options)) *restarting {
	t.Helper()
	kind := script.Kind()
	given := kind.Options()
	o := jobstest.Options[script.Options](t, given)
	o.Run, o.Restarts = shell(command), "upkeep"
	o.Verify.Run = shell("exit 0")
	o.Verify.Within, o.Verify.Every = unit.Duration(time.Second), unit.Duration(100*time.Millisecond)
	if adjust != nil {
		adjust(o)
	}
	job, err := kind.Build(given, jobstest.NewDeps(t))
	if err != nil {
		t.Fatal(err)
	}
	r := &restarting{job: job, out: &jobstest.Buffer{}}
	r.env = jobs.NewEnv(jobs.Env{
		RunID: runID(t), Workflow: "monthly", Job: "upgrade", Attempt: 1, Trigger: "schedule",
		Root: t.TempDir(), WorkDir: t.TempDir(), KillGrace: 500 * time.Millisecond, Out: r.out,
	}, jobs.Hooks{PlanRestart: func(_ context.Context, what string) error {
		r.planned = append(r.planned, what)
		return nil
	}})
	return r
}

func (r *restarting) judge(t *testing.T) (jobs.Result, error) {
	t.Helper()
	survivor, ok := r.job.(jobs.Survivor)
	if !ok {
		t.Fatalf("%T does not survive restarts", r.job)
	}
	return survivor.Judge(t.Context(), r.env, time.Now().Add(-time.Minute))
}

func TestRestart_NothingRestarts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, command, restarts, want string
	}{
		{"Upkeep", "echo asked", "upkeep", "upkeep was not restarted within 1s"},
		{"Machine", "echo asked", "machine", "the machine was not restarted within 1s"},
		{"Fails", "echo 'error: no such unit'; exit 5", "upkeep", "exit status 5: no such unit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := arrangeRestart(t, tt.command, func(o *script.Options) { o.Restarts = tt.restarts })
			_, err := r.job.Run(t.Context(), r.env)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if len(r.planned) != 1 || !strings.HasPrefix(r.out.String(), "asked\n") && tt.name != "Fails" {
				t.Errorf("planned %q, output %q", r.planned, r.out.String())
			}
		})
	}
}

func TestRestart_RefusedPlanRunsNothing(t *testing.T) {
	t.Parallel()
	made := filepath.Join(t.TempDir(), "made")
	r := arrangeRestart(t, "touch "+made, nil)
	full := errors.New("the ledger is full")
	r.env = jobs.NewEnv(*r.env, jobs.Hooks{PlanRestart: func(context.Context, string) error { return full }})
	if _, err := r.job.Run(t.Context(), r.env); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(made); err == nil {
		t.Error("the program ran although nothing was planned")
	}
}

func TestRestart_DryRun(t *testing.T) {
	t.Parallel()
	r := arrangeRestart(t, "touch made", nil)
	r.env = jobs.NewEnv(*r.env, jobs.Hooks{DryRun: true, PlanRestart: func(context.Context, string) error {
		t.Error("a dry run plans a restart")
		return nil
	}})
	result, err := r.job.Run(t.Context(), r.env)
	if err != nil || result.Summary != "would run touch made, which restarts upkeep" {
		t.Errorf("%q, %v", result.Summary, err)
	}
	if _, err := os.Stat(filepath.Join(r.env.Root, "made")); err == nil {
		t.Error("the program ran")
	}
}

func TestRestart_Canceled(t *testing.T) {
	t.Parallel()
	r := arrangeRestart(t, "sleep 600 & sleep 600", nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop now")
	time.AfterFunc(300*time.Millisecond, func() { cancel(stop) })
	if _, err := r.job.Run(ctx, r.env); !errors.Is(err, stop) {
		t.Errorf("error %v does not wrap the cause", err)
	}
	if left, err := jobs.CountLeftovers(r.env.RunID, r.env.Job); left != 0 || err != nil {
		t.Errorf("%d processes are left, %v", left, err)
	}
}

func TestRestart_Judge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		adjust  func(*script.Options)
		arrange func(t *testing.T, r *restarting)
		want    string // of the error
		output  string
	}{
		{name: "Well", output: "all is well\n", adjust: func(o *script.Options) { o.Verify.Run = shell("echo all is well") }},
		{name: "AtTheThirdTry", output: "3\n", adjust: func(o *script.Options) {
			o.Verify.Run = shell("echo x >> tries; wc -l < tries; test $(wc -l < tries) -ge 3")
		}},
		{
			name: "Badly", want: "upkeep was restarted but not verified within 1s: /bin/sh: exit status 3: no answer",
			output: "error: no answer\n", adjust: func(o *script.Options) { o.Verify.Run = shell("echo 'error: no answer'; exit 3") },
		},
		{name: "ProofHangs", want: "not verified within 1s", adjust: func(o *script.Options) { o.Verify.Run = shell("sleep 600") }},
		{
			name: "MachineStillUp", want: "but the machine was not within 1s", adjust: func(o *script.Options) { o.Restarts = "machine" },
			arrange: func(t *testing.T, r *restarting) { r.file(t, "boot", bootID(t)) },
		},
		{
			name: "MachineBooted", adjust: func(o *script.Options) { o.Restarts = "machine" },
			arrange: func(t *testing.T, r *restarting) { r.file(t, "boot", "00000000-0000-4000-8000-000000000000") },
		},
		{name: "MachineWithoutNote", want: "but the machine was not within 1s", adjust: func(o *script.Options) { o.Restarts = "machine" }},
		{name: "OutputGoesOn", output: "two\n", arrange: func(t *testing.T, r *restarting) {
			r.file(t, "output", "one\ntwo\n")
			r.file(t, "copied", "4")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := arrangeRestart(t, "exit 0", tt.adjust)
			if tt.arrange != nil {
				tt.arrange(t, r)
			}
			result, err := r.judge(t)
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if err == nil && !strings.HasSuffix(result.Summary, "was restarted and verified") {
				t.Errorf("summary %q", result.Summary)
			}
			if diff := cmp.Diff(tt.output, r.out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

func (r *restarting) file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.env.WorkDir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func bootID(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestOptions_Restart(t *testing.T) {
	t.Parallel()
	good := func(o *script.Options) {
		o.Run, o.Restarts, o.Verify.Run = shell("reboot"), "machine", unit.Command{"true"}
	}
	tests := []struct {
		field  string // of the one error; empty for none
		adjust func(*script.Options)
	}{
		{"", func(*script.Options) {}},
		{"restarts", func(o *script.Options) { o.Restarts = "universe" }},
		{"verify.run", func(o *script.Options) { o.Verify.Run = nil }},
		{"verify.run", func(o *script.Options) { o.Restarts = "" }},
		{"verify.run[0]", func(o *script.Options) { o.Verify.Run = unit.Command{"a\x00b"} }},
		{"verify.every", func(o *script.Options) { o.Verify.Every = unit.Duration(time.Millisecond) }},
		{"verify.within", func(o *script.Options) { o.Verify.Within = o.Verify.Every }},
		{"result", func(o *script.Options) { o.Result = "json" }},
		{"thresholds", func(o *script.Options) {
			o.Thresholds = map[string]script.Threshold{"exit_code": threshold(t, "0", "")}
		}},
	}
	for _, tt := range tests {
		kind := script.Kind()
		given := kind.Options()
		o := jobstest.Options[script.Options](t, given)
		good(o)
		tt.adjust(o)
		_, err := kind.Build(given, jobstest.NewDeps(t))
		got := ""
		if field, ok := errors.AsType[*jobs.FieldError](err); ok {
			got = field.Field
		}
		if got != tt.field || (err == nil) != (tt.field == "") {
			t.Errorf("field %q, error %v, want %q", got, err, tt.field)
		}
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	for cgroup, want := range map[string]bool{
		"0::/system.slice/upkeep.service\n":                true,
		"0::/system.slice/upkeep.service/upkeep-a:b:1:2\n": true,
		"0::/user.slice/user-1000.slice/session-3.scope\n": false,
		"0::/\n": false,
		"":       false,
		"12:cpu:/x.service\n1:name=systemd:/x.service\n0::/\n": false,
	} {
		if got := script.InService(cgroup); got != want {
			t.Errorf("in a service by %q: %t, want %t", cgroup, got, want)
		}
	}
	want := []string{"systemd-run", "--scope", "--quiet", "--collect", "--uid=7", "--gid=8", "--", "apt-get", "install"}
	if diff := cmp.Diff(want, script.InScope([]string{"apt-get", "install"}, 7, 8)); diff != "" {
		t.Error(diff)
	}
}
