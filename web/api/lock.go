package api

import (
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
	Holders []LockHolder `json:"holders" nullable:"false"`
	Waiters []LockWaiter `json:"waiters" nullable:"false"`
}

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
	l.Holders, l.Waiters = append([]LockHolder{}, l.Holders...), append([]LockWaiter{}, l.Waiters...)
	return l
}
