package jobs

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// KillLeftovers ends the child processes that a dead process of upkeep left on
// this host for a run: everything that carries the run's mark, its descendants
// and its cgroups. They are asked first and killed after grace. What this
// process itself has under way is spared, and what belongs to the jobs in
// except: those with a planned restart, which are judged first. since is when
// the run began. The caller must own the run, because another living owner's
// children would be ended as well.
//
// It returns how many processes were ended. Its error says that some could
// not be, or that some that may belong to the run could not be looked at.
func KillLeftovers(ctx context.Context, runID string, since time.Time, grace time.Duration, except ...string) (ended int, err error) {
	sweep := child.Sweep{Marks: (&Env{RunID: runID}).Marks()[:1], Since: since}
	for _, job := range except {
		sweep.Spare = append(sweep.Spare, (&Env{RunID: runID, Job: job}).Marks()[:2])
	}
	return killLeftovers(ctx, sweep, grace, "run "+runID)
}

// KillJobLeftovers does for one job of a run what KillLeftovers does for all.
func KillJobLeftovers(ctx context.Context, runID, job string, since time.Time, grace time.Duration) (ended int, err error) {
	sweep := child.Sweep{Marks: (&Env{RunID: runID, Job: job}).Marks()[:2], Since: since}
	return killLeftovers(ctx, sweep, grace, "job "+job+" of run "+runID)
}

// KillAttemptLeftovers does for one attempt what KillLeftovers does for a run.
// The caller need not own the run, but must know that the attempt is over.
func KillAttemptLeftovers(ctx context.Context, a LeftAttempt, since time.Time, grace time.Duration) (ended int, err error) {
	sweep := child.Sweep{Marks: (&Env{RunID: a.RunID, Job: a.Job, Attempt: a.Attempt}).Marks(), Since: since}
	return killLeftovers(ctx, sweep, grace, fmt.Sprintf("attempt %d of job %s of run %s", a.Attempt, a.Job, a.RunID))
}

// LeftAttempt is an attempt of which processes are at work on this host that
// this process did not start.
type LeftAttempt struct {
	RunID, Job string
	Attempt    int
}

// LeftAttempts returns the attempts of any upkeep on this host, besides this
// process, of which processes are at work.
func LeftAttempts() ([]LeftAttempt, error) {
	strays, err := child.Strays("UPKEEP_RUN_ID", "UPKEEP_JOB", "UPKEEP_ATTEMPT")
	if err != nil {
		return nil, fmt.Errorf("look for attempts at work: %w", err)
	}
	var list []LeftAttempt
	for _, marks := range strays {
		value := func(i int) string { _, v, _ := strings.Cut(marks[i], "="); return v }
		number, err := strconv.Atoi(value(2))
		if err != nil || number < 1 {
			continue // somebody else's idea of the name
		}
		list = append(list, LeftAttempt{RunID: value(0), Job: value(1), Attempt: number})
	}
	return list, nil
}

func killLeftovers(ctx context.Context, sweep child.Sweep, grace time.Duration, whose string) (ended int, err error) {
	sweep.Grace = grace
	if grace <= 0 {
		sweep.Grace = -1 // the zero value would stand for the default
	}
	swept, err := child.KillMarked(ctx, sweep)
	if err != nil {
		return swept.Killed, fmt.Errorf("end what %s left behind: %w", whose, err)
	}
	if swept.Unreadable > 0 {
		return swept.Killed, fmt.Errorf("end what %s left behind: %d processes that could belong to it may not be looked at", whose, swept.Unreadable)
	}
	return swept.Killed, nil
}

// CountLeftovers returns how many processes on this host belong to a job of a
// run and were not started by this process: what a planned restart left at
// work. After a reboot there are none.
func CountLeftovers(runID, job string) (int, error) {
	n, err := child.CountMarked((&Env{RunID: runID, Job: job}).Marks()[:2])
	if err != nil {
		return 0, fmt.Errorf("look for what job %s of run %s left at work: %w", job, runID, err)
	}
	return n, nil
}
