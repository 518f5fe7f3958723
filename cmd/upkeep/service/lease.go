package service

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

const (
	// farewellBound is how long the jobs of a process that lost its lease may take
	// to end before it registers anew all the same.
	farewellBound = 30 * time.Second
	// leaseTries is how many times within one interval a renewal that failed is
	// tried again.
	leaseTries = 5
)

// leased sets how the ledger proves to other nodes that this process is alive.
func (e *Engine) leased(lo *ledger.Options) {
	if l := e.Config().Lease; e.shared() {
		lo.LeaseTTL, lo.KeepRuns, lo.TakeOverAfter = l.TTL, l.KeepRuns, l.TTL
	}
}

// beat proves to the other nodes that this one is alive, until ctx ends. When it
// cannot, others may take over what runs here. It asks the database nothing else:
// an answer that is late would hold up the proof.
func (e *Engine) beat(ctx context.Context) {
	every := e.leaseEvery()
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		wait := every
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		switch err := e.renew(ctx, every); {
		case ctx.Err() != nil:
			return
		case errors.Is(err, runner.ErrLeaseLost):
			if !e.lapse(ctx, every, err) {
				return
			}
			ring(e.nodes)
		case err != nil:
			wait = every / leaseTries
			if left := e.ledger.LeaseLeft(); left > 0 {
				wait = min(wait, left)
			}
			e.o.Log.WarnContext(ctx, "the lease could not be renewed yet", "left", e.ledger.LeaseLeft().Round(time.Millisecond), "error", err)
		default:
			ring(e.beaten)
		}
		timer.Reset(wait)
	}
}

// attend looks for nodes that are no longer alive, until ctx ends: after each
// beat, and when one came or left.
func (e *Engine) attend(ctx context.Context) {
	every := e.leaseEvery()
	// left tells to look also for what belongs to nodes that are no longer there.
	left := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.nodes:
			// Somebody came or left, or may have while nobody listened.
			left = true
		case <-e.beaten:
		}
		left = !e.reap(ctx, every, left) && left
	}
}

// leaseEvery is the time between two renewals of the lease.
func (e *Engine) leaseEvery() time.Duration {
	return cmp.Or(e.Config().Lease.Every, ledger.HeartbeatEvery)
}

// renew renews the lease once. It takes no longer than the lease lasts, so that
// its end is noticed in time.
func (e *Engine) renew(ctx context.Context, every time.Duration) error {
	bound := every
	if left := e.ledger.LeaseLeft(); left > 0 {
		bound = min(bound, left)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, bound, errSlowLease)
	defer cancel()
	err := e.ledger.Heartbeat(ctx)
	if err != nil && e.ledger.LeaseLeft() <= 0 && !errors.Is(err, runner.ErrLeaseLost) {
		// It ran out meanwhile. Whether that is the end, the ledger knows.
		return e.ledger.Heartbeat(ctx)
	}
	return err
}

// errSlowLease is the cause of a renewal that took too long.
var errSlowLease = errors.New("the database did not answer in time")

// lapse ends what runs here, because others may take it over, and where there
// are others registers anew as soon as the database answers. Until then nothing
// starts here. A process that has to be the only one, or that only executes what
// it was asked for, ends; false then.
func (e *Engine) lapse(ctx context.Context, every time.Duration, why error) (again bool) {
	if !e.shared() || !e.o.Pending {
		e.o.Log.ErrorContext(ctx, "this process lost the ledger and gives up its runs", "error", why)
		e.stop(runner.ErrSuperseded)
		return false
	}
	e.o.Log.ErrorContext(ctx, "this node lost its lease: its runs are ended here, and nothing new starts until the database answers", "running", e.queue.Running(), "error", why)
	if g := e.gate.Load(); g != nil {
		g.shut(holdLease)
		defer g.open(holdLease)
	}
	select {
	case <-e.hands.drop(runner.ErrSuperseded):
	case <-time.After(farewellBound):
		e.o.Log.ErrorContext(ctx, "some jobs ignore that their run is somebody else's", "running", e.queue.Running())
	case <-ctx.Done():
		return false
	}
	for {
		err := e.registerAnew(ctx, every)
		if err == nil {
			break
		}
		e.o.Log.WarnContext(ctx, "the node could not be registered anew yet", "error", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(every / leaseTries):
		}
	}
	e.o.Log.InfoContext(ctx, "this node is registered anew: runs start again", "instance", e.ledger.Instance())
	return true
}

func (e *Engine) registerAnew(ctx context.Context, every time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, every, errSlowLease)
	defer cancel()
	return e.ledger.Register(ctx)
}

// reap delivers what dead nodes left behind. left tells to look also for what
// belongs to nodes that are no longer on the list. It tells whether it could.
func (e *Engine) reap(ctx context.Context, every time.Duration, left bool) bool {
	if !e.shared() || !e.o.Pending {
		return true
	}
	ctx, cancel := context.WithTimeoutCause(ctx, every, errSlowLease)
	defer cancel()
	ids, err := e.ledger.Abandoned(ctx, left)
	if err == nil && len(ids) > 0 {
		e.o.Log.WarnContext(ctx, "nodes died while they executed runs; somebody takes them over", "runs", len(ids))
		err = e.queue.Deliver(ctx, ids...)
	}
	if err != nil && ctx.Err() == nil {
		e.o.Log.WarnContext(ctx, "look for what dead nodes left behind", "error", err)
	}
	return err == nil
}
