package packages_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/packages"
)

// slow is a host whose package alpha configures itself until etc/go exists, and
// then notes that it did.
func slow(t *testing.T) *host {
	t.Helper()
	h := newHost(t, t.TempDir())
	h.install(t, tiny{name: "alpha", version: "1"}, tiny{name: "beta", version: "1"})
	h.publish(t, plain, tiny{name: "alpha", version: "2", scripts: map[string]string{"postinst": `
touch "$DPKG_ROOT/etc/started"
while ! test -e "$DPKG_ROOT/etc/go"; do sleep 0.05; done
echo alpha is ready
echo configured >>"$DPKG_ROOT/etc/configured"`}}, tiny{name: "beta", version: "2"})
	return h
}

func (h *host) file(name string) string { return filepath.Join(h.root, "etc", name) }

// until waits for what must come; only a hang exceeds the time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestRun_StoppedInTheMiddle(t *testing.T) {
	t.Parallel()
	h := slow(t)
	a := attemptOn(t, h, jobs.Hooks{}, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop now")
	go func() {
		for !exists(h.file("started")) {
			time.Sleep(10 * time.Millisecond)
		}
		cancel(stop)
		time.Sleep(300 * time.Millisecond) // an installer that is killed now would show
		_ = os.WriteFile(h.file("go"), nil, 0o600)
	}()
	r, err := a.job.Run(ctx, a.env)
	if !errors.Is(err, stop) || len(r.Events) != 1 || r.Values["upgraded"] != 1 {
		t.Errorf("error %v, events %v, values %v", err, r.Events, r.Values)
	}
	if diff := cmp.Diff("alpha 2 ii \nbeta 1 ii \n", h.status(t)); diff != "" {
		t.Errorf("the step was cut, or another one begun (-want +got):\n%s", diff)
	}
}

func TestRun_HangsInTheMiddle(t *testing.T) {
	t.Parallel()
	h := slow(t)
	a := attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.FinishWithin = unit.Duration(time.Second) })
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop now")
	go func() {
		for !exists(h.file("started")) {
			time.Sleep(10 * time.Millisecond)
		}
		cancel(stop)
	}()
	if _, err := a.job.Run(ctx, a.env); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	if left, err := jobs.CountLeftovers(a.env.RunID, a.env.Job); left != 0 || err != nil {
		t.Errorf("%d processes are left, %v", left, err)
	}
	attemptOn(t, h, jobs.Hooks{}, nil).refused(t, "audit", "alpha is")
}

// victimVariable tells a process of this test binary to be an upkeep that gets
// killed: the host's root, the run and the private folder, as JSON.
const victimVariable = "PACKAGES_VICTIM"

type victim struct{ Root, Run, Work string }

// TestVictim is that process; it is no test of its own.
func TestVictim(t *testing.T) {
	t.Parallel()
	var v victim
	if err := json.Unmarshal([]byte(os.Getenv(victimVariable)), &v); err != nil {
		return // an ordinary run of the tests
	}
	a := attemptOn(t, &host{root: v.Root}, jobs.Hooks{}, nil)
	a.env = v.env(&jobstest.Buffer{})
	_, err := a.job.Run(t.Context(), a.env)
	t.Logf("the job ended, which it should not: %v", err)
}

func (v victim) env(out *jobstest.Buffer) *jobs.Env {
	return jobs.NewEnv(jobs.Env{
		RunID: v.Run, Workflow: "weekly", Job: "packages", Attempt: 1, Root: filepath.Dir(v.Root), WorkDir: v.Work, KillGrace: time.Second, Out: out,
	}, jobs.Hooks{})
}

// killed runs the job in a process of its own and kills that with SIGKILL while
// alpha configures itself.
func killed(t *testing.T, h *host) victim {
	t.Helper()
	v := victim{Root: h.root, Run: "run-" + strings.ReplaceAll(t.Name(), "/", "-"), Work: t.TempDir()}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	upkeep := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
	upkeep.Env = append(os.Environ(), victimVariable+"="+string(text), "TMPDIR="+t.TempDir())
	if err := upkeep.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the installation is under way", func() bool { return exists(h.file("started")) })
	if err := upkeep.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := upkeep.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the process was not killed: %v", err)
	}
	return v
}

