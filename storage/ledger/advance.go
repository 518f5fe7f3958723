package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// fencedRun is what the writes of a claim need to know about its run.
type fencedRun struct {
	claim    runner.Claim
	workflow string
	dryRun   bool
	// waits tells that one of its jobs waited for a named lock before this step.
	waits bool
}

// fence makes sure that c holds its run and goes on holding it until the
// transaction ends; ErrStale otherwise.
func fence(ctx context.Context, s session, c runner.Claim) (fencedRun, error) {
	f := fencedRun{claim: c}
	query := "SELECT r.workflow, r.dry_run, CASE WHEN EXISTS (SELECT 1 FROM lock_waits w WHERE w.run = r.id) THEN 1 ELSE 0 END FROM runs r WHERE r.id = ? AND r.owner = ? AND r.epoch = ? AND r.state = ?" + s.d.lockRun
	err := s.row(ctx, query, c.Run, c.Owner, c.Epoch, runner.Running).Scan(&f.workflow, &f.dryRun, &f.waits)
	if errors.Is(err, sql.ErrNoRows) {
		return f, runner.ErrStale
	}
	return f, err
}

// Advance records one step of a claimed run. A step that is on record already,
// because the answer to an earlier call was lost, is recorded again without
// harm.
func (l *Ledger) Advance(ctx context.Context, c runner.Claim, step runner.Step) ([]runner.Blocked, error) {
	what := "record a step of run " + string(c.Run)
	if err := l.Holds(c); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	work, err := l.prepareStep(c, step)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var blocked []runner.Blocked
	err = l.transact(ctx, what, func(ctx context.Context, s session) error {
		blocked = nil
		f, err := fence(ctx, s, c)
		if errors.Is(err, runner.ErrStale) && step.Finish != nil {
			return repeatedFinish(ctx, s, c, *step.Finish)
		}
		if err != nil {
			return err
		}
		if blocked, err = work.record(ctx, s, f, l.takeLocks); err != nil {
			return err
		}
		if l.disturbs(f.workflow, step) {
			s.owe() // incidents that are open may be suppressed from now on, or no longer
		}
		if step.Finish == nil {
			return nil
		}
		return l.judgeEnd(ctx, s, c.Run)
	})
	if errors.Is(err, runner.ErrStale) || err == nil && step.Finish != nil {
		l.forget(c)
	}
	if err != nil {
		return nil, err
	}
	return blocked, nil
}

// repeatedFinish returns nil when the run has ended by this very step: the
// whole step was one transaction, so all of it is on record.
func repeatedFinish(ctx context.Context, s session, c runner.Claim, finish runner.Finish) error {
	var ended int
	const query = "SELECT COUNT(*) FROM runs WHERE id = ? AND owner = ? AND epoch = ? AND state = ? AND reason = ? AND message = ?"
	err := s.row(ctx, query, c.Run, c.Owner, c.Epoch, finish.State, finish.Reason, cleanLine(finish.Message, maxLine)).Scan(&ended)
	if err == nil && ended == 0 {
		err = runner.ErrStale
	}
	s.owe() // what the lost answer would have said
	return err
}

// step is a runner.Step ready to be written, as often as it takes.
type step struct {
	ended []endedAttempt
	begun []runner.Start
	// planned says what running attempts are about to do, by job.
	planned map[string]string
	finish  *runner.Finish
}

func (l *Ledger) prepareStep(c runner.Claim, in runner.Step) (step, error) {
	out := step{begun: in.Begun, planned: in.Planned, finish: in.Finish}
	for _, e := range in.Ended {
		if err := checkAttempt(c, e.Attempt, true); err != nil {
			return out, err
		}
		prepared, err := l.prepareEnd(c, e)
		if err != nil {
			return out, fmt.Errorf("attempt %s/%d: %w", e.Attempt.Job, e.Attempt.Number, err)
		}
		out.ended = append(out.ended, prepared)
	}
	for _, b := range in.Begun {
		if err := checkAttempt(c, b.Attempt, false); err != nil {
			return out, err
		}
		for _, key := range b.Locks {
			if err := checkLock(key); err != nil {
				return out, err
			}
		}
	}
	if in.Finish != nil && !in.Finish.State.Final() {
		return out, fmt.Errorf("a run cannot end in state %q", in.Finish.State)
	}
	return out, nil
}

