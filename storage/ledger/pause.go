package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// listPauses returns the pauses for which the condition holds, ordered by
// workflow; the empty condition means all on record, also those that ended by
// themselves.
func listPauses(ctx context.Context, s session, condition string, args ...any) ([]runner.Pause, error) {
	if condition != "" {
		condition = " WHERE " + condition
	}
	var list []runner.Pause
	query := "SELECT workflow, paused_by, why, since, until, reminded_at FROM pauses" + condition + " ORDER BY workflow"
	err := s.each(ctx, query, args, func(rows *sql.Rows) error {
		var p runner.Pause
		var since int64
		var until, reminded sql.NullInt64
		err := rows.Scan(&p.Workflow, &p.By, &p.Why, &since, &until, &reminded)
		p.Since, p.Until, p.RemindedAt = time.UnixMicro(since).UTC(), instant(until), instant(reminded)
		list = append(list, p)
		return err
	})
	return list, err
}

// Pauses returns the pauses in force, ordered by workflow.
func (r *Reader) Pauses(ctx context.Context) ([]runner.Pause, error) {
	list, err := listPauses(ctx, r.reading(), "until IS NULL OR until > ?", time.Now().UnixMicro())
	return list, r.explain(ctx, "list the pauses", err)
}

// Pause pauses a workflow, or replaces its pause. A zero Since means now.
func (l *Ledger) Pause(ctx context.Context, p runner.Pause) error {
	what := "pause " + clean(p.Workflow, maxName)
	now := time.Now()
	if p.Since.IsZero() {
		p.Since = now
	}
	err := checkName("the workflow", p.Workflow)
	switch {
	case err != nil:
	case p.By == "":
		err = errors.New("it is not said who pauses it")
	case p.Why == "":
		err = errors.New("it is not said why")
	case !p.Until.IsZero() && !p.Until.After(now):
		err = fmt.Errorf("its end %s has passed", p.Until.UTC().Format(time.RFC3339))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		_, err := s.exec(ctx, `INSERT INTO pauses (workflow, paused_by, why, since, until, reminded_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (workflow) DO UPDATE SET paused_by = excluded.paused_by, why = excluded.why, since = excluded.since,
			until = excluded.until, reminded_at = excluded.reminded_at`,
			p.Workflow, cleanLine(p.By, maxShortText), cleanLine(p.Why, maxLine), micros(p.Since), micros(p.Until), micros(p.RemindedAt))
		return err
	})
}

// Unpause ends a pause and tells whether one was in force.
func (l *Ledger) Unpause(ctx context.Context, workflow, by string) (bool, error) {
	ended := false
	err := l.transact(ctx, "unpause "+clean(workflow, maxName), func(ctx context.Context, s session) error {
		ended = false
		pauses, err := listPauses(ctx, s, "workflow = ?", workflow)
		if err != nil || len(pauses) == 0 {
			return err
		}
		ended = pauses[0].Until.IsZero() || pauses[0].Until.After(time.Now())
		_, err = s.exec(ctx, "DELETE FROM pauses WHERE workflow = ?", workflow)
		return err
	})
	if err == nil && ended {
		l.o.Log.InfoContext(ctx, "a workflow is no longer paused", "workflow", workflow, "by", cleanLine(by, maxShortText))
	}
	return ended, err
}

// Reminded records that somebody was reminded of a pause; without a pause it
// does nothing.
func (l *Ledger) Reminded(ctx context.Context, workflow string, at time.Time) error {
	return l.transact(ctx, "record a reminder of the pause of "+clean(workflow, maxName), func(ctx context.Context, s session) error {
		_, err := s.exec(ctx, "UPDATE pauses SET reminded_at = ? WHERE workflow = ?", micros(at), workflow)
		return err
	})
}

// Approve lets a run go that waits for approval. Approving again by the same
// person changes nothing.
func (l *Ledger) Approve(ctx context.Context, id runner.RunID, by string) error {
	by = cleanLine(by, maxShortText)
	what := "approve run " + string(id)
	if by == "" {
		return fmt.Errorf("%s: it is not said by whom", what)
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		run, err := lockRun(ctx, s, id)
		switch {
		case err != nil:
			return err
		case !run.Approval:
			return fmt.Errorf("%w: it needs no approval", runner.ErrNotClaimable)
		case run.State.Final():
			return fmt.Errorf("%w: it has ended (%s)", runner.ErrNotClaimable, run.State)
		case run.ApprovedBy == by:
			return nil
		case run.ApprovedBy != "":
			return fmt.Errorf("%w: %s has approved it", runner.ErrNotClaimable, run.ApprovedBy)
		}
		_, err = s.exec(ctx, "UPDATE runs SET approved_by = ?, start_by = "+startAnew(s.d)+" WHERE id = ? AND epoch = ? AND approved_by = ''", by, id, run.Epoch)
		if !l.isRegistered() {
			s.ring(Bell{Kind: BellQueued, Run: id}) // who is no node delivers nothing
		}
		return err
	})
}
