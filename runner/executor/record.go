package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/retry"
)

// writeBound is how long a write may still be tried once the process stops.
const writeBound = 10 * time.Second

// errGivenUp is the cause of writes that a shutdown ended.
var errGivenUp = errors.New("gave up writing, because upkeep is shutting down")

// errUnrecordable is the cause with which jobs end whose run cannot be written.
var errUnrecordable = errors.New("what the run does can no longer be recorded")

// writePolicy waits between tries to reach the ledger. A ledger that is not
// available is tried for ever: what a run did must get on record, and without
// that nothing else can be decided either. Max bounds the tries for other
// errors, which are refusals.
func writePolicy() retry.Policy {
	return retry.Policy{Max: 4, Backoff: retry.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second}}
}

// persist calls do until it succeeds, the claim turns out stale, or the ledger
// refuses for good. It gives up when the run is superseded, and writeBound
// after a shutdown began.
func (r *run) persist(what string, do func(ctx context.Context) error) error {
	return r.persistWithin(r.halt.writes, what, do)
}

// persistWithin also gives up when parent ends.
func (r *run) persistWithin(parent context.Context, what string, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	//nolint:contextcheck // another reason to end than the parent's
	release := context.AfterFunc(r.halt.shutdown, func() {
		select {
		case <-time.After(writeBound):
			cancel(errGivenUp)
		case <-ctx.Done():
		}
	})
	defer release()
	for try := 1; ; try++ {
		err := do(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, runner.ErrStale), errors.Is(err, runner.ErrLeaseLost):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w (%w)", what, context.Cause(ctx), err)
		case try > writePolicy().Max && !errors.Is(err, runner.ErrUnavailable):
			return fmt.Errorf("%s: %w", what, err)
		}
		if errors.Is(err, runner.ErrNoSpace) {
			r.OnNoSpace()
		}
		if try == 1 || try%60 == 0 {
			r.log.Warn("the ledger does not answer; trying again", "doing", what, "try", try, "error", err)
		}
		select {
		case <-time.After(writePolicy().Delay(try, nil)):
		case <-ctx.Done():
		}
	}
}

// advance puts a step on record. Advance may be repeated when its answer was
// lost.
func (r *run) advance(s runner.Step) (blocked []runner.Blocked, err error) {
	err = r.persist("record a step", func(ctx context.Context) (err error) {
		blocked, err = r.Ledger.Advance(ctx, r.claim, s)
		return err //nolint:wrapcheck // persist says what was being done
	})
	return blocked, err
}
