package service

import (
	"context"
	"time"
)

// idleEvery is how often somebody who waits for idleness looks. Nobody waits
// most of the time.
const idleEvery = 100 * time.Millisecond

// idle blocks until no run is under way, or ctx ends; it returns the cause
// then.
func (e *Engine) idle(ctx context.Context) error {
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	for e.queue.Running() > 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}
