package jobstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
)

// kills is at how many effects, counted from the first, a process is killed.
const kills = 3

// victimVariable tells a process of the test binary that it is to be killed:
// which test, in which world, at which effect.
const victimVariable = "JOBSTEST_VICTIM"

// victim is what victimVariable holds, as JSON.
type victim struct {
	Test, Root string
	Effect     int
}

// kill ends processes of this test binary by SIGKILL, each at another effect,
// and proves that a run in the world they left comes to its end.
func (f Fixture) kill(t *testing.T, kind jobs.Kind) {
	if v, ok := thisVictim(t); ok {
		f.die(t, kind, v)
		return
	}
	for at := 1; at <= kills; at++ {
		// The victim arranges the world itself, as nothing of this process
		// reaches it but the name of the folder.
		s := f.stage(t, kind)
		clearFolder(t, s.root)
		killed, output := murder(t, victim{Test: t.Name(), Root: s.root, Effect: at})
		if !killed && at == 1 {
			t.Fatalf("the process was not killed at its first effect:\n%s", output)
		}
		if !killed {
			return
		}
		s.settle(t, fmt.Sprintf("the run after a kill at effect %d", at))
	}
}

func thisVictim(t *testing.T) (v victim, ok bool) {
	t.Helper()
	text := os.Getenv(victimVariable)
	if text == "" {
		return v, false
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("read %s: %v", victimVariable, err)
	}
	return v, v.Test == t.Name()
}

// die runs the job and kills this process at an effect.
func (f Fixture) die(t *testing.T, kind jobs.Kind, v victim) {
	s := f.stageAt(t, kind, v.Root)
	var reached atomic.Int64
	o := s.run(t.Context(), t, jobs.Hooks{Effect: func(string) {
		if reached.Add(1) == int64(v.Effect) {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				t.Errorf("kill myself: %v", err)
			}
			select {}
		}
	}})
	t.Logf("effect %d was not reached; error: %v", v.Effect, o.err)
}

// murder runs this very test in another process, which dies. It tells whether
// it did.
func murder(t *testing.T, v victim) (killed bool, output string) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(v.Test, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+strings.Join(parts, "/"), "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), victimVariable+"="+string(text), "TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false, string(out)
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL, string(out)
}

func clearFolder(t *testing.T, root string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(root, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
}
