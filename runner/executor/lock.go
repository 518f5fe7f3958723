package executor

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// firstLockWait and lastLockWait bound the waits between two tries to take a
	// lock, for those who hear nothing of its release.
	firstLockWait = 500 * time.Millisecond
	lastLockWait  = 2 * time.Second
	// releaseBound is how long giving back locks outside of the ledger may take;
	// they expire by themselves.
	releaseBound = 5 * time.Second
)

// Wake lets jobs that wait for a lock try again at once, because one may be
// free. It does not block and does no harm when none is.
func (e *Executor) Wake() { e.watch.wake(nil) }

// wake lets the jobs of all runs but one try again to take their locks.
func (w *watch) wake(except *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.runs {
		if r != except && r.stands.Load() {
			r.freed.Store(true)
			r.halt.ring()
		}
	}
}

// stand notes whether a job of the run waits for a lock, so that it is woken.
func (r *run) stand() {
	for _, p := range r.graph.places {
		if p.phase == waiting && p.blocked != nil {
			r.stands.Store(true)
			return
		}
	}
	r.stands.Store(false)
}

// unblock lets the jobs that wait for locks ask for them again.
func (r *run) unblock() {
	for _, p := range r.graph.places {
		if p.blocked != nil {
			p.notBefore = time.Time{}
		}
	}
}

// limits are how many may hold each of the locks, as far as that is not one.
func (r *run) limits(locks []string) map[string]int {
	var limits map[string]int
	for _, lock := range locks {
		if n := r.Limit(lock); n > 1 {
			if limits == nil {
				limits = map[string]int{}
			}
			limits[lock] = n
		}
	}
	return limits
}

// blockedBy lets a job wait for a lock. It tells of each holder once.
func (r *run) blockedBy(p *place, key runner.AttemptKey, b runner.Blocked) {
	p.phase = waiting
	held := blockage{lock: b.Lock, owner: b.Holder.Owner, run: b.Holder.Run, job: b.Holder.Job}
	if p.blocked == nil {
		p.blocked = &blockage{}
	}
	asked := p.blocked.asked
	p.blocked.asked = 0
	if b.Lock != "" && *p.blocked != held {
		r.tell(runner.AttemptWaiting{Key: key, Holder: &b.Holder})
	}
	held.asked = asked + 1
	p.blocked = &held
	p.notBefore = time.Now().Add(min(firstLockWait<<min(asked, 8), lastLockWait))
}

// hold takes the locks of the attempt that are kept outside of the ledger, and
// returns how to give them back. It waits for them as long as the attempt may.
func (a *attempt) hold(ctx context.Context) (release func(), err error) {
	if a.run.Locker == nil || len(a.locks) == 0 {
		return func() {}, nil
	}
	tell := func(text string) { a.log.Info("the job waits for a lock", "lock", text) }
	held, err := a.run.Locker.Hold(ctx, a.record.Key(), a.locks, tell, func(e *runner.LockLostError) {
		a.log.Error("the job no longer holds a lock and is ended", "lock", e.Lock, "cause", e.Why)
		a.cancel(e)
	})
	if err != nil || held == nil {
		return func() {}, err
	}
	a.fences = held.Fences()
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseBound)
		defer cancel()
		if err := held.Release(ctx); err != nil {
			a.log.Warn("a lock could not be given back, and is free when it expires", "error", err)
		}
	}, nil
}
