package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrStale reports that a write came from an owner or an epoch that no longer
// holds the run: somebody took it over, reopened it or ended it. The writer
// must stop at once, without a word to anybody.
var ErrStale = errors.New("the run is held by another owner or a later epoch")

// ErrNotClaimable reports that a run is final, or is executed by an instance
// that is alive.
var ErrNotClaimable = errors.New("the run cannot be claimed")

// ErrNotFound reports that the ledger has no such run or attempt.
var ErrNotFound = errors.New("not found in the ledger")

// ErrUnavailable reports that the ledger could not be reached or written just
// now: the server is away, another process writes, the disk is full. The same
// call may be repeated later, also when it is not known whether it succeeded.
var ErrUnavailable = errors.New("the ledger is not available")

// ErrNoSpace reports that the ledger could not be written because its disk is
// full. It is one way of being unavailable: an error that wraps it wraps
// ErrUnavailable too.
var ErrNoSpace = fmt.Errorf("%w: no space is left on its disk", ErrUnavailable)

// ErrLeaseLost reports that this instance could not prove in time that it is
// alive: others may take over its runs, so it must stop working on them.
var ErrLeaseLost = errors.New("the instance lost its lease")

// AmbiguousError reports that a shortened ID fits several runs or incidents.
type AmbiguousError struct {
	// Of is what the IDs are of: "run" or "incident"; empty means runs.
	Of     string
	Prefix string
	IDs    []RunID
}

// Error names the prefix and how many it fits.
func (e *AmbiguousError) Error() string {
	of := cmp.Or(e.Of, "run")
	return fmt.Sprintf("%s %q is ambiguous: it fits %d %ss or more", of, e.Prefix, len(e.IDs), of)
}

// Claim is the right to write a run's progress. Every write checks that Owner
// and Epoch still hold the run.
type Claim struct {
	Run   RunID
	Owner string
	Epoch int64
}

// Submission is the answer to one Request.
type Submission struct {
	Run RunID
	// Host is that of the request: the node whose share the run is, or empty.
	Host string
	// Duplicate tells that (workflow, slot, host) was on record already; Run
	// is then the existing run.
	Duplicate bool
	// State, Reason and Message are those of the run: Queued, Skipped with why,
	// or whatever became of an existing one.
	State   State
	Reason  Reason
	Message string
}

// Start asks to record that an attempt begins.
type Start struct {
	Attempt Attempt
	// Locks are the named locks that the attempt needs, all or none.
	Locks []string
	// Limits are how many may hold a lock at once, by its name; a lock that is
	// not named here is for one.
	Limits map[string]int
}

// Places is how many may hold a lock at once, at least 1.
func (s Start) Places(lock string) int { return max(s.Limits[lock], 1) }

// End records that an attempt ended. An attempt that never began, such as a
// skipped job, is recorded by End alone. A Lost attempt of an earlier claim may
// be ended as Lost once more, to add the output that its dead process left.
type End struct {
	Attempt Attempt
	Output  Output
}

// Finish ends a run.
type Finish struct {
	State   State
	Reason  Reason
	Message string
}

// Step is one move of a run, recorded in one transaction: attempts that ended
// (their locks are freed first), attempts that begin, and the end of the run.
type Step struct {
	Ended []End
	Begun []Start
	// Planned are running attempts that are about to do what may end upkeep
	// itself, by job name.
	Planned map[string]string
	Finish  *Finish
}

// Blocked says why a Start was not recorded: others hold a lock, of whom Holder
// is the one who has it for the longest.
type Blocked struct {
	Job, Lock string
	Holder    LockHolder
	// Ahead tells that the lock is free, and Holder is who has waited for it for
	// longer and has not taken it yet; AcquiredAt is since when.
	Ahead bool
}

// LockHolder is who holds a named lock and since when.
type LockHolder struct {
	Lock       string
	Run        RunID
	Workflow   string
	Job        string
	Owner      string
	Node       string
	AcquiredAt time.Time
}

// LockWait is a job that waits for a named lock.
type LockWait struct {
	Lock string
	Run  RunID
	// Workflow and Job name what waits, Owner and Node who executes its run.
	Workflow, Job, Owner, Node string
	// Since is when it asked first, by the clock of the ledger's database.
	Since time.Time
	// Passed is how often one that asked later went first.
	Passed int
}

