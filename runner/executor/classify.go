package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/retry"
)

// outcome is what came back from a job.
type outcome struct {
	result jobs.Result
	err    error
	// abandoned is how long the job ignored the end of its context before the
	// executor stopped waiting for it; 0 for jobs that returned.
	abandoned time.Duration
}

// judgement is what an outcome means for the attempt's record.
type judgement struct {
	state      runner.State
	reason     runner.Reason
	text, hint string
	exitCode   int
	retryable  bool // the job's retry policy may be asked
}

// classify judges an outcome. cause is why the attempt's context ended, nil
// when it had not ended; failOn is the severity of findings that fails.
//
// A job that returns no error after its context ended has finished its work in
// time, and counts as such. Any error after that is put down to the cause.
func classify(o outcome, cause error, failOn jobs.Severity) judgement {
	switch {
	case o.abandoned > 0:
		j := stopped(cause, fmt.Sprintf("the job ignored the request to stop for %s and was given up; its code may still be running", o.abandoned))
		j.hint = "report this: the kind does not watch its context"
		return j
	case o.err == nil:
		return judgeFindings(o.result, failOn)
	case cause != nil:
		j := stopped(cause, stripCause(o.err, cause))
		j.exitCode = exitCodeOf(o.err)
		return j
	}
	j := judgement{
		state: runner.Failed, reason: runner.ReasonError, text: o.err.Error(), hint: jobs.HintOf(o.err),
		exitCode: exitCodeOf(o.err), retryable: !retry.IsPermanent(o.err),
	}
	if noSpace(o.err) {
		j.reason = runner.ReasonSpace
	}
	if _, died := errors.AsType[*unjudgedError](o.err); died {
		j.reason, j.retryable = runner.ReasonCrash, false
	} else if _, refused := errors.AsType[*jobs.RefusedError](o.err); refused {
		j.reason, j.retryable = runner.ReasonRefused, false
	} else if _, panicked := errors.AsType[*panicError](o.err); panicked {
		j.reason = runner.ReasonPanic
	}
	return j
}

// judgeFindings judges a job that did its work.
func judgeFindings(result jobs.Result, failOn jobs.Severity) judgement {
	j := judgement{state: runner.Succeeded, exitCode: -1}
	worst := result.Worst()
	switch {
	case failOn != "" && worst.Rank() >= failOn.Rank():
		j.state, j.reason = runner.Failed, runner.ReasonFindings
		j.text = fmt.Sprintf("%s (fail_on: %s)", tellFindings(result.Findings), failOn)
	case worst.Rank() >= jobs.Warning.Rank():
		j.state, j.reason = runner.Warned, runner.ReasonFindings
	}
	return j
}

// tellFindings says how many findings there are and repeats the worst.
func tellFindings(findings []jobs.Finding) string {
	worst := jobs.Finding{}
	count := 0
	for _, f := range findings {
		if f.Severity.Rank() < jobs.Warning.Rank() {
			continue
		}
		count++
		if f.Severity.Rank() > worst.Severity.Rank() {
			worst = f
		}
	}
	if count == 1 {
		return fmt.Sprintf("%s: %s", worst.Severity, worst.Text)
	}
	return fmt.Sprintf("%d findings, the worst %s: %s", count, worst.Severity, worst.Text)
}

// stopped judges an attempt whose context ended before it was done.
func stopped(cause error, more string) judgement {
	j := judgement{state: runner.Canceled, reason: runner.ReasonShutdown, text: cause.Error(), exitCode: -1}
	if _, canceled := errors.AsType[*runner.CanceledError](cause); canceled {
		j.reason = runner.ReasonUser
	} else if _, closed := errors.AsType[*runner.WindowError](cause); closed {
		j.reason = runner.ReasonWindow
	} else if errors.Is(cause, runner.ErrTimeout) {
		j.state, j.reason, j.retryable = runner.Failed, runner.ReasonTimeout, true
	} else if errors.Is(cause, runner.ErrLockLost) {
		j.state, j.reason, j.retryable = runner.Failed, runner.ReasonLockLost, true
	}
	if more != "" {
		j.text += ": " + more
	}
	return j
}

// stripCause returns what err says beside its cause.
func stripCause(err, cause error) string {
	text := err.Error()
	for _, known := range []string{cause.Error(), context.Canceled.Error(), context.DeadlineExceeded.Error()} {
		text = strings.TrimSuffix(text, known)
		text = strings.TrimSuffix(text, ": ")
	}
	return text
}

// noSpace tells whether err says that a disk, or somebody's share of it, is
// full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, runner.ErrNoSpace)
}

func exitCodeOf(err error) int {
	if coder, ok := errors.AsType[jobs.ExitCoder](err); ok {
		return coder.ExitCode()
	}
	return -1
}
