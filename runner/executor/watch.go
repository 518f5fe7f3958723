package executor

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// watch looks every second for a cancel and for a later owner. The function
// that it returns ends the watching.
func (r *run) watch() (stop func()) {
	ctx, cancel := context.WithCancel(r.halt.shutdown)
	over := make(chan struct{})
	go func() {
		defer close(over)
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			by, err := r.Ledger.Watch(ctx, r.claim)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil && urgencyOf(err) == superseded:
				r.halt.end(runner.ErrSuperseded)
			case err != nil:
				r.log.Debug("look for a cancel", "error", err)
			case by != "":
				r.halt.end(&runner.CanceledError{By: by})
			}
		}
	}()
	return func() {
		cancel()
		<-over
	}
}
