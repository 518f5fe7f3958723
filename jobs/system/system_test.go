package system_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/system"
)

func defaults(t *testing.T) system.Options {
	t.Helper()
	o := jobstest.Options[system.Options](t, system.Kind().Options())
	return *o
}

func TestKind(t *testing.T) {
	t.Parallel()
	jobstest.Exercise(t, system.Kind(), jobstest.Fixture{
		Name: "this host",
		Arrange: func(_ *testing.T, _ string, options any, _ *jobstest.Deps) {
			options.(*system.Options).CPUOver = unit.Duration(50 * time.Millisecond)
		},
		Judge: func(t *testing.T, _ string, r jobs.Result) {
			for _, name := range []string{"cpu_percent", "memory_percent", "disk_percent", "load1", "available_memory_bytes"} {
				if _, ok := r.Values[name]; !ok {
					t.Errorf("value %s is missing from %v", name, r.Values)
				}
			}
			if r.Values["memory_percent"] <= 0 || r.Values["memory_percent"] > 100 {
				t.Errorf("memory_percent = %v", r.Values["memory_percent"])
			}
		},
	})
}

func TestRun_Verdicts(t *testing.T) {
	t.Parallel()
	root := system.FakeMount{Path: "/", Type: "ext4", Device: "/dev/sda1", Disk: 40, Inodes: 10}
	finding := func(id string, s jobs.Severity, text string) jobs.Finding {
		return jobs.Finding{ID: id, Severity: s, Text: text}
	}
	tests := []struct {
		name   string
		host   system.FakeHost
		adjust func(*system.Options)
		want   []jobs.Finding
	}{
		{name: "healthy", host: system.FakeHost{CPU: 5, Memory: 30, Mounts: []system.FakeMount{root}}},
		{name: "exactly at the limit is not above it", host: system.FakeHost{CPU: 80, Memory: 95, Mounts: []system.FakeMount{root}}, want: []jobs.Finding{
			finding("memory", jobs.Warning, "memory (1.0 GiB available) at 95.0 %, limit 80%"),
		}},
		{name: "critical", host: system.FakeHost{CPU: 95.1, Memory: 99, Swap: 92, Mounts: []system.FakeMount{root}}, want: []jobs.Finding{
			finding("cpu", jobs.Critical, "CPU over 5s at 95.1 %, limit 95%"),
			finding("memory", jobs.Critical, "memory (1.0 GiB available) at 99.0 %, limit 95%"),
			finding("swap", jobs.Warning, "swap at 92.0 %, limit 90%"),
		}},
		{name: "a full disk and full inodes of another mount", host: system.FakeHost{Mounts: []system.FakeMount{
			root, {Path: "/var/log", Type: "xfs", Device: "/dev/sdb1", Disk: 97, Inodes: 81},
		}}, want: []jobs.Finding{
			finding("disk:/var/log", jobs.Critical, "disk /var/log (1.0 GiB free) at 97.0 %, limit 95%"),
			finding("inodes:/var/log", jobs.Warning, "inodes of /var/log at 81.0 %, limit 80%"),
		}},
		{name: "pseudo, bind and image mounts do not count", host: system.FakeHost{Mounts: []system.FakeMount{
			root,
			{Path: "/snap/core", Type: "squashfs", Device: "/dev/loop0", Disk: 100},
			{Path: "/srv/copy", Type: "ext4", Device: "/dev/sda1", Disk: 99},
			{Path: "/run", Type: "tmpfs", Device: "tmpfs", Disk: 99},
		}}},
		{name: "a named tmpfs counts", host: system.FakeHost{Mounts: []system.FakeMount{
			root, {Path: "/run", Type: "tmpfs", Device: "tmpfs", Disk: 99},
		}}, adjust: func(o *system.Options) { o.Mounts = []string{"/run"} }, want: []jobs.Finding{
			finding("disk:/run", jobs.Critical, "disk /run (1.0 GiB free) at 99.0 %, limit 95%"),
		}},
		{name: "what cannot be measured is unknown, not healthy", host: system.FakeHost{
			Mounts: []system.FakeMount{root}, Err: map[string]string{"memory": "no\nanswer", "space": "stale handle"},
		}, want: []jobs.Finding{
			finding("unknown:memory", jobs.Warning, "the memory in use: unknown: no answer"),
			finding("unknown:disk:/", jobs.Warning, "the space of /: unknown: stale handle"),
		}},
		{name: "what should be mounted and is not", host: system.FakeHost{Mounts: []system.FakeMount{root}}, adjust: func(o *system.Options) {
			o.Mounts, o.Exclude = []string{"/", "/backup", "/srv/**", "/mnt/off"}, []string{"/mnt/*"}
		}, want: []jobs.Finding{
			finding("disk:/backup", jobs.Critical, "/backup is not mounted"),
		}},
		{name: "a pattern does not name a tmpfs", host: system.FakeHost{Mounts: []system.FakeMount{
			root, {Path: "/run", Type: "tmpfs", Device: "tmpfs", Disk: 99},
		}}, adjust: func(o *system.Options) { o.Mounts = []string{"/", "/*"} }},
		{name: "a named mount without a size", host: system.FakeHost{Mounts: []system.FakeMount{
			root, {Path: "/odd", Type: "fuse", Device: "odd", Sizeless: true}, {Path: "/other", Type: "fuse", Device: "odd2", Sizeless: true},
		}}, adjust: func(o *system.Options) { o.Mounts = []string{"/odd", "/**"} }, want: []jobs.Finding{
			finding("unknown:disk:/odd", jobs.Warning, "the space of /odd: unknown: a file system of type fuse tells no size"),
		}},
		{name: "nothing to measure is unknown", host: system.FakeHost{Mounts: []system.FakeMount{root}}, adjust: func(o *system.Options) {
			o.Exclude = []string{"/**"}
		}, want: []jobs.Finding{
			finding("unknown:disk", jobs.Warning, "the space of the mounted file systems: unknown: no mount is left to measure; look at `mounts` and `exclude`"),
		}},
		{name: "swap that cannot be read", host: system.FakeHost{Mounts: []system.FakeMount{root}, Err: map[string]string{"swap": "x", "load": "y"}}, want: []jobs.Finding{
			finding("unknown:load", jobs.Warning, "the load average: unknown: y"),
			finding("unknown:swap", jobs.Warning, "the swap space in use: unknown: x"),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := defaults(t)
				if tt.adjust != nil {
					tt.adjust(&o)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				start := time.Now()
				r, err := system.NewProbe(o, tt.host).Run(ctx, jobs.NewEnv(jobs.Env{}, jobs.Hooks{}))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, r.Findings); diff != "" {
					t.Errorf("findings (-want +got):\n%s", diff)
				}
				if spent := time.Since(start); spent > 6*time.Second {
					t.Errorf("the probe took %s", spent)
				}
			})
		})
	}
}

