package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
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

const exitHelp = `Exit codes:
  0 ok · 1 run failed · 2 usage or configuration · 3 not found · 4 skipped or locked
  5 succeeded with warnings · 6 refused by a safety rail · 75 temporary, try again
  124 timed out · 130 canceled`

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// runEnded carries the end of a run to the exit code; what happened has been
// shown already.
type runEnded struct{ run runner.Run }

func (e *runEnded) Error() string { return fmt.Sprintf("run %s %s", e.run.ID, e.run.State) }

// problemsFound says that validation found something; it has been shown
// already.
type problemsFound struct{ count int }

func (e *problemsFound) Error() string { return fmt.Sprintf("%d problems", e.count) }

// codeOf is the one place that turns an error into an exit code.
func codeOf(err error) int {
	switch {
	case err == nil:
		return exitOK
	case is[*usageError](err), is[configs.Problems](err), is[*problemsFound](err), is[*runner.AmbiguousError](err):
		return exitUsage
	case is[*runEnded](err):
		ended, _ := errors.AsType[*runEnded](err)
		return codeOfRun(ended.run)
	case errors.Is(err, runner.ErrNotFound):
		return exitNotFound
	case is[*ledger.LockedError](err):
		return exitTemporary
	case is[*jobs.RefusedError](err):
		return exitRefused
	case errors.Is(err, runner.ErrNotClaimable):
		return exitSkipped
	case errors.Is(err, context.Canceled):
		return exitCanceled
	}
	return exitFailed
}

func codeOfRun(r runner.Run) int {
	switch r.State {
	case runner.Succeeded:
		return exitOK
	case runner.Warned:
		return exitWarned
	case runner.Canceled:
		return exitCanceled
	case runner.Skipped:
		return exitSkipped
	case runner.Queued, runner.Running:
		return exitTemporary
	default:
		return codeOfReason(r.Reason)
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
	if err == nil || is[*runEnded](err) || is[*problemsFound](err) {
		return code
	}
	writeError(a.std.Err, err)
	if is[*usageError](err) && cmd != nil {
		fmt.Fprintf(a.std.Err, "hint: %s --help\n", cmd.CommandPath())
	}
	return code
}

// writeError shows an error as "error: …" and, when somebody gave advice, a
// line "hint: …".
func writeError(w io.Writer, err error) {
	if problems, ok := errors.AsType[configs.Problems](err); ok {
		fmt.Fprintln(w, problems.Error())
		return
	}
	fmt.Fprintf(w, "error: %s\n", strings.TrimSpace(err.Error()))
	if hint := jobs.HintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}
