package jobs

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// Answer is what came of asking a probe.
type Answer struct {
	// Result is what the probe found; Err is why it could not, or, when Late,
	// that it did not answer in time.
	Result Result
	Err    error
	// Took is how long it took, at most a little more than the limit.
	Took time.Duration
	// Late tells that the limit passed; Panicked that the probe panicked.
	Late, Panicked bool
	// Gone is closed when the probe has returned. One that ignores its context
	// is left behind, and returns whenever it likes.
	Gone <-chan struct{}
}

// Ask runs a probe once. The limit is enforced from outside: a probe that does
// not end with its context is left behind. The end of ctx itself is an Answer
// with its cause as Err that is not Late.
func Ask(ctx context.Context, env *Env, probe Job, limit time.Duration) Answer {
	late := fmt.Errorf("no answer within %s", limit)
	inner, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	start, gone := time.Now(), make(chan struct{})
	answers := make(chan Answer, 1)
	go func() {
		defer close(gone)
		defer func() {
			if p := recover(); p != nil {
				env.Printf("panic: %v\n%s", p, debug.Stack())
				answers <- Answer{Err: fmt.Errorf("the check panicked: %v", p), Panicked: true}
			}
		}()
		r, err := probe.Run(inner, env)
		answers <- Answer{Result: r, Err: err}
	}()
	var a Answer
	select {
	case a = <-answers:
	case <-inner.Done():
		a.Err = context.Cause(inner)
	}
	a.Took, a.Gone = time.Since(start), gone
	if a.Err != nil && context.Cause(inner) == late { //nolint:errorlint // this very error, and no other deadline
		a.Late, a.Err = true, late
	}
	return a
}
