package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// waiting is a job that waits for a lock.
type waiting struct {
	runner.LockWait
	epoch, turn int64
	// places is how many may hold the lock, as far as the waiter knows.
	places int
	// current tells that its run goes on under the same epoch.
	current bool
}

// compare orders those who wait: who came first, goes first.
func (w waiting) compare(other waiting) int {
	return cmp.Or(cmp.Compare(w.turn, other.turn), cmp.Compare(w.Run, other.Run), cmp.Compare(w.Job, other.Job))
}

// asHolder shows who waits in the place of a holder.
func (w waiting) asHolder() runner.LockHolder {
	return runner.LockHolder{Lock: w.Lock, Run: w.Run, Workflow: w.Workflow, Job: w.Job, Owner: w.Owner, Node: w.Node, AcquiredAt: w.Since}
}

// lockWaits selects what scanWaiting reads.
const lockWaits = `SELECT w.name, w.run, r.workflow, w.job, w.owner, r.node, w.since, w.passed, w.epoch, w.turn, w.places,
		CASE WHEN r.state = 'running' AND r.epoch = w.epoch AND r.owner = w.owner THEN 1 ELSE 0 END
	FROM lock_waits w JOIN runs r ON r.id = w.run `

func scanWaiting(row scanner) (w waiting, err error) {
	var since int64
	err = row.Scan(&w.Lock, &w.Run, &w.Workflow, &w.Job, &w.Owner, &w.Node, &since, &w.Passed, &w.epoch, &w.turn, &w.places, &w.current)
	w.Since = time.UnixMicro(since).UTC()
	return w, err
}

func anyOf(names []string) []any {
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = name
	}
	return args
}

// readLine reads who waits for one of the locks of w, with all that they wait
// for, and what w waits for.
func (v *view) readLine(ctx context.Context, s session, w wish) error {
	query := lockWaits + "WHERE w.run = ? AND w.job = ? OR (w.run, w.job) IN (SELECT o.run, o.job FROM lock_waits o WHERE o.name IN (" +
		marks(len(w.names)) + ")) ORDER BY w.turn, w.run, w.job, w.name"
	args := append([]any{w.claim.Run, w.start.Attempt.Job}, anyOf(w.names)...)
	var list []waiting
	err := s.each(ctx, query, args, func(rows *sql.Rows) error {
		other, err := scanWaiting(rows)
		list = append(list, other)
		return err
	})
	if err != nil {
		return err
	}
	for _, other := range list {
		if w.mine(other.Run, other.Job, other.epoch) {
			v.ownWaits = append(v.ownWaits, other)
			continue
		}
		if !other.current {
			continue
		}
		alive, err := v.lives(ctx, s, other.Owner)
		if err != nil {
			return err
		}
		if alive {
			v.line = append(v.line, other)
		}
	}
	return nil
}

