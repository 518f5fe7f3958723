package packages_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/packages"
	"github.com/ghosteam/upkeep/storage/object"
)

// standard is a host with two old packages, one of which is due for security.
func standard(t *testing.T, root string) *host {
	t.Helper()
	h := newHost(t, root)
	h.install(t, tiny{name: "alpha", version: "1"}, tiny{name: "beta", version: "1.0-1"}, tiny{name: "gamma", version: "1"})
	h.publish(t, plain, tiny{name: "alpha", version: "2"}, tiny{name: "gamma", version: "1"})
	h.publish(t, security, tiny{name: "beta", version: "1.0-1+deb12u1", control: "Depends: delta\n"}, tiny{name: "delta", version: "0.9"})
	return h
}

func TestContract(t *testing.T) {
	t.Parallel()
	jobstest.Exercise(t, packages.Kind(), jobstest.Fixture{
		Name: "Upgrades", Effects: true, Patience: 2 * time.Minute,
		Arrange: func(t *testing.T, root string, options any, _ *jobstest.Deps) {
			standard(t, root).options(t, options)
		},
		Judge: func(t *testing.T, _ string, r jobs.Result) {
			if r.Values["upgraded"] != 2 || r.Values["installed"] != 1 || r.Values["security"] != 2 {
				t.Errorf("values %v", r.Values)
			}
		},
		Settled: func(t *testing.T, root string) {
			h := &host{root: filepath.Join(root, "sys")}
			want := "alpha 2 ii \nbeta 1.0-1+deb12u1 ii \ndelta 0.9 ii \ngamma 1 ii \n"
			if diff := cmp.Diff(want, h.status(t)); diff != "" {
				t.Errorf("packages (-want +got):\n%s", diff)
			}
		},
	}, jobstest.Fixture{
		Name: "HalfDone", Refuses: true, Fails: "alpha is unpacked but not configured", Patience: 2 * time.Minute,
		Arrange: func(t *testing.T, root string, options any, _ *jobstest.Deps) {
			h := standard(t, root)
			run(t, "dpkg", append(h.dpkgOptions(), "--unpack", h.build(t, tiny{name: "alpha", version: "1.5"}))...)
			h.options(t, options)
		},
	})
}

// attempt is a job with its world.
type attempt struct {
	*host
	job     jobs.Job
	env     *jobs.Env
	out     *jobstest.Buffer
	effects []string
	planned []string
	deps    *jobstest.Deps
}

func attemptOn(t *testing.T, h *host, hooks jobs.Hooks, adjust func(*packages.Options)) *attempt {
	t.Helper()
	a := &attempt{host: h, out: &jobstest.Buffer{}, deps: jobstest.NewDeps(t)}
	given := packages.Kind().Options()
	o := h.options(t, given)
	if adjust != nil {
		adjust(o)
	}
	var err error
	if a.job, err = packages.Kind().Build(given, a.deps); err != nil {
		t.Fatal(err)
	}
	hooks.Effect = func(what string) { a.effects = append(a.effects, what) }
	if hooks.PlanRestart == nil {
		hooks.PlanRestart = func(_ context.Context, what string) error {
			a.planned = append(a.planned, what)
			return nil
		}
	}
	a.env = jobs.NewEnv(jobs.Env{
		RunID: "run-" + strings.ReplaceAll(t.Name(), "/", "-"), Workflow: "weekly", Job: "packages", Attempt: 1,
		Root: filepath.Dir(h.root), WorkDir: t.TempDir(), KillGrace: time.Second, Out: a.out,
	}, hooks)
	return a
}

func (a *attempt) run(t *testing.T) jobs.Result {
	t.Helper()
	r, err := a.job.Run(t.Context(), a.env)
	if err != nil {
		t.Fatalf("%v\noutput:\n%s", err, a.out)
	}
	jobstest.CheckResult(t, r)
	return r
}

func (a *attempt) refused(t *testing.T, rail, why string) {
	t.Helper()
	before := a.status(t)
	_, err := a.job.Run(t.Context(), a.env)
	refused, ok := errors.AsType[*jobs.RefusedError](err)
	if !ok || refused.Rail != rail || !strings.Contains(refused.Why, why) {
		t.Errorf("error %v, want a refusal by %s: %q\noutput:\n%s", err, rail, why, a.out)
	}
	if diff := cmp.Diff(before, a.status(t)); diff != "" {
		t.Errorf("packages changed (-before +after):\n%s", diff)
	}
}

