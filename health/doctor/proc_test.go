package doctor_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/health/doctor"
)

// rest are the fields of /proc/PID/stat from ppid to rss, and those behind.
const rest = " 1 1 1 0 -1 4194304 0 0 0 0 120 30 0 0 20 0 7 0 1000 1000000 256 18446744073709551615 1 1 0"

func TestParseStat(t *testing.T) {
	t.Parallel()
	page := uint64(os.Getpagesize())
	for name, tt := range map[string]struct {
		text string
		want doctor.Process
		bad  bool
	}{
		"plain":        {text: "42 (postgres) S" + rest, want: doctor.Process{PID: 42, PPID: 1, Name: "postgres", State: "S", RSS: 256 * page, Threads: 7}},
		"hostile name": {text: "42 (a) R 9 (b c) D" + rest, want: doctor.Process{PID: 42, PPID: 1, Name: "a) R 9 (b c", State: "D", RSS: 256 * page, Threads: 7}},
		"empty":        {bad: true},
		"cut":          {text: "42 (postgres) S 1 1", bad: true},
		"no name":      {text: "42 postgres S" + rest, bad: true},
		"turned":       {text: "42 )x( S" + rest, bad: true},
	} {
		got, err := doctor.ParseStat(tt.text)
		if (err != nil) != tt.bad {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(doctor.Process{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestParsePressure(t *testing.T) {
	t.Parallel()
	got, err := doctor.ParsePressure("some avg10=1.50 avg60=2.00 avg300=0.10 total=9\nfull avg10=0.00 avg60=1.00 avg300=0.05 total=3\n")
	if err != nil || got != (doctor.Pressure{Some10: 1.5, Some60: 2, Some300: 0.1, Full60: 1, Full300: 0.05}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "some", "some avg10=x", "some avg10=NaN", "some avg10=101"} {
		if _, err := doctor.ParsePressure(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestParseMounts(t *testing.T) {
	t.Parallel()
	got, err := doctor.ParseMounts(`22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
23 22 8:2 / /mnt/my\040disk\011x rw,noatime - ext4 /dev/sda2 ro
24 22 0:5 / /ro ro - xfs /dev/sdb rw
nonsense
25 22 0:6 / /none rw - tmpfs tmpfs
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []doctor.Mount{
		{Path: "/", Type: "ext4", Device: "/dev/sda1"},
		{Path: "/mnt/my disk\tx", Type: "ext4", Device: "/dev/sda2", ReadOnly: true, Remounted: true},
		{Path: "/ro", Type: "xfs", Device: "/dev/sdb", ReadOnly: true},
		{Path: "/none", Type: "tmpfs", Device: "tmpfs"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := doctor.ParseMounts("nothing"); err == nil {
		t.Error("nothing was taken for a list of mounts")
	}
}

func TestParseKills(t *testing.T) {
	t.Parallel()
	got := doctor.ParseKills(`<4>[  100.000000] something else
<3>[  400.500000] Out of memory: Killed process 17 (java) total-vm:1kB, anon-rss:1kB
<3>[ 4000.0] Memory cgroup out of memory: Killed process 18 (py) total-vm
Out of memory: Kill process x (y)
`, 500.5)
	var names []string
	for _, k := range got {
		names = append(names, k.Name)
	}
	if diff := cmp.Diff([]string{"java", "py", "y"}, names); diff != "" {
		t.Fatal(diff)
	}
	if got[0].PID != 17 || got[0].AgoSeconds != 100 || got[1].AgoSeconds != -1 || got[2].PID != 0 {
		t.Errorf("%+v", got)
	}
}

func TestParseUnits(t *testing.T) {
	t.Parallel()
	got := doctor.ParseUnits("Id=a.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\nResult=oom-kill\nNRestarts=7\nMainPID=0\nMemoryCurrent=[not set]\n\nId=b.service\nActiveState=active\nMemoryCurrent=18446744073709551615\nMainPID=3\n\nLoadState=x\n")
	want := []doctor.Unit{{Name: "a.service", Load: "loaded", Active: "failed", Sub: "failed", Result: "oom-kill", Restarts: 7}, {Name: "b.service", Active: "active", PID: 3}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestDetail_RealProcess: what stands in the arguments of a real process is told
// without its secrets.
func TestDetail_RealProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "read x", "worker", "postgres://app:pl4nted@db/x", "--token", "pl4nted")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // read ends with 1 at the end of its input
	})
	p := doctor.Host{}.Complete().Detailed(cmd.Process.Pid)
	var s doctor.Secrets
	if got, want := s.Text(p.Command), "sh -c 'read x' worker postgres://app:<redacted>@db/x --token <redacted>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if p.User == "" {
		t.Error("nobody owns it")
	}
}

// TestHost_Real: the steps see this machine.
func TestHost_Real(t *testing.T) {
	t.Parallel()
	h := doctor.Host{Sample: time.Millisecond}.Complete()
	for _, step := range []doctor.Step{h.Processes(), h.Memory(), h.Disks(doctor.Place{Path: t.TempDir(), What: "the test"}), h.Load(), h.Kills(), h.ClockStep()} {
		found, err := step.Alone(t.Context())
		if err != nil {
			t.Errorf("%s: %v", step.Name, err)
		}
		if found.Summary == "" || found.Facts == nil {
			t.Errorf("%s: %+v", step.Name, found)
		}
		if step.Name == "disks" && !strings.Contains(strings.Join(found.Lines, "\n"), "holds the test") {
			t.Errorf("the mount of the test's folder is missing: %q", found.Lines)
		}
	}
}

func FuzzProc(f *testing.F) {
	f.Add("42 (postgres) S" + rest)
	f.Add("some avg10=1.5 avg60=2 avg300=0 total=9")
	f.Add(`22 1 8:1 / /a\040b rw - ext4 /dev/sda1 ro`)
	f.Add("MemTotal: 18446744073709551615 kB\noom_kill 3")
	f.Add("[1.5] Out of memory: Killed process 1 (x)")
	f.Add("Id=x\nNRestarts=1\n\n")
	f.Add("0.1 0.2 0.3 1/2 3")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := doctor.ParseStat(text); err == nil && p.PPID < 0 {
			t.Errorf("%+v", p)
		}
		if p, err := doctor.ParsePressure(text); err == nil && !(p.Full60 >= 0 && p.Full60 <= 100) {
			t.Errorf("%+v", p)
		}
		if l, err := doctor.ParseLoad(text); err == nil && l.Five < 0 {
			t.Errorf("%+v", l)
		}
		if d, err := doctor.ParseUptime(text); err == nil && d < 0 {
			t.Errorf("%v", d)
		}
		if m, err := doctor.ParseMounts(text); err == nil && len(m) == 0 {
			t.Error("no mounts and no error")
		}
		for _, k := range doctor.ParseKills(text, 10) {
			if k.AgoSeconds > 10 {
				t.Errorf("%+v", k)
			}
		}
		doctor.ParseUnits(text)
		doctor.Keyed(text)
		// A whole machine of it.
		h := doctor.Host{Files: fstest.MapFS{
			"proc/1/stat": {Data: []byte(text)}, "proc/1/status": {Data: []byte(text)}, "proc/1/cmdline": {Data: []byte(text)}, "proc/1/cgroup": {Data: []byte(text)},
			"proc/self/cgroup": {Data: []byte("0::" + text)}, "proc/meminfo": {Data: []byte(text)}, "proc/vmstat": {Data: []byte(text)}, "proc/stat": {Data: []byte(text)},
			"proc/self/mountinfo": {Data: []byte(text)}, "proc/loadavg": {Data: []byte(text)}, "proc/uptime": {Data: []byte(text)}, "etc/passwd": {Data: []byte(text)},
		}, Sample: 1, KernelLog: func() (string, error) { return text, nil }, Space: func(string) (doctor.Space, error) { return doctor.Space{}, nil }}.Complete()
		for _, step := range []doctor.Step{h.Processes(), h.Memory(), h.Kills(), h.Disks(), h.Load()} {
			found, err := step.Alone(t.Context())
			if err == nil && found.Summary == "" {
				t.Errorf("%s says nothing", step.Name)
			}
		}
	})
}
