package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// disturbedFor is how long after the end of a job the checks that it disturbs
	// may still fail: they need a few good answers to be well.
	disturbedFor = 2 * time.Minute
	// longestDisturbance is how long after its beginning a job keeps people from
	// being told, however long it takes: what it disturbs for longer is a fault.
	longestDisturbance = 30 * time.Minute
	// latestRuns is how many runs of a workflow are looked at, besides those that
	// are open, for a job that has just ended.
	latestRuns = 20
)

// suppression says why nobody is to be told of an incident, and until when that
// lasts by itself. Without a why it says when such a reason will begin by
// itself. Both may be empty.
type suppression struct {
	why   string
	until time.Time
}

// maintenance returns what knows when faults are expected; nil for nobody.
func (l *Ledger) maintenance() runner.Maintenance {
	alarm := l.alarm.Load()
	if alarm == nil {
		return nil
	}
	m, ok := (*alarm).(runner.Maintenance)
	if !ok {
		return nil
	}
	return m
}

// disturbs tells whether a step of a run begins or ends a job that is expected
// to cause faults.
func (l *Ledger) disturbs(workflow string, step runner.Step) bool {
	m := l.maintenance()
	if m == nil {
		return false
	}
	for _, e := range step.Ended {
		if m.Disturbs(runner.Place{Workflow: workflow, Job: e.Attempt.Job}) {
			return true
		}
	}
	for _, b := range step.Begun {
		if m.Disturbs(runner.Place{Workflow: workflow, Job: b.Attempt.Job}) {
			return true
		}
	}
	return false
}

// disturbance looks whether one of the jobs is under way at an instant, or has
// just ended.
func disturbance(ctx context.Context, s session, places []runner.Place, at time.Time) (suppression, error) {
	const query = `SELECT a.run, a.started_at, a.finished_at FROM attempts a
		WHERE a.job = ? AND a.dry_run = 0 AND a.state <> 'skipped' AND a.started_at > ? AND a.started_at <= ? AND (a.finished_at IS NULL OR a.finished_at > ?)
			AND a.run IN (SELECT r.id FROM runs r WHERE r.workflow = ? AND r.state IN ('queued', 'running')
				UNION SELECT l.id FROM (SELECT r.id FROM runs r WHERE r.workflow = ? ORDER BY r.id DESC LIMIT ?) l)
		ORDER BY a.started_at DESC LIMIT 1`
	for _, p := range places {
		var run string
		var started, finished sql.NullInt64
		err := s.row(ctx, query, p.Job, at.Add(-longestDisturbance).UnixMicro(), at.UnixMicro(), at.Add(-disturbedFor).UnixMicro(), p.Workflow, p.Workflow, latestRuns).
			Scan(&run, &started, &finished)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return suppression{}, fmt.Errorf("look for runs of %s: %w", p.Workflow, err)
		}
		until := instant(started).Add(longestDisturbance)
		if finished.Valid {
			until = sooner(until, instant(finished).Add(disturbedFor))
		}
		return suppression{why: fmt.Sprintf("job %s.%s in run %s", p.Workflow, p.Job, run), until: until}, nil
	}
	return suppression{}, nil
}
