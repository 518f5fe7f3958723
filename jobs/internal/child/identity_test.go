package child_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// playSelf tells who it is.
func playSelf() {
	id, err := child.Self()
	if err != nil {
		panic(err)
	}
	report(id)
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	self, err := child.Self()
	if err != nil || self.PID != os.Getpid() || self.Boot == "" || self.Start == 0 || self.Namespace == 0 {
		t.Fatalf("%+v, %v", self, err)
	}
	wantAlive(t, "self", self, true, nil)
	reused := self
	reused.Start++
	wantAlive(t, "the number of an older process, used again", reused, false, nil)
	booted := self
	booted.Boot = "00000000-0000-0000-0000-000000000000"
	wantAlive(t, "before a reboot", booted, false, nil)
	other := booted
	other.Host = "elsewhere"
	wantAlive(t, "another host", other, false, child.ErrElsewhere)
	other.Host, other.Machine = self.Host, "other"
	wantAlive(t, "another machine of that name", other, false, child.ErrElsewhere)
	contained := self
	contained.Namespace++
	wantAlive(t, "another container", contained, false, child.ErrElsewhere)
}

func wantAlive(t *testing.T, what string, id child.Identity, want bool, is error) {
	t.Helper()
	got, err := child.Alive(id)
	if got != want || is == nil && err != nil || is != nil && !errors.Is(err, is) {
		t.Errorf("%s: %v, %v", what, got, err)
	}
}

