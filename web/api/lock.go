package api

import (
	"cmp"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Lock is a named lock: who holds it and who waits for it.
type Lock struct {
	Name  string `json:"name"`
	Limit int    `json:"limit" doc:"how many jobs may hold it at once"`
	In    string `json:"in" doc:"the database in which it is kept too, for other tools; empty for none"`
	// Holders are those who have it, since the longest first, and Waiters those
	// who want it, in the order in which they get it.
	Holders []LockOwner  `json:"holders" nullable:"false"`
	Waiters []LockWaiter `json:"waiters" nullable:"false"`
	Others  []OtherOwner `json:"others" nullable:"false" doc:"who has it in the database and not in the ledger: other tools, and for a moment jobs that were killed"`
	Unknown string       `json:"unknown" doc:"why it is not known who has it in the database; empty when it is known, or when it is kept in none"`
}

// LockOwner is a job that holds a named lock in the ledger.
type LockOwner struct {
	LockHolder

	Waits bool `json:"waits" doc:"it does not have the lock in the database: it waits for it there, is about to give it back, or lost it and is being ended"`
}

// OtherOwner is who holds a named lock in the database in which it is kept too,
// and not in the ledger.
type OtherOwner struct {
	Name      string     `json:"name" doc:"what it says of itself: what stands before the last colon of its token; empty for nothing"`
	ExpiresAt *time.Time `json:"expires_at" doc:"when it loses the lock unless it renews it; null for never"`
}

// Called names it for people.
func (o OtherOwner) Called() string { return cmp.Or(o.Name, "another tool") }

// LockWaiter is a job that waits for a named lock.
type LockWaiter struct {
	Run      runner.RunID `json:"run"`
	Workflow string       `json:"workflow"`
	Job      string       `json:"job"`
	Owner    string       `json:"owner" doc:"the instance that executes the run"`
	Node     string       `json:"node"`
	Since    time.Time    `json:"since"`
	Passed   int          `json:"passed" doc:"how often one that came later went first, because another lock kept this one from beginning"`
}

// Locks are the named locks that are configured, held or waited for, by name.
type Locks struct {
	Locks []Lock `json:"locks" nullable:"false"`
}

// Filled returns l with lists that are not null.
func (l Lock) Filled() Lock {
	l.Holders, l.Waiters, l.Others = filled(l.Holders), filled(l.Waiters), filled(l.Others)
	return l
}
