package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner/retry"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// When decides whether a job starts, given how the jobs it needs ended. A job
// without needs looks at the jobs that stand before it in the workflow only
// for OnFailure and Always, which then wait for all of them.
type When string

// The conditions.
const (
	OnSuccess When = "success" // all needs are Done or may fail (the default)
	OnFailure When = "failure" // a need failed, was lost or canceled, or was skipped because of such a job
	Always    When = "always"  // all needs ended, no matter how; also after cancel and timeout
)

// OnCrash decides what happens to an attempt whose process died.
type OnCrash string

// The choices.
const (
	Restart OnCrash = "restart" // try again (the default)
	Never   OnCrash = "never"   // the job stays Lost and the run fails
)

// Plan is a workflow ready to execute, compiled from a run's frozen Spec.
type Plan struct {
	// Timeout bounds the whole run from its first claim; 0 means none.
	Timeout time.Duration
	// Parallel is the most jobs that run at once, at least 1.
	Parallel int
	// KillGrace is how long a child may take to end before it is killed.
	KillGrace time.Duration
	// Root is the configuration's root folder, absolute.
	Root string
	// Zone is the time zone of the workflow's schedule; nil means UTC.
	Zone *time.Location
	// Window binds runs of the triggers schedule and catch_up that nobody
	// reopened: they do not begin outside it, and its OnClose says what
	// happens to those under way at its close. The zero Window is always open.
	Window schedule.Window
	// Jobs are in the order of the file.
	Jobs []PlannedJob
}

// PlannedJob is one job of a Plan.
type PlannedJob struct {
	Name, Kind string
	Needs      []string
	When       When
	// If is an expression over earlier results; empty means true. It is
	// compiled by executor.CompileCondition when the workflow loads.
	If string
	// ContinueOnError makes a failure count as a warning for the run and
	// satisfies needs.
	ContinueOnError bool
	// FailOn is the severity of findings from which the attempt fails; empty
	// means never.
	FailOn jobs.Severity
	// Timeout bounds one attempt; 0 means none.
	Timeout time.Duration
	// Retry.Max is how many attempts may follow the first.
	Retry retry.Policy
	// RetryExitCodes restricts retries to these exit codes of a child process;
	// empty means every error that is not permanent.
	RetryExitCodes []int
	OnCrash        OnCrash
	// Locks are named locks beside those that the job itself names.
	Locks []string
	// Build makes the job for one attempt, resolving secrets anew, and returns
	// the secret texts that the attempt can see, for the redactor.
	Build func(h HistoryReader) (jobs.Job, []string, error)
}

// HistoryReader makes the histories that jobs ask for through jobs.Deps.
type HistoryReader func(workflow, job string) jobs.History

// Compiler turns a frozen workflow into a plan. The configuration loader is
// one; the executor calls it once per claim.
type Compiler interface {
	// Compile decodes spec.Text strictly with the run's parameters against the
	// stores, databases and checks of the present configuration. It does not
	// resolve secrets; Build does. Its error says why an older or newer text no
	// longer loads.
	Compile(ctx context.Context, spec Spec, params map[string]string) (Plan, error)
}

// ErrTimeout is the cause of contexts that a timeout of ours ended; match it
// with errors.Is.
var ErrTimeout = errors.New("timed out")

// TimeoutError is the cause of a context that ended by a configured timeout.
type TimeoutError struct {
	What  string
	After time.Duration
}

// Error says what timed out after how long.
func (e *TimeoutError) Error() string { return fmt.Sprintf("%s timed out after %s", e.What, e.After) }

// Is makes errors.Is(err, ErrTimeout) true.
func (e *TimeoutError) Is(target error) bool { return target == ErrTimeout }

// WindowError is the cause of a context that ended because the maintenance
// window of its workflow closed.
type WindowError struct {
	// Window is the window in words.
	Window string
	// Closed is when it closed; zero when the run went on in another process
	// only after that.
	Closed time.Time
}

// Error says which window closed when.
func (e *WindowError) Error() string {
	if e.Closed.IsZero() {
		return fmt.Sprintf("the window %s is closed", e.Window)
	}
	return fmt.Sprintf("the window %s closed at %s", e.Window, e.Closed.Format("2006-01-02 15:04 MST"))
}

// CanceledError is the cause of a context that a person ended.
type CanceledError struct{ By string }

// Error names the person.
func (e *CanceledError) Error() string { return "canceled by " + e.By }

// ErrShutdown is the cause of contexts that end because the process stops.
var ErrShutdown = errors.New("upkeep is shutting down")

// ErrSuperseded is the cause of contexts that end because another owner took
// the run over, or may do so at any moment. It leaves no time to be polite:
// children are killed at once.
var ErrSuperseded error = supersededError{}

type supersededError struct{}

// Error says what happened.
func (supersededError) Error() string { return "another owner took the run over" }

// AtOnce tells that what ends because of it must not go on for a moment.
func (supersededError) AtOnce() bool { return true }
