package child_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// prints runs a script and returns its output, one line a value.
func prints(t *testing.T, c child.Command) []string {
	t.Helper()
	out := newOutput(t)
	c.Stdout, c.Stderr = out, out
	if _, err := child.Run(bound(t), c); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Fields(out.String())
}

func TestLimits(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		const show = "ulimit -St; ulimit -Ht; ulimit -n; ulimit -v; ulimit -c; ulimit -f; ulimit -p"
		c := way(script(show))
		c.Limits = child.Limits{
			CPU: 6500 * time.Millisecond, Files: 77, Memory: 1 << 30, FileSize: 1 << 20, Processes: 5000,
		}
		if got, want := prints(t, c), []string{"7", "12", "77", "1048576", "0", "2048", "5000"}; !slices.Equal(got, want) {
			t.Errorf("limits %v, want %v", got, want)
		}
		if got := prints(t, way(script("ulimit -c"))); got[0] != "0" {
			t.Errorf("core limit %v", got)
		}
		c = way(script("while :; do :; done"))
		c.Limits.CPU = time.Second
		if exit, err := child.Run(bound(t), c); exit.Signal != "SIGXCPU" || err == nil {
			t.Errorf("processor time: %+v, %v", exit, err)
		}
		c = way(script("exec 3<&0 4<&0 5<&0 6<&0 7<&0 8<&0 9<&0"))
		c.Limits.Files = 6
		if exit, err := child.Run(bound(t), c); exit.Code == 0 || err == nil {
			t.Errorf("files: %+v, %v", exit, err)
		}
	})
}

func TestLimitsNeverRaise(t *testing.T) {
	t.Parallel()
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	c := script("ulimit -Hn")
	c.Limits.Files = own.Max + 1000
	if got := prints(t, c); got[0] != fmt.Sprint(own.Max) {
		t.Errorf("files %v, want %d", got, own.Max)
	}
}

func TestLimitsOfASetUserIDProgram(t *testing.T) {
	t.Parallel()
	info, err := os.Stat("/usr/bin/mount")
	if err != nil || info.Mode()&os.ModeSetuid == 0 {
		t.Fatalf("mount is no set-user-id program: %v", err)
	}
	c := script("")
	c.Argv, c.Limits.Files = []string{"/usr/bin/mount"}, 50
	exit, err := child.Run(bound(t), c)
	var failed *child.StartError
	if os.Geteuid() == 0 && (err != nil || exit.Code != 0) {
		t.Errorf("as root: %+v, %v", exit, err)
	}
	if os.Geteuid() != 0 && (!errors.As(err, &failed) || !errors.Is(err, fs.ErrPermission)) {
		t.Errorf("as a user, who may not limit it: %+v, %v", exit, err)
	}
}

// playCore runs with a core limit that is not 0.
func playCore() {
	var values []string
	for _, core := range []uint64{0, 1 << 20} {
		out := &strings.Builder{}
		c := child.Command{Argv: child.Shell("ulimit -Sc"), Stdout: out, Limits: child.Limits{Core: core}}
		if _, err := child.Run(context.Background(), c); err != nil {
			panic(err)
		}
		values = append(values, strings.TrimSpace(out.String()))
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &own); err != nil {
		panic(err)
	}
	report(append(values, fmt.Sprint(own.Cur, own.Max > 0)))
}

func TestNoCoreUnlessWanted(t *testing.T) {
	t.Parallel()
	c := script("exec /proc/$PPID/exe")
	c.Env = append(c.Env, "CHILD_TEST_PART=core")
	c.Limits.Core = 1 << 40
	if got := prints(t, c); got[0] != `["0","2048","0` || got[1] != `true"]` {
		t.Errorf("core limits %v", got)
	}
}

func TestNiceness(t *testing.T) {
	t.Parallel()
	base := prints(t, script("nice"))[0]
	c := script("nice; (nice)")
	c.Nice = 7
	var want int
	if _, err := fmt.Sscan(base, &want); err != nil {
		t.Fatal(err)
	}
	nicer := fmt.Sprint(min(19, want+7))
	for range 10 {
		if got := prints(t, c); got[0] != nicer || got[1] != nicer {
			t.Errorf("niceness %v, want %s", got, nicer)
		}
		if got := prints(t, script("nice")); got[0] != base {
			t.Errorf("the next command has niceness %v, want %s", got, base)
		}
	}
	c.Nice = -5
	_, err := child.Run(bound(t), c)
	var failed *child.StartError
	if os.Geteuid() == 0 && err != nil || os.Geteuid() != 0 && (!errors.As(err, &failed) || !errors.Is(err, fs.ErrPermission)) {
		t.Errorf("negative: %v", err)
	}
}
