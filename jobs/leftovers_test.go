package jobs_test

import (
	"os/exec"
	"slices"
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
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `trap "" TERM; while :; do sleep 1000; done`)
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

// TestKillLeftovers_Except leaves the processes of a planned restart alone,
// also those that wiped their marks, until their job is judged.
func TestKillLeftovers_Except(t *testing.T) {
	t.Parallel()
	run := "except-" + time.Now().Format("150405.000000")
	start := func(job, script string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Env = (&jobs.Env{RunID: run, Job: job, Attempt: 1}).Environ()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	began := time.Now()
	lost, planned := start("lost", "exec sleep 1000"), start("upgrade", "env -i sleep 1000 & wait; kill -9 $$")
	deadline := time.Now().Add(20 * time.Second)
	for n := 0; n < 2; {
		var err error
		if n, err = jobs.CountLeftovers(run, "upgrade"); err != nil || time.Now().After(deadline) {
			t.Fatalf("%d processes, %v; want the shell and what it started", n, err)
		}
	}
	ended, err := jobs.KillLeftovers(t.Context(), run, began, time.Second, "upgrade")
	if err != nil || ended != 1 {
		t.Errorf("%d processes ended, %v; want the lost one", ended, err)
	}
	if err := lost.Wait(); err == nil {
		t.Error("the lost process ended by itself")
	}
	if n, err := jobs.CountLeftovers(run, "upgrade"); n != 2 || err != nil {
		t.Errorf("%d processes of the planned job are left, %v; want 2", n, err)
	}
	if n, err := jobs.CountLeftovers(run, "lost"); n != 0 || err != nil {
		t.Errorf("%d processes of the lost job are left, %v", n, err)
	}
	if ended, err := jobs.KillJobLeftovers(t.Context(), run, "upgrade", began, time.Second); err != nil || ended != 2 {
		t.Errorf("%d processes ended, %v; want 2", ended, err)
	}
	if err := planned.Wait(); err == nil {
		t.Error("the planned process ended by itself")
	}
}

// TestLeftAttempts finds what another process began, and ends one attempt of it.
func TestLeftAttempts(t *testing.T) {
	t.Parallel()
	run := "attempts-" + time.Now().Format("150405.000000")
	start := func(attempt int) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "sleep 1000 & wait")
		cmd.Env = (&jobs.Env{RunID: run, Job: "a", Attempt: attempt}).Environ()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	began := time.Now()
	first, second := start(1), start(2)
	mine := func() (numbers []int) {
		t.Helper()
		all, err := jobs.LeftAttempts()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if a.RunID == run && a.Job == "a" {
				numbers = append(numbers, a.Attempt)
			}
		}
		return numbers
	}
	if got := mine(); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("attempts %v are at work, want 1 and 2", got)
	}
	if ended, err := jobs.KillAttemptLeftovers(t.Context(), jobs.LeftAttempt{RunID: run, Job: "a", Attempt: 1}, began, time.Second); err != nil || ended < 1 {
		t.Errorf("%d processes ended, %v", ended, err)
	}
	if err := first.Wait(); err == nil {
		t.Error("the first ended by itself")
	}
	if got := mine(); !slices.Equal(got, []int{2}) {
		t.Errorf("attempts %v are at work, want 2", got)
	}
	if err := syscall.Kill(-second.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err == nil {
		t.Error("the second ended by itself")
	}
}
