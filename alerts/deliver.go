package alerts

import (
	"context"
	"fmt"
	"runtime/debug"
)

// slowError is the cause of a message that took too long.
type slowError struct{}

func (slowError) Error() string { return fmt.Sprintf("the channel took longer than %s", sendTimeout) }

// Deliver calls Send and returns after 30 s at the latest, or when ctx ends,
// also when the channel ignores its context; what it goes on doing then is
// nobody's business any more. A channel that panics has returned an error.
func Deliver(ctx context.Context, c Channel, m Message) (receipt string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, sendTimeout, slowError{})
	defer cancel()
	type answer struct {
		receipt string
		err     error
	}
	answered := make(chan answer, 1) // never blocks whoever comes too late
	go func() {
		var a answer
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: fmt.Errorf("the channel panicked: %v\n%s", p, debug.Stack())}
			}
			answered <- a
		}()
		a.receipt, a.err = c.Send(ctx, m)
	}()
	select {
	case a := <-answered:
		if a.err != nil && ctx.Err() != nil {
			return "", fmt.Errorf("%w: %w", context.Cause(ctx), a.err)
		}
		return a.receipt, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-answered: // both at once: what was accepted counts
		return a.receipt, a.err
	default:
		return "", context.Cause(ctx)
	}
}