// Ledger is the write side of the truth about runs, as the ticker, the
// executor and the command line use it. Every method is one transaction,
// blocks until it is durable, may be called from several goroutines, and
// returns the database's error wrapped with what was being done.
type Ledger interface {
	// Submit records requests as runs, all or none. A request whose
	// (workflow, slot, host) exists changes nothing and is answered with the
	// existing run, so submitting again is safe. A request with OverlapSkip
	// becomes Skipped when another run of its workflow is open.
	Submit(ctx context.Context, requests ...Request) ([]Submission, error)
	// Claim makes this instance the owner of a queued run, or of a running one
	// whose owner is dead, under the next epoch, and returns the run as it then
	// is. Attempts that the dead owner left running become Lost with reason
	// crash, except planned ones, which stay Running under the new epoch.
	// ErrNotClaimable and ErrNotFound are expected answers, also for a run that
	// waits for approval or, with OverlapQueue, for older runs of its workflow.
	Claim(ctx context.Context, id RunID) (Claim, Run, error)
	// Advance records one step. It returns the starts that a lock blocked;
	// the others are on record. A blocked start waits in line for its locks as
	// long as every step of the run that begins something asks for it again:
	// who came first goes first, and may be passed a few times while something
	// else keeps it. ErrStale when the claim no longer holds: nothing was
	// written then.
	Advance(ctx context.Context, c Claim, s Step) ([]Blocked, error)
	// Release gives a running run back to the queue under the next epoch, so
	// that it goes on elsewhere or after the next start. ErrStale as above.
	Release(ctx context.Context, c Claim) error
	// Cancel asks for the end of an open run. A queued run ends at once, a
	// running one when its owner sees the flag. Canceling again, or a final
	// run, changes nothing. It returns the run's state before.
	Cancel(ctx context.Context, id RunID, by string) (State, error)
	// Reopen queues a final run again under the next epoch. Attempts that are
	// not Done, and all attempts of the jobs in reopen, are marked Superseded.
	// ErrNotClaimable when the run is still open.
	Reopen(ctx context.Context, id RunID, reopen []string, by string) error
}

// Filter selects runs. Zero fields select everything.
type Filter struct {
	Workflow string
	States   []State
	Triggers []Trigger
	// Slot selects the runs whose slot lies in the second that begins with it;
	// it goes with Workflow.
	Slot time.Time
	// Since and Until bound the time at which a run was recorded: Since <= t < Until.
	Since, Until time.Time
	// Before continues a list: only runs recorded before this one.
	Before RunID
	// Limit is the most runs to return; 0 means 50.
	Limit int
}

// Reader is the read side of the ledger, shared by the command line and the
// API. Reads never block writes, see only committed data, and work while
// another process owns the ledger.
type Reader interface {
	// Runs returns the runs that f selects, newest first.
	Runs(ctx context.Context, f Filter) ([]Run, error)
	// Run returns one run by its ID or an unambiguous beginning of it.
	// ErrNotFound or *AmbiguousError otherwise.
	Run(ctx context.Context, idOrPrefix string) (Run, error)
	// Attempts returns all attempts of the given runs, ordered by run, start,
	// job and number.
	Attempts(ctx context.Context, runs ...RunID) ([]Attempt, error)
	// Output returns what an attempt wrote. For an attempt that is still
	// running it returns what has been written so far when this machine can
	// see it. ErrNotFound when there is none.
	Output(ctx context.Context, key AttemptKey) (Output, error)
	// Past returns at most limit ended attempts of a job with state Succeeded
	// or Warned from runs that were not dry, newest first, leaving out the run
	// except; when that is the share of one node, only what that node did, and of
	// other workflows also what was for any node.
	Past(ctx context.Context, workflow, job string, except RunID, limit int) ([]Attempt, error)
	// Latest returns the newest run of each named workflow that has one. Where
	// each node has a run of its own it is the gravest of the newest slot: that
	// one node is well says nothing of the others.
	Latest(ctx context.Context, workflows []string) (map[string]Run, error)
}

// Watcher is how the owner of runs learns what others asked for.
type Watcher interface {
	// Watch is one short read. It returns for each of the claims, in their
	// order, why its run must end: *CanceledError when somebody asked for that,
	// ErrStale when the claim no longer holds, else nil. The error says that
	// nothing is known about any of them.
	Watch(ctx context.Context, claims ...Claim) (causes []error, err error)
}

// Backlog finds runs that have nobody who works on them.
type Backlog interface {
	// Pending returns at most limit runs that are queued, or running under a
	// dead owner, recorded after the run after, oldest first.
	Pending(ctx context.Context, after RunID, limit int) ([]RunID, error)
}
