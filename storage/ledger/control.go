package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Release gives a running run back to the queue under the next epoch. Attempts
// that are still on record as running become Lost with reason shutdown, except
// planned ones.
func (l *Ledger) Release(ctx context.Context, c runner.Claim) error {
	if err := l.Holds(c); err != nil {
		return fmt.Errorf("release it: %w", err)
	}
	err := l.transact(ctx, "release run "+string(c.Run), func(ctx context.Context, s session) error {
		if _, err := fence(ctx, s, c); err != nil {
			return err
		}
		if err := abandonUnplanned(ctx, s, c.Run, runner.ReasonShutdown, "the process stopped before this attempt ended", time.Now()); err != nil {
			return err
		}
		changed, err := s.exec(ctx, "UPDATE runs SET state = ?, epoch = epoch + 1 WHERE id = ? AND owner = ? AND epoch = ? AND state = ?",
			runner.Queued, c.Run, c.Owner, c.Epoch, runner.Running)
		if err == nil && changed != 1 {
			err = runner.ErrStale
		}
		return err
	})
	if err == nil || errors.Is(err, runner.ErrStale) {
		l.forget(c)
	}
	return err
}

// Cancel asks for the end of an open run and returns its state before.
func (l *Ledger) Cancel(ctx context.Context, id runner.RunID, by string) (runner.State, error) {
	by = cleanLine(by, maxShortText)
	var before runner.State
	err := l.transact(ctx, "cancel run "+string(id), func(ctx context.Context, s session) error {
		run, err := lockRun(ctx, s, id)
		if err != nil {
			return err
		}
		before = run.State
		switch {
		case run.State == runner.Queued:
			err = l.cancelQueued(ctx, s, run, by)
		case run.State == runner.Running && run.CanceledBy == "":
			_, err = s.exec(ctx, "UPDATE runs SET canceled_by = ? WHERE id = ? AND epoch = ? AND canceled_by = ''", by, id, run.Epoch)
			s.ring(Bell{Kind: BellCancel, Run: id, By: by})
		}
		return err
	})
	return before, err
}

// cancelQueued ends a run that nobody executes just now. Planned attempts of an
// earlier claim end with it.
func (l *Ledger) cancelQueued(ctx context.Context, s session, run runner.Run, by string) error {
	now := time.Now()
	if run.Epoch > 0 {
		if err := abandon(ctx, s, run.ID, runner.ReasonUser, "the run was canceled before it went on", now); err != nil {
			return err
		}
	}
	_, err := s.exec(ctx, "UPDATE runs SET state = ?, reason = ?, canceled_by = ?, finished_at = ?, bytes = "+bytesOfRun+" WHERE id = ? AND epoch = ? AND state = ?",
		runner.Canceled, runner.ReasonUser, by, micros(now), run.ID, run.Epoch, runner.Queued)
	if err != nil {
		return err
	}
	return l.judgeEnd(ctx, s, run.ID)
}

// startAnew is by when a run must begin that a person wants to run now after all,
// for an UPDATE of its row: some time from now, if it is for certain nodes.
func startAnew(d *dialect) string {
	return fmt.Sprintf("CASE WHEN host = '' AND target = '' THEN NULL ELSE %s + %d END", d.now, patience.Microseconds())
}

// patience is how long a run for certain nodes waits for one of them when a
// person wants it now: long enough for a machine to be restarted.
const patience = 15 * time.Minute

// Reopen queues a final run again under the next epoch.
func (l *Ledger) Reopen(ctx context.Context, id runner.RunID, reopen []string, by string) error {
	return l.transact(ctx, "reopen run "+string(id), func(ctx context.Context, s session) error {
		run, err := lockRun(ctx, s, id)
		if err != nil {
			return err
		}
		if !run.State.Final() {
			return fmt.Errorf("%w: it is %s", runner.ErrNotClaimable, run.State)
		}
		args := []any{id, runner.Succeeded, runner.Warned}
		where := "state NOT IN (?, ?)"
		if len(reopen) > 0 {
			where += " OR job IN (" + marks(len(reopen)) + ")"
			for _, job := range reopen {
				args = append(args, job)
			}
		}
		if _, err := s.exec(ctx, "UPDATE attempts SET superseded = 1 WHERE run = ? AND ("+where+")", args...); err != nil {
			return err
		}
		if _, err := s.exec(ctx, "DELETE FROM locks WHERE run = ?", id); err != nil {
			return err
		}
		changed, err := s.exec(ctx, `UPDATE runs SET state = ?, reason = '', message = '', canceled_by = '', reopened_by = ?, finished_at = NULL, epoch = epoch + 1, start_by = `+startAnew(s.d)+`
			WHERE id = ? AND epoch = ? AND state = ?`, runner.Queued, cleanLine(by, maxShortText), id, run.Epoch, run.State)
		if err == nil && changed != 1 {
			err = fmt.Errorf("%w: it changed meanwhile", runner.ErrNotClaimable)
		}
		return err
	})
}