func TestRun_FailsWhenNothingAnswers(t *testing.T) {
	t.Parallel()
	host := system.FakeHost{Err: map[string]string{"cpu": "a", "memory": "b", "load": "c", "mounts": "d", "swap": "e"}}
	o := defaults(t)
	o.CPUOver = unit.Duration(10 * time.Millisecond)
	if r, err := system.NewProbe(o, host).Run(t.Context(), jobs.NewEnv(jobs.Env{}, jobs.Hooks{})); err == nil {
		t.Errorf("a host that answers nothing passed as %q", r.Summary)
	}
}

// TestRun_DeadShare asks a mount that hangs again and again: it is critical
// each time, holds nobody up, and costs one thread, not one for each time.
func TestRun_DeadShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		host := system.FakeHost{
			Mounts: []system.FakeMount{
				{Path: "/", Type: "ext4", Device: "/dev/sda1"},
				{Path: "/mnt/nfs", Type: "nfs4", Device: "server:/x", Disk: 10},
				{Path: "/srv/other", Type: "ext4", Device: "/dev/sdc1", Disk: 81},
			},
			Hangs: "/mnt/nfs", Release: make(chan struct{}), Asked: &atomic.Int64{},
		}
		probes := system.NewProbes(host)
		check := func(want ...jobs.Finding) {
			t.Helper()
			start := time.Now()
			r, err := probes(defaults(t)).Run(t.Context(), jobs.NewEnv(jobs.Env{}, jobs.Hooks{}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, r.Findings); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("the probe took %s", took)
			}
		}
		other := jobs.Finding{ID: "disk:/srv/other", Severity: jobs.Warning, Text: "disk /srv/other (1.0 GiB free) at 81.0 %, limit 80%"}
		check(jobs.Finding{ID: "disk:/mnt/nfs", Severity: jobs.Critical, Text: "/mnt/nfs (nfs4) does not answer within 5s"}, other)
		check(jobs.Finding{ID: "disk:/mnt/nfs", Severity: jobs.Critical, Text: "/mnt/nfs (nfs4) has not answered since an earlier check"}, other)
		if n := host.Asked.Load(); n != 1 {
			t.Errorf("the dead share was asked %d times", n)
		}
		close(host.Release)
		synctest.Wait()
		check(other)
	})
}

func TestBetween(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		before, after [4]float64 // user, idle, iowait, steal
		want          [3]float64 // busy, iowait, steal
		fails         bool
	}{
		{name: "a quarter busy", before: [4]float64{100, 100, 100, 100}, after: [4]float64{125, 175, 100, 100}, want: [3]float64{25, 0, 0}},
		{name: "waiting is not busy, stolen time is", after: [4]float64{10, 20, 30, 40}, want: [3]float64{50, 30, 40}},
		{name: "counters that step back", before: [4]float64{0, 10, 5, 0}, after: [4]float64{10, 9, 5, 0}, want: [3]float64{100, 0, 0}},
		{name: "counters that stand still", before: [4]float64{1, 2, 3, 4}, after: [4]float64{1, 2, 3, 4}, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := system.Between(tt.before, tt.after)
			if (err != nil) != tt.fails || got != tt.want {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	o := defaults(t)
	o.Disk = system.Limits{Warn: 96, Crit: 95}
	o.CPUOver = 0
	o.Mounts, o.Exclude, o.MountTimeout = []string{"var/log", "/x[", "/ok"}, []string{""}, 0
	o.CPU = system.Limits{Warn: 1}
	err := o.Validate()
	want := `cpu.warn: 1% is above crit, 0%
disk.warn: 96% is above crit, 95%
cpu_over: 0s is out of range: use 10ms to 10m
mount_timeout: it must be above 0
mounts[0]: "var/log" is not a pattern of an absolute path
mounts[1]: "/x[" is not a pattern of an absolute path
exclude[0]: "" is not a pattern of an absolute path`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	if _, ok := errors.AsType[*jobs.FieldError](err); !ok {
		t.Error("the error is not a FieldError, so the loader cannot find the place")
	}
}
