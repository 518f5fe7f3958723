package runner

import (
	"maps"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// RunID identifies a run: a UUID of version 7 in its canonical text form, so
// that IDs sort by the time at which runs were recorded.
type RunID string

// State is where a run or an attempt stands. doc.go draws the transitions.
type State string

// The states. Queued and Running are open, the others are final until a retry
// reopens the run. Attempts are never Queued.
const (
	Queued    State = "queued"
	Running   State = "running"
	Succeeded State = "succeeded"
	Warned    State = "warned"
	Failed    State = "failed"
	Canceled  State = "canceled"
	Skipped   State = "skipped"
	Lost      State = "lost"
)

// States lists all states in the order of life.
func States() []State {
	return []State{Queued, Running, Succeeded, Warned, Failed, Canceled, Skipped, Lost}
}

// Final tells whether s is an end.
func (s State) Final() bool { return s != Queued && s != Running }

// Done tells whether an attempt in state s has done its work, so that a retry
// does not repeat it and jobs that need it may start.
func (s State) Done() bool { return s == Succeeded || s == Warned }

// GraverThan tells whether s outdoes other where one state stands for a slot that
// several nodes ran: what failed before what did not, and last what a node left
// out.
func (s State) GraverThan(other State) bool {
	order := []State{Failed, Lost, Canceled, Warned, Running, Queued, Succeeded, Skipped}
	return slices.Index(order, s) < slices.Index(order, other)
}

// Reason says why a run or an attempt is in its state. Succeeded needs none.
type Reason string

// The reasons.
const (
	ReasonError     Reason = "error"     // the job returned an error
	ReasonPermanent Reason = "permanent" // the job returned an error that no retry can cure
	ReasonFindings  Reason = "findings"  // findings decided the state
	ReasonPanic     Reason = "panic"     // the kind's code panicked
	ReasonTimeout   Reason = "timeout"   // a job or run timeout ended it
	ReasonUser      Reason = "user"      // a person canceled it
	ReasonRefused   Reason = "refused"   // a safety rail refused
	ReasonOverlap   Reason = "overlap"   // the previous run was still open
	ReasonWindow    Reason = "window"    // outside the maintenance window
	ReasonPaused    Reason = "paused"    // the workflow was paused
	ReasonMissed    Reason = "missed"    // nothing ran at the slot and catch-up did not apply
	ReasonCondition Reason = "condition" // `if:`, `when:` or `needs:` ruled the job out
	ReasonShutdown  Reason = "shutdown"  // the process stopped in good order
	ReasonCrash     Reason = "crash"     // the process that ran it died
	ReasonLockLost  Reason = "lock_lost" // the lease or a lock was lost
	ReasonSpec      Reason = "spec"      // the frozen workflow no longer loads
	ReasonSpace     Reason = "space"     // no room was left on the disk
)

// Trigger says why a run exists.
type Trigger string

// The triggers.
const (
	BySchedule Trigger = "schedule"
	ByCatchUp  Trigger = "catch_up"
	ByManual   Trigger = "manual"
	ByAPI      Trigger = "api"
	ByCheck    Trigger = "check"
)

// Spec is a workflow as it was when its run was recorded: the YAML text of the
// workflow, unexpanded, so that no secret is in it.
type Spec struct {
	// Workflow is the workflow's name.
	Workflow string
	// Text is the YAML of the value under `workflows.<name>`.
	Text string
	// Digest is the SHA-256 of Text in lower-case hexadecimal.
	Digest string
}

// ParamPlan is the name under which the parameters of a run carry the plan that
// its only job may carry out (jobs.Env.Plan). No workflow can declare it.
const ParamPlan = "@plan"

// Request asks for one run.
type Request struct {
	Spec Spec
	// Slot is the instant at which the run is due, UTC, kept to the
	// microsecond. (workflow, slot, host) is the identity of a run. For runs
	// that people ask for it is the instant of asking.
	Slot time.Time
	// Host is set for workflows that run on every node: the node's name.
	Host    string
	Trigger Trigger
	// Params are the values of the workflow's parameters by name, and under
	// ParamPlan the plan that the run may carry out.
	Params map[string]string
	// Jobs restricts the run to these jobs; empty means all.
	Jobs []string
	// DryRun makes every effect a description.
	DryRun bool
	// By names who asked, such as "cron" or "anna@db-1 (cli)".
	By string
	// State, Reason and Message record a slot that is not to run at all
	// (Skipped, with why); the zero State means Queued.
	State   State
	Reason  Reason
	Message string
	// Overlap is what happens when another run of the workflow is open.
	Overlap Overlap
	// Approval makes the run wait until somebody approves it.
	Approval bool
	// Alert tells that nobody watches the run, so that its bad end is a fault.
	Alert bool
	// Slots is how many slots the row stands for, the first of which is Slot
	// and the last LastSlot; 0 and the zero time mean one.
	Slots    int64
	LastSlot time.Time
	// Target says which nodes may execute the run. With Host it is that node,
	// whatever Target says.
	Target Target
	// StartBy is the latest instant at which the run may begin: when it is still
	// queued then, it becomes Skipped as missed; zero for never, UTC.
	StartBy time.Time
	// Budget bounds how often a check may start runs of the workflow, over all
	// nodes; nil for no bound. It is looked at when the run is recorded, and not
	// kept: a run beyond it is recorded as Skipped.
	Budget *Budget
}

// Place returns the Target that counts: with Host that node.
func (r Request) Place() Target {
	if r.Host != "" {
		return OnNode(r.Host)
	}
	return r.Target
}

// Arguments returns the values of the workflow's own parameters.
func (r Request) Arguments() map[string]string {
	if _, ok := r.Params[ParamPlan]; !ok {
		return r.Params
	}
	own := maps.Clone(r.Params)
	delete(own, ParamPlan)
	return own
}

// Run is one execution of a workflow.
type Run struct {
	ID RunID
	Request
	State  State
	Reason Reason
	// Message is one line for people about the end, empty when all is well.
	Message string
	// ApprovedBy names who approved a run with Approval; empty while it waits.
	ApprovedBy string
	// Owner is the instance that executes or executed the run last; Node is
	// that instance's node name. Both are empty until the first claim.
	Owner, Node string
	// Epoch grows with every claim, takeover and retry.
	Epoch int64
	// CanceledBy names who asked for the run's end; empty when nobody did.
	CanceledBy string
	// ReopenedBy names who asked for the last retry; empty when nobody did.
	ReopenedBy string
	// QueuedAt, StartedAt and FinishedAt are UTC; zero when not reached.
	// StartedAt is that of the first claim.
	QueuedAt, StartedAt, FinishedAt time.Time
}

// Attempt is one try of one job in a run. (Run, Job, Number) is its identity.
type Attempt struct {
	Run    RunID
	Job    string
	Kind   string
	Number int
	// Epoch is the run's epoch under which the attempt began.
	Epoch  int64
	State  State
	Reason Reason
	// Error is what went wrong, one or a few lines without secrets; Hint is
	// what a person can do about it.
	Error, Hint string
	// ExitCode is the exit code of the attempt's child process, or -1 when
	// there is none to tell.
	ExitCode              int
	StartedAt, FinishedAt time.Time
	Result                jobs.Result
	// Planned says what the job is about to do that may end upkeep itself, such
	// as "reboot"; empty when nothing. An attempt that dies after that is not
	// Lost: the next owner of the run judges what it left.
	Planned string
	// Superseded marks an attempt that a retry reopened: it stays on record
	// and no longer counts for the run's progress.
	Superseded bool
	// OutputBytes is the length of everything the attempt wrote; OutputCut is
	// how much of that was not kept.
	OutputBytes, OutputCut int64
}

// Output is the captured output of one attempt: its first and its last bytes.
type Output struct {
	// Head holds the first bytes and Tail the last ones; when nothing was cut
	// Tail continues Head without a gap.
	Head, Tail []byte
	// Cut is the exact number of bytes between Head and Tail that were not
	// kept.
	Cut int64
}

// AttemptKey identifies an attempt.
type AttemptKey struct {
	Run    RunID
	Job    string
	Number int
}

// Key returns the attempt's identity.
func (a Attempt) Key() AttemptKey { return AttemptKey{Run: a.Run, Job: a.Job, Number: a.Number} }

// Triggers lists all triggers.
func Triggers() []Trigger { return []Trigger{BySchedule, ByCatchUp, ByManual, ByAPI, ByCheck} }