// entangled tells whether the step takes locks while it holds others, so that
// it could wait for a step that does the same the other way round, or one that
// several may hold, of which two could take the last place of a lower limit.
func (w step) entangled() bool {
	takes, holds := 0, len(w.ended)
	for _, b := range w.begun {
		takes += len(b.Locks)
		for _, lock := range b.Locks {
			if b.Places(lock) > 1 {
				return true
			}
		}
	}
	return takes > 1 || takes > 0 && holds > 0
}

func checkAttempt(c runner.Claim, a runner.Attempt, ended bool) error {
	switch {
	case a.Run != "" && a.Run != c.Run:
		return fmt.Errorf("attempt %s/%d belongs to run %s", a.Job, a.Number, a.Run)
	case a.Number < 1:
		return fmt.Errorf("attempt %s/%d: numbers begin with 1", a.Job, a.Number)
	case ended && !a.State.Final(), !ended && a.State != runner.Running:
		return fmt.Errorf("attempt %s/%d is in state %q", a.Job, a.Number, a.State)
	}
	return errors.Join(checkName("the job", a.Job), checkName("the kind of job "+a.Job, a.Kind), checkText("the reason", string(a.Reason), maxName))
}

// lockTaker takes the locks of one start, all or none.
type lockTaker func(ctx context.Context, s session, f fencedRun, start runner.Start, now time.Time) (*runner.Blocked, error)

// record writes the step: ends first, because they free locks.
func (w step) record(ctx context.Context, s session, f fencedRun, take lockTaker) ([]runner.Blocked, error) {
	now := time.Now().UTC()
	if s.d.lockLocks != "" && w.entangled() {
		if _, err := s.exec(ctx, s.d.lockLocks); err != nil {
			return nil, err
		}
	}
	for _, e := range w.ended {
		if err := e.record(ctx, s, f); err != nil {
			return nil, fmt.Errorf("end of %s/%d: %w", e.a.Job, e.a.Number, err)
		}
	}
	var blocked []runner.Blocked
	for _, b := range w.begun {
		by, err := take(ctx, s, f, b, now)
		if err != nil {
			return nil, fmt.Errorf("locks of %s: %w", b.Attempt.Job, err)
		}
		if by != nil {
			blocked = append(blocked, *by)
			continue
		}
		if err := recordBegin(ctx, s, f, b.Attempt); err != nil {
			return nil, fmt.Errorf("begin of %s/%d: %w", b.Attempt.Job, b.Attempt.Number, err)
		}
	}
	for _, job := range slices.Sorted(maps.Keys(w.planned)) {
		if err := recordPlanned(ctx, s, f, job, w.planned[job]); err != nil {
			return nil, fmt.Errorf("plan of %s: %w", job, err)
		}
	}
	if len(w.begun) > 0 {
		if err := leaveLine(ctx, s, f, blocked); err != nil {
			return nil, fmt.Errorf("locks that the run no longer waits for: %w", err)
		}
	}
	if w.finish == nil {
		return blocked, nil
	}
	return blocked, w.recordFinish(ctx, s, f, now)
}

// bytesOfRun is what the outputs of a run's attempts take, for an UPDATE of
// its row.
const bytesOfRun = "COALESCE((SELECT SUM(octet_length(o.head) + octet_length(o.tail)) FROM outputs o WHERE o.run = runs.id), 0)"

// recordFinish ends the run.
func (w step) recordFinish(ctx context.Context, s session, f fencedRun, now time.Time) error {
	if err := abandon(ctx, s, f.claim.Run, runner.ReasonLockLost, "the run ended without a word about this attempt", now); err != nil {
		return err
	}
	changed, err := s.exec(ctx, `UPDATE runs SET state = ?, reason = ?, message = ?, finished_at = ?, bytes = `+bytesOfRun+`
		WHERE id = ? AND owner = ? AND epoch = ? AND state = ?`,
		w.finish.State, w.finish.Reason, cleanLine(w.finish.Message, maxLine), micros(now),
		f.claim.Run, f.claim.Owner, f.claim.Epoch, runner.Running)
	if err == nil && changed != 1 {
		err = runner.ErrStale
	}
	return err
}