func TestJudge_AfterKill(t *testing.T) {
	t.Parallel()
	h := slow(t)
	v := killed(t, h)
	if left, err := jobs.CountLeftovers(v.Run, "packages"); left == 0 || err != nil {
		t.Fatalf("the installer died with upkeep: %d processes, %v", left, err)
	}
	a := attemptOn(t, h, jobs.Hooks{}, nil)
	a.env = v.env(a.out)
	survivor, ok := a.job.(jobs.Survivor)
	if !ok {
		t.Fatal("the job survives nothing")
	}
	write(t, h.file("go"), "")
	r, err := survivor.Judge(t.Context(), a.env, time.Now().Add(-time.Minute))
	if err != nil || r.Summary != "upgraded 2 packages" || len(r.Events) != 2 {
		t.Errorf("%v, %q, events %v\n%s", err, r.Summary, r.Events, a.out)
	}
	jobstest.CheckResult(t, r)
	if diff := cmp.Diff("alpha 2 ii \nbeta 2 ii \n", h.status(t)); diff != "" || read(t, h.file("configured")) != "configured\n" {
		t.Errorf("configured %q, packages (-want +got):\n%s", read(t, h.file("configured")), diff)
	}
	if !strings.Contains(a.out.String(), "alpha is ready") {
		t.Errorf("the output does not go on:\n%s", a.out)
	}
}

// A power cut ends the installer too: nothing is repaired unless one says so.
func TestJudge_AfterPowerCut(t *testing.T) {
	t.Parallel()
	h := slow(t)
	v := killed(t, h)
	if _, err := jobs.KillLeftovers(t.Context(), v.Run, time.Now().Add(-time.Hour), -1); err != nil {
		t.Fatal(err)
	}
	write(t, h.file("go"), "")
	judge := func(repair bool) (jobs.Result, error) {
		a := attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.Repair = repair })
		a.env = v.env(a.out)
		return a.job.(jobs.Survivor).Judge(t.Context(), a.env, time.Now())
	}
	if _, err := judge(false); err == nil || !strings.Contains(err.Error(), "the installation was cut short") || !strings.Contains(jobs.HintOf(err), "dpkg --configure -a") {
		t.Errorf("error %v", err)
	}
	if r, err := judge(true); err != nil || r.Values["upgraded"] != 2 {
		t.Errorf("error %v, values %v", err, r.Values)
	}
	if diff := cmp.Diff("alpha 2 ii \nbeta 2 ii \n", h.status(t)); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestJudge_NothingNoted(t *testing.T) {
	t.Parallel()
	a := attemptOn(t, slow(t), jobs.Hooks{}, nil)
	survivor, ok := a.job.(jobs.Survivor)
	if !ok {
		t.Fatal("the job survives nothing")
	}
	if _, err := survivor.Judge(t.Context(), a.env, time.Now()); err == nil || !strings.Contains(err.Error(), "nothing tells what was planned") {
		t.Errorf("error %v", err)
	}
}

// Validation checks jobs before there is any run.
func TestCheck_BeforeAnyRun(t *testing.T) {
	t.Parallel()
	h := slow(t)
	check := func(adjust func(*packages.Options)) error {
		checker, ok := attemptOn(t, h, jobs.Hooks{}, adjust).job.(jobs.Checker)
		if !ok {
			t.Fatal("the job checks nothing")
		}
		return checker.Check(t.Context(), jobs.NewEnv(jobs.Env{Root: t.TempDir()}, jobs.Hooks{DryRun: true}))
	}
	if err := check(nil); err != nil {
		t.Error(err)
	}
	if err := check(func(o *packages.Options) { o.Config = "/nonexistent/apt.conf" }); err == nil || jobs.HintOf(err) == "" {
		t.Errorf("error %v", err)
	}
}