// standInLine gives back what w has just taken and puts on record that it waits
// for its locks, in the place that it had.
func (l *Ledger) standInLine(ctx context.Context, s session, w wish, v *view, fresh []string) error {
	run, job := w.claim.Run, w.start.Attempt.Job
	for _, key := range fresh {
		if _, err := s.exec(ctx, "DELETE FROM locks WHERE key = ? AND run = ? AND job = ?", key, run, job); err != nil {
			return err
		}
	}
	if v.waitsFor(w) {
		return nil
	}
	if _, err := s.exec(ctx, "DELETE FROM lock_waits WHERE run = ? AND job = ?", run, job); err != nil {
		return err
	}
	var turn, since int64
	passed := 0
	if len(v.ownWaits) > 0 {
		first := v.ownWaits[0]
		turn, since, passed = first.turn, micros(first.Since).Int64, first.Passed
	} else if err := s.row(ctx, "SELECT COALESCE(MAX(w.turn), 0) + 1, "+s.d.now+" FROM lock_waits w").Scan(&turn, &since); err != nil {
		return err
	}
	for _, name := range w.names {
		_, err := s.exec(ctx, "INSERT INTO lock_waits (run, job, name, epoch, owner, since, turn, places, passed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			run, job, name, w.claim.Epoch, w.claim.Owner, since, turn, w.start.Places(name), passed)
		if err != nil {
			return err
		}
	}
	return nil
}

// waitsFor tells whether it is on record that w waits for its locks.
func (v *view) waitsFor(w wish) bool {
	if len(v.ownWaits) != len(w.names) {
		return false
	}
	for i, own := range v.ownWaits { // both in the order of the names
		if own.Lock != w.names[i] || own.places != w.start.Places(own.Lock) {
			return false
		}
	}
	return true
}

// passBy counts whom w passed, now that it has its locks and does not wait any
// longer.
func (v *view) passBy(ctx context.Context, s session, w wish) error {
	// Each once, also who waits for several of the locks; in an order for all.
	slices.SortFunc(v.passed, waiting.compare)
	for _, other := range slices.CompactFunc(v.passed, func(a, b waiting) bool { return a.compare(b) == 0 }) {
		if _, err := s.exec(ctx, "UPDATE lock_waits SET passed = passed + 1 WHERE run = ? AND job = ? AND epoch = ?", other.Run, other.Job, other.epoch); err != nil {
			return err
		}
	}
	if len(v.ownWaits) == 0 {
		return nil
	}
	_, err := s.exec(ctx, "DELETE FROM lock_waits WHERE run = ? AND job = ?", w.claim.Run, w.start.Attempt.Job)
	return err
}

// leaveLine takes the jobs of a run out of the lines except for those that were
// just blocked: who is not asked for does not wait.
func leaveLine(ctx context.Context, s session, f fencedRun, blocked []runner.Blocked) error {
	if !f.waits {
		return nil
	}
	where, args := "run = ?", []any{f.claim.Run}
	if len(blocked) > 0 {
		where += " AND job NOT IN (" + marks(len(blocked)) + ")"
	}
	for _, b := range blocked {
		args = append(args, b.Job)
	}
	return s.leave(ctx, "lock_waits", where, args...)
}

// stopWaiting takes all jobs of a run out of the lines.
func stopWaiting(ctx context.Context, s session, id runner.RunID) error {
	return s.leave(ctx, "lock_waits", "run = ?", id)
}

// dropLocks frees the places of locks that the condition where selects.
func dropLocks(ctx context.Context, s session, where string, args ...any) error {
	return s.leave(ctx, "locks", where, args...)
}

// leave deletes rows of locks or lock_waits, and tells those who wait.
func (s session) leave(ctx context.Context, table, where string, args ...any) error {
	changed, err := s.exec(ctx, "DELETE FROM "+table+" WHERE "+where, args...)
	if err != nil || changed == 0 || s.bells == nil {
		return err
	}
	var waiters bool
	if err := s.row(ctx, "SELECT CASE WHEN EXISTS (SELECT 1 FROM lock_waits w) THEN 1 ELSE 0 END").Scan(&waiters); err != nil {
		return err
	}
	if waiters {
		s.ring(Bell{Kind: BellFreed})
	}
	return nil
}

// Waits returns who waits for which named lock, by lock and in the order in
// which they go. Those whose owner died are left out.
func (r *Reader) Waits(ctx context.Context) ([]runner.LockWait, error) {
	var list []runner.LockWait
	s, owners := r.reading(), map[string]bool{}
	var all []waiting
	err := s.each(ctx, lockWaits+"ORDER BY w.name, w.turn, w.run, w.job", nil, func(rows *sql.Rows) error {
		w, err := scanWaiting(rows)
		all = append(all, w)
		return err
	})
	for _, w := range all {
		alive, known := owners[w.Owner]
		if err == nil && !known {
			alive, err = isAlive(ctx, s, w.Owner)
			owners[w.Owner] = alive
		}
		if w.current && alive {
			list = append(list, w.LockWait)
		}
	}
	return list, r.explain(ctx, "list who waits for locks", err)
}
