package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/socket"
)

// The exit codes of every command. exitHelp repeats them for people.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitNotFound  = 3
	exitSkipped   = 4
	exitWarned    = 5
	exitRefused   = 6
	exitTemporary = 75
	exitTimeout   = 124
	exitCanceled  = 130
)

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// notFoundError says that what the command line names does not exist.
type notFoundError struct{ err error }

func (e *notFoundError) Error() string { return e.err.Error() }
func (e *notFoundError) Unwrap() error { return e.err }

func notFoundf(hint, format string, args ...any) error {
	return jobs.WithHint(&notFoundError{err: fmt.Errorf(format, args...)}, hint)
}

// skippedError says that nothing was done, because there is nothing to do or
// because somebody else is at it.
type skippedError struct{ err error }

func (e *skippedError) Error() string { return e.err.Error() }
func (e *skippedError) Unwrap() error { return e.err }

func skippedf(hint, format string, args ...any) error {
	return jobs.WithHint(&skippedError{err: fmt.Errorf(format, args...)}, hint)
}

// runEnded carries the end of a run to the exit code; what happened has been
// shown already.
type runEnded struct {
	run runner.Run
	// stopped tells that a person stopped it at once, so that it has not ended.
	stopped bool
}

func (e *runEnded) Error() string { return fmt.Sprintf("run %s %s", e.run.ID, e.run.State) }

// problemsFound says that validation found something; it has been shown
// already.
type problemsFound struct{ count int }

func (e *problemsFound) Error() string { return count(e.count, "problem") }

// warnedError says that something was done, and that there is something to
// know about it, which has been shown already.
type warnedError struct{ count int }

func (e *warnedError) Error() string { return count(e.count, "warning") }

// codeOf is the one place that turns an error into an exit code.
func codeOf(err error) int {
	switch {
	case err == nil:
		return exitOK
	case is[*api.Problem](err):
		problem, _ := errors.AsType[*api.Problem](err)
		return problem.Code.Exit()
	case is[*usageError](err), is[configs.Problems](err), is[*problemsFound](err), is[*runner.AmbiguousError](err):
		return exitUsage
	case is[*unhealthy](err):
		state, _ := errors.AsType[*unhealthy](err)
		return state.code()
	case is[*runEnded](err):
		ended, _ := errors.AsType[*runEnded](err)
		return ended.code()
	case is[*notFoundError](err), errors.Is(err, runner.ErrNotFound):
		return exitNotFound
	case is[*ledger.LockedError](err), errors.Is(err, socket.ErrInUse), errors.Is(err, runner.ErrUnavailable):
		return exitTemporary
	case is[*jobs.RefusedError](err):
		return exitRefused
	case is[*warnedError](err):
		return exitWarned
	case is[*skippedError](err), errors.Is(err, runner.ErrNotClaimable), errors.Is(err, runner.ErrNoticeState), errors.Is(err, runner.ErrIncidentState):
		return exitSkipped
	case errors.Is(err, context.Canceled):
		return exitCanceled
	}
	return exitFailed
}

func (e *runEnded) code() int {
	switch e.run.State {
	case runner.Succeeded:
		return exitOK
	case runner.Warned:
		return exitWarned
	case runner.Canceled:
		return exitCanceled
	case runner.Skipped:
		return exitSkipped
	case runner.Queued, runner.Running:
		if e.stopped {
			return exitCanceled
		}
		return exitTemporary
	default:
		return codeOfReason(e.run.Reason)
	}
}

func codeOfReason(r runner.Reason) int {
	switch r {
	case runner.ReasonTimeout:
		return exitTimeout
	case runner.ReasonRefused:
		return exitRefused
	default:
		return exitFailed
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// finish reports err, if it has not been shown, and returns the exit code.
func (a *app) finish(cmd *cobra.Command, err error) int {
	code := codeOf(err)
	switch {
	case err == nil, is[*runEnded](err), is[*unhealthy](err), is[*problemsFound](err), is[*findingsFound](err), is[*warnedError](err):
		return code
	case code == exitCanceled:
		err = errors.New("interrupted")
	case is[*usageError](err) && cmd != nil:
		err = hintIfNone(err, cmd.CommandPath()+" --help")
	}
	writeError(a.std.Err, err)
	return code
}

// writeError shows an error as "error: …" and, when somebody gave advice, a
// line "hint: …". Problems of the configuration have a form of their own.
func writeError(w io.Writer, err error) {
	if problems, ok := errors.AsType[configs.Problems](err); ok {
		fmt.Fprintln(w, paragraph(problems.Error()))
		return
	}
	fmt.Fprintf(w, "error: %s\n", paragraph(err.Error()))
	if hint := jobs.HintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", paragraph(hint))
	}
}
