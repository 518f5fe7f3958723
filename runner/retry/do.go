package retry

import (
	"context"
	"errors"
	"time"
)

// Failure is one failed attempt that will be followed by another.
type Failure struct {
	// Attempt is the number of the attempt that failed, counting from 1.
	Attempt int
	// Err is what it returned.
	Err error
	// Wait is how long Do waits before the next one.
	Wait time.Duration
}

// Do calls operation until it succeeds, until policy allows no further
// attempt, or until ctx ends. It never calls operation on a context that is
// already dead, and it does not sit out a wait that would outlast the deadline
// of ctx. Each watch is told of every failure that will be followed by another
// attempt, before the wait; it must not block.
//
// The error of a single attempt is returned as it is. After several attempts,
// or when ctx ended them, the error is a [*StoppedError] that holds the last
// error of operation and, wrapped, context.Cause(ctx).
func Do(ctx context.Context, policy Policy, operation func(context.Context) error, watch ...func(Failure)) error {
	var last error
	for attempt := 1; ; attempt++ {
		if ctx.Err() != nil {
			return &StoppedError{Attempts: attempt - 1, Last: last, Cause: context.Cause(ctx)}
		}
		err := operation(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			if last == nil || !echoes(ctx, err) {
				last = err
			}
			return &StoppedError{Attempts: attempt, Last: last, Cause: context.Cause(ctx)}
		}
		last = err
		wait, again := policy.Next(attempt, err, nil)
		if !again {
			if attempt == 1 {
				return err
			}
			return &StoppedError{Attempts: attempt, Last: err}
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return &StoppedError{Attempts: attempt, Last: err, Cause: ErrNoTime}
		}
		for _, tell := range watch {
			tell(Failure{Attempt: attempt, Err: err, Wait: wait})
		}
		if !sleep(ctx, wait) {
			return &StoppedError{Attempts: attempt, Last: err, Cause: context.Cause(ctx)}
		}
	}
}

// echoes reports whether err only repeats that ctx ended. Such an error would
// hide the one that a person needs to read.
func echoes(ctx context.Context, err error) bool {
	return errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))
}

// sleep waits and reports whether ctx lived through it.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
