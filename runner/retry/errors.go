package retry

import (
	"errors"
	"fmt"
	"time"
)

// Permanent marks err as one that another attempt cannot cure, such as a wrong
// password or a missing file. The text of the error does not change and
// errors.Is and errors.As see through the mark. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err: err}
}

// IsPermanent reports whether err, or any error that it wraps, was marked by
// Permanent.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*permanentError](err)
	return ok
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// After marks err with the wait that the other side asked for, such as the
// Retry-After header of a busy server; the next attempt starts that long after
// this one ended, whatever the Policy computes. A negative wait counts as 0.
// The text of the error does not change. After(nil, d) is nil.
func After(err error, wait time.Duration) error {
	if err == nil {
		return nil
	}
	return &afterError{err: err, wait: max(wait, 0)}
}

// AfterOf returns the wait that After put on err or on an error that it wraps;
// the outermost mark counts.
func AfterOf(err error) (wait time.Duration, ok bool) {
	marked, ok := errors.AsType[*afterError](err)
	if !ok {
		return 0, false
	}
	return marked.wait, true
}

type afterError struct {
	err  error
	wait time.Duration
}

func (e *afterError) Error() string { return e.err.Error() }
func (e *afterError) Unwrap() error { return e.err }

// StoppedError is what Do returns when more than one attempt failed, or when
// its context ended before it could succeed. errors.Is and errors.As see both
// Last and Cause.
type StoppedError struct {
	// Attempts is how many attempts were made, 0 when the context was dead
	// before the first.
	Attempts int
	// Last is the error of the last attempt; an earlier one when the last only
	// repeated that its context had ended; nil when there was no attempt.
	Last error
	// Cause is why there was no further attempt although the policy allowed
	// one: the cause of the context, or [ErrNoTime]. It is nil when the policy
	// itself ended the attempts.
	Cause error
}

// ErrNoTime is the cause of a StoppedError when the deadline of the context
// lies before the end of the next wait, so that waiting would be in vain.
var ErrNoTime = errors.New("the deadline comes before the next attempt")

// Error names the number of attempts, why they ended and the last error.
func (e *StoppedError) Error() string {
	attempts := "1 attempt"
	if e.Attempts != 1 {
		attempts = fmt.Sprintf("%d attempts", e.Attempts)
	}
	switch {
	case e.Attempts == 0:
		return fmt.Sprintf("not attempted: %v", e.Cause)
	case e.Cause == nil:
		return fmt.Sprintf("gave up after %s: %v", attempts, e.Last)
	default:
		return fmt.Sprintf("stopped after %s (%v): %v", attempts, e.Cause, e.Last)
	}
}

// Unwrap returns Last and Cause, those that are not nil.
func (e *StoppedError) Unwrap() []error {
	var wrapped []error
	for _, err := range []error{e.Last, e.Cause} {
		if err != nil {
			wrapped = append(wrapped, err)
		}
	}
	return wrapped
}
