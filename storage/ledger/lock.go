package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// takeLocks takes the locks of one start, all or none, and returns who holds
// the first that is taken. A lock whose holder cannot use it any longer is
// taken over: its run has ended, went to another epoch, or has a dead owner.
func (l *Ledger) takeLocks(ctx context.Context, s session, f fencedRun, start runner.Start, now time.Time) (*runner.Blocked, error) {
	// One order for all keeps two transactions from waiting for each other.
	keys := slices.Compact(slices.Sorted(slices.Values(start.Locks)))
	var taken []string
	for _, key := range keys {
		holder, fresh, err := takeLock(ctx, s, f, start.Attempt.Job, key, now)
		if err != nil {
			return nil, err
		}
		if holder != nil {
			for _, mine := range taken {
				if _, err := s.exec(ctx, "DELETE FROM locks WHERE key = ? AND run = ? AND job = ?", mine, f.claim.Run, start.Attempt.Job); err != nil {
					return nil, err
				}
			}
			return &runner.Blocked{Job: start.Attempt.Job, Lock: key, Holder: *holder}, nil
		}
		if fresh {
			taken = append(taken, key)
		}
	}
	return nil, nil
}

// takeLock takes one lock. It returns its holder when that is somebody else,
// and whether the lock was not held by the same job before.
func takeLock(ctx context.Context, s session, f fencedRun, job, key string, now time.Time) (*runner.LockHolder, bool, error) {
	// The row may change hands between the looks; each round gets further.
	for range maxTries {
		changed, err := s.exec(ctx, "INSERT INTO locks (key, run, job, epoch, owner, since) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
			key, f.claim.Run, job, f.claim.Epoch, f.claim.Owner, micros(now))
		if err != nil || changed == 1 {
			return nil, true, err
		}
		holder, epoch, stale, err := inspectLock(ctx, s, key)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return nil, false, err
		case holder.Run == f.claim.Run && holder.Job == job && epoch == f.claim.Epoch:
			return nil, false, nil
		case !stale:
			return &holder, false, nil
		}
		if _, err := s.exec(ctx, "DELETE FROM locks WHERE key = ? AND run = ? AND job = ? AND epoch = ?", key, holder.Run, holder.Job, epoch); err != nil {
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("%w: the lock %s changes hands too fast", runner.ErrUnavailable, key)
}

// lockHolders selects what scanHolder reads, and whether the holding run goes
// on under the same epoch.
const lockHolders = `SELECT k.key, k.run, r.workflow, k.job, k.owner, r.node, k.since, k.epoch,
		CASE WHEN r.state = 'running' AND r.epoch = k.epoch THEN 1 ELSE 0 END
	FROM locks k JOIN runs r ON r.id = k.run `

func scanHolder(row scanner) (h runner.LockHolder, epoch int64, current bool, err error) {
	var since int64
	err = row.Scan(&h.Lock, &h.Run, &h.Workflow, &h.Job, &h.Owner, &h.Node, &since, &epoch, &current)
	h.AcquiredAt = time.UnixMicro(since).UTC()
	return h, epoch, current, err
}

// inspectLock returns who holds a lock, under which epoch of its run, and
// whether it cannot use it any longer.
func inspectLock(ctx context.Context, s session, key string) (h runner.LockHolder, epoch int64, stale bool, err error) {
	h, epoch, current, err := scanHolder(s.row(ctx, lockHolders+"WHERE k.key = ?", key))
	if err != nil || !current {
		return h, epoch, true, err
	}
	alive, err := isAlive(ctx, s, h.Owner)
	return h, epoch, !alive, err
}

// Locks returns the named locks that are in use, ordered by name. A lock whose
// holder died is listed until somebody takes it over.
func (r *Reader) Locks(ctx context.Context) ([]runner.LockHolder, error) {
	var list []runner.LockHolder
	err := r.reading().each(ctx, lockHolders+"ORDER BY k.key", nil, func(rows *sql.Rows) error {
		h, _, current, err := scanHolder(rows)
		if err == nil && current {
			list = append(list, h)
		}
		return err
	})
	return list, r.explain(ctx, "list the locks", err)
}
