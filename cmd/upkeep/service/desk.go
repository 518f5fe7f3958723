package service

import (
	"context"
	"time"
)

const (
	// settleAtMost bounds how long nobody looks at the open incidents: a clock
	// that jumps must not hold anything up for longer.
	settleAtMost = time.Hour
	// settleAgain is how long after a failure it is tried again.
	settleAgain = 15 * time.Second
)

// settleIncidents does what time does to open incidents until ctx ends. It
// looks when the ledger says so, and when something ends by itself.
func (d *Daemon) settleIncidents(ctx context.Context) {
	for {
		now := time.Now()
		next, err := d.ledger.Settle(ctx, now)
		wait := settleAtMost
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.o.Log.WarnContext(ctx, "look at the open incidents", "error", err, "again_in", settleAgain)
			wait = settleAgain
		case !next.IsZero():
			wait = min(wait, max(next.Sub(now), 0))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-d.unsettled:
			timer.Stop()
		case <-timer.C:
		}
	}
}