func finding(r jobs.Result, id string) *jobs.Finding {
	if i := slices.IndexFunc(r.Findings, func(f jobs.Finding) bool { return f.ID == id }); i >= 0 {
		return &r.Findings[i]
	}
	return nil
}

func TestRun_All(t *testing.T) {
	t.Parallel()
	h := standard(t, t.TempDir())
	h.apt(t, "apt-mark", "auto", "beta")
	write(t, filepath.Join(h.root, "var/run/reboot-required"), "*** System restart required ***\n")
	write(t, filepath.Join(h.root, "var/run/reboot-required.pkgs"), "linux-image-6.1\nlinux-image-6.1\n")
	a := attemptOn(t, h, jobs.Hooks{}, nil)
	r := a.run(t)
	if r.Summary != "upgraded 2 packages, installed 1 new" || len(a.planned) != 1 {
		t.Errorf("summary %q, planned %q", r.Summary, a.planned)
	}
	want := []jobs.Event{
		{Kind: "packages", Subject: "alpha", Text: "1 to 2"},
		{Kind: "packages", Subject: "beta", Text: "1.0-1 to 1.0-1+deb12u1"},
		{Kind: "packages", Subject: "delta", Text: "installed 0.9"},
	}
	if diff := cmp.Diff(want, r.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if f := finding(r, "reboot"); f == nil || f.Severity != jobs.Warning || f.Text != "the host wants a reboot for linux-image-6.1" || r.Values["reboot_required"] != 1 {
		t.Errorf("finding %v, values %v", f, r.Values)
	}
	if r.Values["download_bytes"] < 1000 {
		t.Errorf("values %v", r.Values)
	}
	if auto := h.apt(t, "apt-mark", "showauto"); !strings.Contains(auto, "beta\n") || !strings.Contains(auto, "delta\n") || strings.Contains(auto, "alpha") {
		t.Errorf("the marks of automatic installation changed: %q", auto)
	}
	effects := []string{"fetch the package lists", "download 2.1 KiB of packages", "upgrade alpha 1 to 2", "upgrade beta 1.0-1 to 1.0-1+deb12u1", "mark as installed for others: beta"}
	a.effects[1] = effects[1] // sizes of packages vary
	if diff := cmp.Diff(effects, a.effects); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

func TestRun_SecurityHoldsAndBlocks(t *testing.T) {
	t.Parallel()
	h := standard(t, t.TempDir())
	a := attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.Policy = "security" })
	r := a.run(t)
	if r.Summary != "upgraded 1 package, installed 1 new, 1 left out" || r.Values["left_out"] != 1 || r.Values["security"] != 2 {
		t.Errorf("%q, %v", r.Summary, r.Values)
	}
	h.publish(t, security, tiny{name: "alpha", version: "2"}, tiny{name: "delta", version: "0.9"})
	h.apt(t, "apt-mark", "hold", "alpha")
	a = attemptOn(t, h, jobs.Hooks{}, nil)
	r = a.run(t)
	if r.Summary != "no package to upgrade, 1 kept back" || r.Values["held"] != 1 || r.Values["kept_back"] != 1 || finding(r, "kept-back") == nil || finding(r, "security-held") == nil {
		t.Errorf("%q, %v, %v", r.Summary, r.Values, r.Findings)
	}
	h.apt(t, "apt-mark", "unhold", "alpha")
	a = attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.Block = []string{"al*"} })
	if r = a.run(t); r.Summary != "no package to upgrade, 1 left out" {
		t.Errorf("%q", r.Summary)
	}
	if !strings.Contains(h.status(t), "alpha 1 ii") {
		t.Errorf("a blocked package changed: %s", h.status(t))
	}
}

