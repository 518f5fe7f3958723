package jobs_test

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// TestKillLeftovers leaves processes behind as a dead upkeep would: in sessions
// of their own, deaf to TERM, with children.
func TestKillLeftovers(t *testing.T) {
	t.Parallel()
	run := "leftovers-" + strings.ReplaceAll(t.Name(), "/", "-") + time.Now().Format("150405.000000")
	start := func(id string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `trap "" TERM; sleep 1000 & wait`)
		cmd.Env = (&jobs.Env{RunID: id, Job: "a", Attempt: 1}).Environ()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	began := time.Now()
	mine, other := start(run), start(run+"-other")
	ended, err := jobs.KillLeftovers(t.Context(), run, began, 100*time.Millisecond)
	if err != nil || ended < 1 {
		t.Errorf("%d processes ended, %v", ended, err)
	}
	if err := mine.Wait(); err == nil || !strings.Contains(err.Error(), "signal") {
		t.Errorf("the leftover ended with %v, want a signal", err)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the process of another run: %v", err)
	}
	if err := syscall.Kill(-other.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := other.Wait(); err == nil {
		t.Error("the process of another run ended by itself")
	}
	if ended, err := jobs.KillLeftovers(t.Context(), run, began, 0); ended != 0 || err != nil {
		t.Errorf("again: %d, %v", ended, err)
	}
}
