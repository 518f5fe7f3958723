package runner

import (
	"context"
	"time"
)

// ActionEnd is what became of an action.
type ActionEnd string

// The ends of actions.
const (
	ActionDone    ActionEnd = "done"    // it was carried out
	ActionRefused ActionEnd = "refused" // who asked may not, or is not known
	ActionFailed  ActionEnd = "failed"  // it made no sense or did not succeed
)

// Action is one line of the audit: who asked for what, from where, and what
// became of it.
type Action struct {
	// ID is given to an action that has none when it is recorded; it orders
	// them by time.
	ID string
	At time.Time
	// Who is the name that was proven by Means, such as token; of a refusal it
	// may be empty. Role is what they may do.
	Who   string
	Role  Role
	Means string
	// From is the address of the client, or socket. Via is what it calls itself.
	From, Via string
	// What is the operation, such as cancel-run, Subject what it was about.
	What, Subject string
	End           ActionEnd
	// Status is that of the answer, as in HTTP. RequestID is under which the log
	// has it.
	Status    int
	RequestID string
	// Count is how many alike it stands for, at least 1; only refusals are
	// counted together.
	Count int
}

// ActionFilter selects actions.
type ActionFilter struct {
	// Who, What and End select by equality; empty means any.
	Who, What string
	End       ActionEnd
	// Since and Until bound At, Until excluded; zero means unbounded.
	Since, Until time.Time
	// Before continues a list: only actions before the one with this ID.
	Before string
	// Limit is the most to return; 0 means 50.
	Limit int
}

// Auditor records actions.
type Auditor interface {
	// Audit records actions, all or none. One whose ID is on record stays as it
	// is.
	Audit(ctx context.Context, actions ...Action) error
}

// AuditReader reads what Auditor recorded.
type AuditReader interface {
	// Actions returns the actions that f selects, newest first.
	Actions(ctx context.Context, f ActionFilter) ([]Action, error)
}
