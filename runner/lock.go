package runner

import (
	"context"
	"errors"
	"fmt"
)

// ErrLockLost is the cause of contexts that end because a lock outside of the
// ledger was lost; match it with errors.Is.
var ErrLockLost = errors.New("a lock was lost")

// LockLostError is the cause of a context whose job no longer holds a lock that
// is kept outside of the ledger.
type LockLostError struct {
	Lock string
	// Why says how it was lost: it is somebody else's, gone, or could not be
	// renewed in time.
	Why string
}

// Error says which lock was lost and how.
func (e *LockLostError) Error() string { return fmt.Sprintf("the lock %s was lost: %s", e.Lock, e.Why) }

// Is makes errors.Is(err, ErrLockLost) true.
func (e *LockLostError) Is(target error) bool { return target == ErrLockLost }

// Locker takes locks that are kept outside of the ledger, where tools other than
// upkeep take part. A job asks for them when it holds its locks in the ledger,
// and gives them back before those.
type Locker interface {
	// Hold waits until it has those of the named locks that it keeps, all or
	// none, and returns nil when it keeps none of them. tell is called with what
	// it waits for, once for each holder; lost once when a lock that was held is
	// so no longer, by another goroutine. The error is the cause of ctx's end, or
	// says why the locks can never be had.
	Hold(ctx context.Context, who AttemptKey, locks []string, tell func(string), lost func(*LockLostError)) (HeldLocks, error)
}

// HeldLocks are locks that an attempt holds outside of the ledger.
type HeldLocks interface {
	// Fences are the fencing numbers by the names of the locks: each holder of a
	// lock has a larger one than those before it.
	Fences() map[string]int64
	// Release gives the locks back, as far as they are still held. The error says
	// that they could not be given back, and so are free only when they expire.
	Release(ctx context.Context) error
}
