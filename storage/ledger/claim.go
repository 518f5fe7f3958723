package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// errNotRegistered reports that the program forgot Register.
var errNotRegistered = errors.New("this instance is not registered as a node")

// Claim makes this instance the owner of a queued run, or of a running one
// whose owner is dead. The instance must be registered and, when it has a
// lease, hold it.
func (l *Ledger) Claim(ctx context.Context, id runner.RunID) (runner.Claim, runner.Run, error) {
	var run runner.Run
	var claim runner.Claim
	err := l.transact(ctx, "claim run "+string(id), func(ctx context.Context, s session) error {
		l.forget(claim)
		owner, err := l.proveAlive(ctx, s)
		if err != nil {
			return err
		}
		if run, err = lockRun(ctx, s, id); err != nil {
			return err
		}
		if err := l.claimable(ctx, s, run, owner); err != nil {
			return err
		}
		if err := l.mayJudge(ctx, s, run); err != nil {
			return err
		}
		before, from := run.Epoch, run.Node
		run.State, run.Reason, run.Message = runner.Running, "", ""
		run.Owner, run.Node, run.Epoch = owner, l.o.Node, before+1
		now := time.Now().UTC().Truncate(time.Microsecond)
		if run.StartedAt.IsZero() {
			run.StartedAt = now
		}
		if before > 0 {
			if err := l.takeOver(ctx, s, run, from, now); err != nil {
				return err
			}
		}
		changed, err := s.exec(ctx, `UPDATE runs SET state = ?, reason = '', message = '', owner = ?, node = ?, epoch = ?, started_at = ?
			WHERE id = ? AND epoch = ?`, run.State, run.Owner, run.Node, run.Epoch, micros(run.StartedAt), id, before)
		if err == nil && changed != 1 {
			err = fmt.Errorf("%w: it changed meanwhile", runner.ErrNotClaimable)
		}
		// Remembered before the commit: whoever sees the new row in this
		// process also sees that somebody works on it.
		claim = runner.Claim{Run: id, Owner: owner, Epoch: run.Epoch}
		l.remember(claim)
		return err
	})
	if err != nil {
		l.forget(claim)
		return runner.Claim{}, runner.Run{}, err
	}
	return claim, run, nil
}

// lockRun reads a run and keeps others from changing it until the transaction
// ends.
func lockRun(ctx context.Context, s session, id runner.RunID) (runner.Run, error) {
	query := "SELECT " + runColumns + " FROM runs r JOIN specs s ON s.digest = r.spec WHERE r.id = ?" + s.d.lockRun
	run, err := scanRun(s.row(ctx, query, id))
	if errors.Is(err, sql.ErrNoRows) {
		return run, runner.ErrNotFound
	}
	return run, err
}

// claimable returns nil when owner may claim run.
func (l *Ledger) claimable(ctx context.Context, s session, run runner.Run, owner string) error {
	switch {
	case run.State.Final():
		return fmt.Errorf("%w: it has ended (%s)", runner.ErrNotClaimable, run.State)
	case !l.mayExecute(run):
		return fmt.Errorf("%w: it is for %s", runner.ErrNotClaimable, run.Place())
	case run.State == runner.Queued:
		return mayStart(ctx, s, run)
	case run.Owner == owner:
		// The answer to an earlier claim may have been lost on its way.
		if l.works(run.ID, run.Epoch) {
			return fmt.Errorf("%w: this process executes it already", runner.ErrNotClaimable)
		}
		return nil
	}
	alive, err := isAlive(ctx, s, run.Owner)
	if err != nil {
		return err
	}
	if alive {
		return fmt.Errorf("%w: %s on %s executes it", runner.ErrNotClaimable, run.Owner, run.Node)
	}
	return nil
}

// abandon ends the attempts of a run that nobody works on any longer and frees
// its locks.
func abandon(ctx context.Context, s session, id runner.RunID, reason runner.Reason, text string, now time.Time) error {
	if _, err := s.exec(ctx, "UPDATE attempts SET state = ?, reason = ?, error = ?, finished_at = ? WHERE run = ? AND state = ?",
		runner.Lost, reason, text, micros(now), id, runner.Running); err != nil {
		return err
	}
	if err := dropLocks(ctx, s, "run = ?", id); err != nil {
		return err
	}
	return stopWaiting(ctx, s, id)
}

// abandonUnplanned is abandon for all but the planned attempts, which the next
// owner of the run judges by what they left.
func abandonUnplanned(ctx context.Context, s session, id runner.RunID, reason runner.Reason, text string, now time.Time) error {
	if _, err := s.exec(ctx, "UPDATE attempts SET state = ?, reason = ?, error = ?, finished_at = ? WHERE run = ? AND state = ? AND planned = ''",
		runner.Lost, reason, text, micros(now), id, runner.Running); err != nil {
		return err
	}
	const unplanned = "run = ? AND job NOT IN (SELECT a.job FROM attempts a WHERE a.run = locks.run AND " + stillPlanned + ")"
	if err := dropLocks(ctx, s, unplanned, id); err != nil {
		return err
	}
	return stopWaiting(ctx, s, id)
}

// inherit gives the planned attempts of a run and what they hold to its next
// owner, who run names.
func inherit(ctx context.Context, s session, run runner.Run) error {
	if _, err := s.exec(ctx, "UPDATE attempts SET epoch = ? WHERE run = ? AND state = ? AND planned <> ''", run.Epoch, run.ID, runner.Running); err != nil {
		return err
	}
	_, err := s.exec(ctx, "UPDATE locks SET epoch = ?, owner = ? WHERE run = ?", run.Epoch, run.Owner, run.ID)
	return err
}

// remember and forget keep the list of claims that somebody in this process
// works on; works looks into it.
func (l *Ledger) remember(c runner.Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claims[c.Run] = c.Epoch
}

func (l *Ledger) forget(c runner.Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.claims[c.Run] == c.Epoch {
		delete(l.claims, c.Run)
	}
}

// Drop says that this process works no longer on a claim whose run has neither
// ended nor been given back, so that it is found pending and begins anew. It
// does not block.
func (l *Ledger) Drop(c runner.Claim) { l.forget(c) }

func (l *Ledger) works(id runner.RunID, epoch int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	held, found := l.claims[id]
	return found && held == epoch
}