func TestRun_Refuses(t *testing.T) {
	t.Parallel()
	t.Run("Removals", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, t.TempDir())
		h.install(t, tiny{name: "alpha", version: "1"}, tiny{name: "beta", version: "1"})
		h.publish(t, security, tiny{name: "alpha", version: "2", control: "Conflicts: beta\n"})
		a := attemptOn(t, h, jobs.Hooks{}, nil)
		if r := a.run(t); r.Values["kept_back"] != 1 || r.Values["upgraded"] != 0 || finding(r, "security-kept-back") == nil {
			t.Errorf("values %v", r.Values)
		}
		attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.Full = true }).refused(t, "removals", "would remove beta")
	})
	t.Run("BlockedIsPulledIn", func(t *testing.T) {
		t.Parallel()
		h := newHost(t, t.TempDir())
		h.install(t, tiny{name: "alpha", version: "1"}, tiny{name: "postgresql", version: "15"})
		h.publish(t, plain, tiny{name: "alpha", version: "2", control: "Depends: postgresql (>= 16)\n"}, tiny{name: "postgresql", version: "16"})
		attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.Block = []string{"postgresql*"} }).refused(t, "block", "postgresql 15 to 16")
	})
	t.Run("TooMany", func(t *testing.T) {
		t.Parallel()
		attemptOn(t, standard(t, t.TempDir()), jobs.Hooks{}, func(o *packages.Options) { o.MaxPackages = 2 }).refused(t, "max_packages", "3 packages, limit 2")
	})
	t.Run("NoSpace", func(t *testing.T) {
		t.Parallel()
		attemptOn(t, standard(t, t.TempDir()), jobs.Hooks{}, func(o *packages.Options) { o.MinFree = 1 << 60 }).refused(t, "min_free", "1.0 EiB are needed")
	})
	t.Run("DpkgDied", func(t *testing.T) {
		t.Parallel()
		h := standard(t, t.TempDir())
		write(t, filepath.Join(h.root, "var/lib/dpkg/updates/0001"), "Package: alpha\n")
		attemptOn(t, h, jobs.Hooks{}, nil).refused(t, "audit", "dpkg was interrupted")
	})
}

func TestRun_Backup(t *testing.T) {
	t.Parallel()
	h := standard(t, t.TempDir())
	demand := func(o *packages.Options) { o.Backup, o.BackupWithin = "daily.backup", unit.Duration(26*time.Hour) }
	ago := func(d time.Duration, artifacts int) jobs.Past {
		return jobs.Past{RunID: "r", Finished: time.Now().Add(-d), Result: jobs.Result{Artifacts: make([]object.Info, artifacts)}}
	}
	tests := []struct {
		name string
		past []jobs.Past
		want string
	}{
		{"None", nil, "it has made none"},
		{"SavedNothing", []jobs.Past{ago(time.Hour, 0)}, "it has made none"},
		{"TooOld", []jobs.Past{ago(time.Hour, 0), ago(27*time.Hour, 2)}, "ended 27h0m0s ago"},
		{"Fresh", []jobs.Past{ago(time.Hour, 0), ago(25*time.Hour, 2)}, ""},
	}
	for _, tt := range tests { // one host, so not in parallel
		t.Run(tt.name, func(t *testing.T) {
			a := attemptOn(t, h, jobs.Hooks{}, demand)
			for _, p := range tt.past {
				a.deps.AddPast("daily", "backup", p)
			}
			if tt.want != "" {
				a.refused(t, "requires_backup_within", tt.want)
			} else if r := a.run(t); r.Values["upgraded"] != 2 {
				t.Errorf("values %v", r.Values)
			}
		})
	}
}

func TestRun_Conffile(t *testing.T) {
	t.Parallel()
	for conffiles, want := range map[string]string{"keep": "mine\n", "new": "theirs, new\n"} {
		t.Run(conffiles, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, t.TempDir())
			h.install(t, tiny{name: "alpha", version: "1", conf: "theirs\n"})
			conf := filepath.Join(h.root, "etc/alpha.conf")
			write(t, conf, "mine\n")
			h.publish(t, plain, tiny{name: "alpha", version: "2", conf: "theirs, new\n"})
			a := attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.Conffiles = conffiles })
			r := a.run(t)
			if got := read(t, conf); got != want {
				t.Errorf("the configuration file is %q, want %q", got, want)
			}
			if f := finding(r, "conffile:etc/alpha.conf"); (f != nil) != (conffiles == "keep") {
				t.Errorf("finding %v\n%q", r.Findings, a.out.String())
			}
		})
	}
}

func TestRun_RepositoryIsDown(t *testing.T) {
	t.Parallel()
	h := standard(t, t.TempDir())
	h.apt(t, "apt-get", "update")
	if err := os.Rename(h.repos[security], h.repos[security]+".gone"); err != nil {
		t.Fatal(err)
	}
	a := attemptOn(t, h, jobs.Hooks{}, nil)
	if _, err := a.job.Run(t.Context(), a.env); err == nil || !strings.Contains(err.Error(), "fetch the package lists") {
		t.Errorf("error %v", err)
	}
	a = attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.Update, o.Policy, o.Block = "lenient", "all", []string{"beta"} })
	if r := a.run(t); finding(r, "lists") == nil || finding(r, "lists").Severity != jobs.Warning || r.Values["upgraded"] != 1 {
		t.Errorf("%v, %v", r.Findings, r.Values)
	}
}

