package object

import (
	"errors"
	"fmt"
	"time"
)

// What stores say about failures that have a remedy of their own. An error
// that wraps one of them carries a hint.
var (
	// ErrDenied: the credentials are missing or wrong, or lack a permission.
	ErrDenied = errors.New("access denied")
	// ErrUnreachable: the server did not answer.
	ErrUnreachable = errors.New("unreachable")
	// ErrThrottled: the server asked for fewer requests, or was out of order,
	// again and again.
	ErrThrottled = errors.New("the server is overloaded")
	// ErrClock: the server refused requests because of this machine's clock.
	ErrClock = errors.New("clock skew")
	// ErrWrongPlace: the bucket does not exist or is elsewhere.
	ErrWrongPlace = errors.New("no such place")
)

// LockedError reports that an object may not be removed yet, because it was
// stored with a lock.
type LockedError struct {
	// Key is the object, or the folder of an artifact.
	Key string
	// Until is when the lock ends, UTC; zero when the store does not tell.
	Until time.Time
}

// Error says until when.
func (e *LockedError) Error() string {
	if e.Until.IsZero() {
		return e.Key + " is locked"
	}
	return fmt.Sprintf("%s is locked until %s", e.Key, e.Until.UTC().Format(time.RFC3339))
}

// Hint says what to do.
func (e *LockedError) Hint() string { return "nothing: it can be removed when the lock has ended" }