func TestIdentityOfAChild(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(bound(t), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := child.IdentityOf(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	wantAlive(t, "a child", id, true, nil)
	if err := child.SignalStale(id.PID, int(syscall.SIGKILL)); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	over := time.Now().Add(10 * time.Second)
	for alive := true; alive && time.Now().Before(over); { // it ends when it ends; nobody reaps it
		if alive, err = child.Alive(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(id.PID, 0); err != nil {
		t.Errorf("the test is blind: no zombie: %v", err)
	}
	wantAlive(t, "a zombie", id, false, nil)
	var failed *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &failed) || failed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("it got the signal for another process of its number: %v", err)
	}
	wantAlive(t, "a reaped child", id, false, nil)
	if _, err := child.IdentityOf(id.PID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no process: %v", err)
	}
}

func TestIdentityInAContainer(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // only root makes a pid namespace; CI is
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(bound(t), "unshare", "--pid", "--fork", "--mount-proc", self)
	cmd.Env = []string{path, "CHILD_TEST_PART=self"}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var id child.Identity
	if err := json.Unmarshal(out, &id); err != nil || id.PID != 1 {
		t.Fatalf("%s: %v", out, err)
	}
	if alive, err := child.Alive(id); alive || !errors.Is(err, child.ErrElsewhere) {
		t.Errorf("%v, %v", alive, err)
	}
}

func TestIdentityText(t *testing.T) {
	t.Parallel()
	id := child.Identity{Host: "db-1", Machine: "", Boot: "b", Namespace: 4026531836, PID: 77, Start: 1 << 40}
	text, err := json.Marshal(id)
	if err != nil || string(text) != `"db-1//b/4026531836/77/1099511627776"` {
		t.Errorf("%s, %v", text, err)
	}
	var back child.Identity
	if err := json.Unmarshal(text, &back); err != nil || !cmp.Equal(id, back) {
		t.Errorf("%+v, %v", back, err)
	}
	for _, bad := range []string{"", "a/b/c/1/2", "a/b/c/1/2/3/4", "a/b//1/2/3", "a/b/c/x/2/3", "a/b/c/1/0/3", "a/b/c/1/-2/3", "a/b/c/1/2/-3", "a/b/c/1/99999999999/3"} {
		if id, err := child.ParseIdentity(bad); err == nil {
			t.Errorf("%q gave %+v", bad, id)
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("db-1/m/b/4026531836/77/12345")
	f.Add("/////")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := child.ParseIdentity(text)
		if err != nil {
			return
		}
		if again, err := child.ParseIdentity(id.String()); err != nil || again != id {
			t.Errorf("%q: %+v, then %+v, %v", text, id, again, err)
		}
	})
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	rest := " S 12 34 56 0 -1 %FLAGS 1 2 3 4 5 6 7 8 20 0 1 0 9876543210 11 22"
	line := func(name, flags string) string {
		return "77 (" + name + ")" + strings.Replace(rest, "%FLAGS", flags, 1)
	}
	want := child.Stat{PID: 77, PPID: 12, PGID: 34, SID: 56, State: 'S', Start: 9876543210}
	for _, name := range []string{"sh", "a b", "a) S 1 1 (b", ")))", "((", "", "a\nb", ") R 1 2 3"} {
		got, err := child.ParseStat([]byte(line(name, "4194304")))
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	want.Kernel = true
	if got, err := child.ParseStat([]byte(line("kworker/0:1", "69238880"))); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "77", "77 (sh)", "77 (sh) S 1 2", "(sh) S", line("x", "flags"), strings.Replace(line("x", "1"), "S", "SS", 1), strings.Replace(line("x", "1"), "12", "y", 1)} {
		if got, err := child.ParseStat([]byte(bad)); err == nil {
			t.Errorf("%q gave %+v", bad, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte("1 () S"))
	f.Add([]byte(")1 ( S"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, err := child.ParseStat(text); err == nil && got.State == 0 {
			t.Errorf("%q gave %+v", text, got)
		}
	})
}

func TestMarksAreWholeEntries(t *testing.T) {
	t.Parallel()
	environ := []byte("PATH=/bin\x00RUN=12\x00JOB=a=b\x00X=RUN=1\x00")
	for _, test := range []struct {
		marks []string
		want  bool
	}{
		{[]string{"RUN=12"}, true},
		{[]string{"RUN=12", "JOB=a=b"}, true},
		{[]string{"RUN=12", "JOB=a"}, false},
		{[]string{"RUN=1"}, false},
		{[]string{"UN=12"}, false},
		{nil, false},
	} {
		if got := child.ContainsMarks(environ, test.marks); got != test.want {
			t.Errorf("%q: %v", test.marks, got)
		}
	}
}

func TestCgroupFolders(t *testing.T) {
	t.Parallel()
	const (
		hybrid = "30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro\n" +
			"31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n" +
			"32 30 0:28 / /sys/fs/cgroup/cpu rw shared:10 - cgroup cgroup rw,cpu\n"
		unified   = "31 30 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
		container = "31 30 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
		blank     = "31 30 0:27 / /mnt/c\\040g rw - cgroup2 none rw\n"
	)
	for _, test := range []struct {
		name, mounts, own string
		want              []string
	}{
		{"hybrid", hybrid, "4:memory:/x\n0::/\n", []string{"/sys/fs/cgroup/unified"}},
		{"service", unified, "0::/system.slice/upkeep.service\n", []string{"/sys/fs/cgroup/system.slice/upkeep.service"}},
		{"container in a namespace", unified, "0::/\n", []string{"/sys/fs/cgroup"}},
		{"container without one", container, "0::/docker/abc\n", []string{"/sys/fs/cgroup"}},
		{"below it", container, "0::/docker/abc/sub\n", []string{"/sys/fs/cgroup/sub"}},
		{"beside it", container, "0::/docker/abcd\n", nil},
		{"outside of the namespace", unified, "0::/../other\n", nil},
		{"version 1 only", "32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "4:cpu:/\n", nil},
		{"blank", blank, "0::/a\n", []string{"/mnt/c g/a"}},
		{"rubbish", "x - cgroup2 y\n\n", "0::/\n", nil},
	} {
		if got := child.CgroupDirs(test.mounts, test.own); !cmp.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestCgroupNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		marks []string
		want  string
	}{
		{[]string{"RUN=0190-aB", "JOB=back_up.1", "ATTEMPT=2"}, "upkeep-0190-aB:back_up.1:2:"},
		{[]string{"RUN=../x:y\n"}, "upkeep-..%2Fx%3Ay%0A:"},
		{[]string{"RUN=" + strings.Repeat("a", 60)}, "upkeep-" + strings.Repeat("a", 31) + "+11ee391211c62564:"},
		{[]string{"A=1", "B=2", "C=3", "D=4", "E=5"}, "upkeep-1:2:3:4:"},
	} {
		if got := child.CgroupPrefix(test.marks); got != test.want {
			t.Errorf("%q: %q, want %q", test.marks, got, test.want)
		}
	}
}