func TestRun_LockOfAnother(t *testing.T) {
	t.Parallel()
	h := standard(t, t.TempDir())
	lock, err := os.OpenFile(filepath.Join(h.root, "var/lib/dpkg/lock-frontend"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := unix.FcntlFlock(lock.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	a := attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.LockWait = unit.Duration(time.Second) })
	_, err = a.job.Run(t.Context(), a.env)
	if err == nil || !strings.Contains(err.Error(), "lock") || !strings.Contains(jobs.HintOf(err), "lock_wait") {
		t.Errorf("error %v, hint %q", err, jobs.HintOf(err))
	}
	// The next one waits until the other has ended.
	a = attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.LockWait = unit.Duration(10 * time.Minute) })
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		for !strings.Contains(a.out.String(), "another process installs packages") {
			time.Sleep(10 * time.Millisecond)
		}
		_ = lock.Close()
	}()
	if r := a.run(t); r.Values["upgraded"] != 2 {
		t.Errorf("values %v", r.Values)
	}
	<-waited
}

func TestRun_TogetherOnly(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	exact := func(v string) []tiny {
		return []tiny{
			{name: "lib", version: v, control: fmt.Sprintf("Breaks: tool (<< %[1]s), tool (>> %[1]s)\n", v)},
			{name: "tool", version: v, control: fmt.Sprintf("Depends: lib (= %s)\n", v)},
		}
	}
	h.install(t, exact("1")...)
	h.publish(t, plain, exact("2")...)
	r := attemptOn(t, h, jobs.Hooks{}, nil).run(t)
	if r.Values["upgraded"] != 2 || h.status(t) != "lib 2 ii \ntool 2 ii \n" {
		t.Errorf("%v\n%s", r.Values, h.status(t))
	}
}

func TestRun_ScriptFails(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir())
	h.install(t, tiny{name: "alpha", version: "1"}, tiny{name: "beta", version: "1"})
	h.publish(t, plain, tiny{name: "alpha", version: "2"}, tiny{name: "beta", version: "2", scripts: map[string]string{
		"postinst": `test -e "$DPKG_ROOT/etc/ready" || { echo "no way" >&2; exit 7; }`,
	}})
	a := attemptOn(t, h, jobs.Hooks{}, nil)
	r, err := a.job.Run(t.Context(), a.env)
	if err == nil || !strings.Contains(err.Error(), "exit status 100") || len(r.Events) != 2 || r.Values["upgraded"] != 1 {
		t.Errorf("error %v, events %v, values %v", err, r.Events, r.Values)
	}
	attemptOn(t, h, jobs.Hooks{}, nil).refused(t, "audit", "beta is half configured")
	write(t, filepath.Join(h.root, "etc/ready"), "")
	a = attemptOn(t, h, jobs.Hooks{}, func(o *packages.Options) { o.Repair = true })
	a.run(t)
	if h.status(t) != "alpha 2 ii \nbeta 2 ii \n" {
		t.Errorf("after the repair:\n%s", h.status(t))
	}
}

func TestRun_Plan(t *testing.T) {
	t.Parallel()
	h := standard(t, t.TempDir())
	h.apt(t, "apt-get", "update")
	dry := attemptOn(t, h, jobs.Hooks{DryRun: true}, nil)
	r := dry.run(t)
	plan := r.Outputs[jobs.OutputPlan]
	if plan == "" || r.Summary != "would upgrade 3 packages" || !strings.Contains(dry.out.String(), "would upgrade alpha 1 to 2\n") {
		t.Fatalf("%q, %q\n%s", plan, r.Summary, dry.out)
	}
	h.publish(t, plain, tiny{name: "alpha", version: "2"}, tiny{name: "gamma", version: "2"})
	a := attemptOn(t, h, jobs.Hooks{Plan: plan}, nil) // it fetches no new lists
	if r := a.run(t); r.Values["upgraded"] != 2 || !strings.Contains(h.status(t), "gamma 1 ii") {
		t.Errorf("%v\n%s", r.Values, h.status(t))
	}
	attemptOn(t, h, jobs.Hooks{Plan: plan}, nil).refused(t, "apply", "the facts have changed")
}
