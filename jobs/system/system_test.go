package system_test

import (
	"context"
	"errors"
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
	o, ok := system.Kind().Options().(*system.Options)
	if !ok {
		t.Fatal("the kind's options have another type")
	}
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
			finding("memory", jobs.Warning, "memory at 95.0 %, limit 80%"),
		}},
		{name: "critical", host: system.FakeHost{CPU: 95.1, Memory: 99, Swap: 92, Mounts: []system.FakeMount{root}}, want: []jobs.Finding{
			finding("cpu", jobs.Critical, "CPU over 1s at 95.1 %, limit 95%"),
			finding("memory", jobs.Critical, "memory at 99.0 %, limit 95%"),
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
			finding("unknown:memory", jobs.Warning, "the memory is unknown: no answer"),
			finding("unknown:disk:/", jobs.Warning, "the space of / is unknown: stale handle"),
		}},
		{name: "a dead share is critical and holds nobody up", host: system.FakeHost{
			Mounts: []system.FakeMount{root, {Path: "/mnt/nfs", Type: "nfs4", Device: "server:/x"}, {Path: "/srv/other", Type: "ext4", Device: "/dev/sdc1", Disk: 81}},
			Hangs:  "/mnt/nfs",
		}, want: []jobs.Finding{
			finding("disk:/mnt/nfs", jobs.Critical, "/mnt/nfs (nfs4) does not answer within 5s"),
			finding("disk:/srv/other", jobs.Warning, "disk /srv/other (1.0 GiB free) at 81.0 %, limit 80%"),
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
				if spent := time.Since(start); spent > 7*time.Second {
					t.Errorf("the probe took %s", spent)
				}
			})
		})
	}
}

func TestRun_FailsWhenNothingAnswers(t *testing.T) {
	t.Parallel()
	host := system.FakeHost{Err: map[string]string{"cpu": "a", "memory": "b", "load": "c", "mounts": "d"}}
	o := defaults(t)
	o.CPUOver = unit.Duration(10 * time.Millisecond)
	if r, err := system.NewProbe(o, host).Run(t.Context(), jobs.NewEnv(jobs.Env{}, jobs.Hooks{})); err == nil {
		t.Errorf("a host that answers nothing passed as %q", r.Summary)
	}
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	o := defaults(t)
	o.Disk = system.Limits{Warn: 96, Crit: 95}
	o.CPUOver = 0
	o.Mounts = []string{"var/log", "/x[", "/ok"}
	err := o.Validate()
	want := "disk.warn: 96% is above crit, 95%\ncpu_over: 0s is out of range: use 10ms to 10m\n" +
		"mounts[0]: \"var/log\" is not a pattern of an absolute path\nmounts[1]: \"/x[\" is not a pattern of an absolute path"
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	if _, ok := errors.AsType[*jobs.FieldError](err); !ok {
		t.Error("the error is not a FieldError, so the loader cannot find the place")
	}
}
