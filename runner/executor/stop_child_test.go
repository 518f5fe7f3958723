package executor_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/script"
	"github.com/ghosteam/upkeep/runner"
)

// TestHandle_StopLeavesNoChild ends a process of upkeep in the middle of a
// program that does not want to end: nothing of it is left, and the run goes on
// at the next start.
func TestHandle_StopLeavesNoChild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pids := filepath.Join(dir, "pids")
	kind := script.Kind()
	program := func(runner.HistoryReader) (jobs.Job, []string, error) {
		options := kind.Options().(*script.Options)
		options.Run = unit.Command{"/bin/sh", "-c", "test -e pids && exit 0; trap '' TERM; setsid sleep 600 & echo $$ $! > new; mv new pids; sleep 600"}
		job, err := kind.Build(options, nil)
		return job, nil, err
	}
	b := newBench(t, runner.PlannedJob{Name: "stubborn", Kind: "script", Build: program})
	b.plan(func(p *runner.Plan) { p.Root, p.KillGrace = dir, 200*time.Millisecond })
	b.ledger.run.ID = runID[:len(runID)-3] + "777" // its children are its own
	stopping, stop := context.WithCancelCause(t.Context())
	b.options.Stop = stopping
	go func() {
		for {
			if _, err := os.Stat(pids); err == nil || t.Context().Err() != nil {
				stop(runner.ErrShutdown)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	b.handleRun(t.Context(), b.ledger.run.ID)
	if got := b.ledger.states()["stubborn"]; got != "canceled/shutdown" || b.ledger.verdict() != "queued" {
		t.Errorf("the attempt is %s, the run %s", got, b.ledger.verdict())
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for field := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		// Whoever adopted it may not have buried it yet.
		stat, err := os.ReadFile(filepath.Join("/proc", field, "stat"))
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			t.Errorf("process %d is left: %s", pid, stat)
		}
	}
	b.options.Stop = nil
	b.handleRun(t.Context(), b.ledger.run.ID)
	if got := b.ledger.latest()["stubborn"]; got.Number != 2 || b.ledger.verdict() != "succeeded" {
		t.Errorf("after the next start: attempt %+v, run %s", got, b.ledger.verdict())
	}
}
