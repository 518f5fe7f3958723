package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ghosteam/upkeep/runner"
)

// errLeaseOver is why nothing may be done in the name of a lease that this
// process has lost. It tells writers to stop at once.
var errLeaseOver = fmt.Errorf("%w: %w", runner.ErrLeaseLost, runner.ErrStale)

// registration is this instance on the list of nodes, as this process knows it.
// Ledger.mu guards it.
type registration struct {
	// owner is the identity under which it is or was registered; it changes when
	// the instance registers again after losing its lease.
	owner      string
	registered bool
	// lost tells that the lease was lost and that it has not registered since,
	// losses how often that happened.
	lost   bool
	losses int
	// renewed is when the lease was last extended, and held since when it was
	// without interruption, both by steadyTime, which counts on while the
	// database cannot be reached; interrupted tells that there was a time before.
	renewed, held time.Duration
	interrupted   bool
	// mute is since when renewals have had no answer; 0 when the last one had.
	mute time.Duration
}

// lose notes that the lease is lost.
func (r *registration) lose() {
	if r.registered {
		r.losses++
		r.registered, r.lost = false, true
	}
}

// over tells whether the lease has run out by the local clock.
func (l *Ledger) over(r *registration) bool {
	return r.registered && l.o.LeaseTTL > 0 && !l.o.KeepRuns && steadyTime()-r.renewed >= l.o.LeaseTTL
}

// Heartbeat proves that this instance is alive, as often as HeartbeatEvery for
// the default lease. ErrLeaseLost means that it failed to do so for too long:
// others may take over its runs, so it must end its jobs, and register again.
// With Options.KeepRuns a lease that ran out is renewed all the same while the
// instance is on the list of nodes. Any other error means to try again at once;
// the end of ctx is one. Without a lease Heartbeat only looks whether the lock
// file is still the one that it locked.
func (l *Ledger) Heartbeat(ctx context.Context) error {
	l.mu.Lock()
	if l.over(&l.registration) {
		l.lose()
	}
	me := l.registration
	l.mu.Unlock()
	if me.registered && l.LeaseLeft() <= 0 || me.lost {
		l.sever()
	}
	switch {
	case me.lost:
		return l.loseLease(errors.New("it was not renewed in time"))
	case !me.registered:
		return fmt.Errorf("renew the lease: %w", errNotRegistered)
	}
	if l.lock.held() {
		if err := l.lock.check(); err != nil {
			return l.loseLease(err)
		}
	}
	if l.o.LeaseTTL == 0 {
		return nil
	}
	began := steadyTime()
	changed, err := l.extendLease(ctx, me.owner)
	l.answered(began, err)
	if err != nil {
		return l.explain(ctx, "renew the lease of node "+l.o.Node, err)
	}
	if changed == 0 {
		return l.loseLease(errors.New("the database says that it ended"))
	}
	l.extended(me.owner, began)
	return nil
}

// answered notes whether a renewal that began at an instant had an answer, err or
// none. After a time without, connections on which nothing came since then hang.
func (l *Ledger) answered(began time.Duration, err error) {
	var refused *pgconn.PgError
	l.mu.Lock()
	since := l.mute
	switch {
	case err == nil || errors.As(err, &refused):
		l.mute = 0
	case since == 0:
		l.mute = began
	}
	l.mu.Unlock()
	if err == nil && since > 0 && l.wires != nil {
		l.wires.sever(steadyTime() - since)
	}
}

// extended notes that the lease of owner was extended by a statement that began
// at an instant.
func (l *Ledger) extended(owner string, began time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.registered || l.owner != owner {
		return // it was lost meanwhile
	}
	if began-l.renewed >= l.o.LeaseTTL {
		l.held, l.interrupted = began, true
	}
	l.renewed = began - clockResolution
}

// extendLease renews the lease of owner and returns 0 when there is none.
func (l *Ledger) extendLease(ctx context.Context, owner string) (changed int64, err error) {
	query := "UPDATE nodes SET lease_until = " + l.leaseEnd(l.d) + " WHERE instance = ?"
	if !l.o.KeepRuns {
		query += " AND lease_until > " + l.d.now
	}
	if l.group == nil {
		// A statement by itself is one round trip, and ctx ends it at any time.
		return l.lifeline().exec(ctx, l.d.rebind(query), owner)
	}
	err = l.transact(ctx, "renew the lease of node "+l.o.Node, func(ctx context.Context, s session) (err error) {
		changed, err = s.exec(ctx, query, owner)
		return err
	})
	return changed, err
}

// lifeline is the connection for renewals.
func (l *Ledger) lifeline() *lifeline {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line == nil {
		l.line = newLifeline(l.connConfig)
	}
	return l.line
}

func (l *Ledger) loseLease(why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose()
	return fmt.Errorf("renew the lease of node %s: %w: %w", l.o.Node, runner.ErrLeaseLost, why)
}

// LeaseLeft returns how long this instance counts as alive without another
// Heartbeat, by the local clock; at most 0 when the lease is lost or has run
// out. Without a lease it returns a very long time.
func (l *Ledger) LeaseLeft() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.registered:
		return 0
	case l.o.LeaseTTL == 0:
		return 1<<63 - 1
	}
	return l.o.LeaseTTL - (steadyTime() - l.renewed)
}

// Holds returns nil while nobody else may have taken over what the owner of c
// executes, as far as this process can tell without asking the database: the
// claim is one of this registration, and its lease has not run out by the local
// clock, which also counts while the process is stopped and the machine sleeps.
// Otherwise the error is ErrLeaseLost and ErrStale, and the lease is lost. With
// Options.KeepRuns a lease that only ran out is no reason to stop. Of claims of
// other instances it knows nothing.
func (l *Ledger) Holds(c runner.Claim) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o.LeaseTTL == 0 || c.Owner != l.o.Instance && !strings.HasPrefix(c.Owner, l.o.Instance+".") {
		return nil
	}
	if l.over(&l.registration) {
		l.lose()
	}
	if l.lost || l.registered && c.Owner != l.owner {
		return fmt.Errorf("run %s: %w", c.Run, errLeaseOver)
	}
	return nil
}

// isRegistered tells whether this instance is on the list of nodes.
func (l *Ledger) isRegistered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.registered
}

// mayTakeOver tells whether this instance may take over what the dead node n
// executed. After the database was away, or when all nodes start together,
// every lease has run out; one that comes back first must give the others time
// to renew theirs.
func (l *Ledger) mayTakeOver(n Node) bool {
	wait := l.o.TakeOverAfter
	if wait == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return steadyTime()-l.held >= wait || !l.interrupted && n.expired >= wait
}

// proveAlive returns the identity under which this instance may claim runs.
func (l *Ledger) proveAlive(ctx context.Context, s session) (string, error) {
	l.mu.Lock()
	owner, registered, lost := l.owner, l.registered, l.lost
	l.mu.Unlock()
	switch {
	case lost:
		return "", runner.ErrLeaseLost
	case !registered:
		return "", errNotRegistered
	case l.o.LeaseTTL == 0:
		return owner, nil
	}
	alive, err := isAlive(ctx, s, owner)
	if err == nil && !alive {
		err = runner.ErrLeaseLost
	}
	return owner, err
}
