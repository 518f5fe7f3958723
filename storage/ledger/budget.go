package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// decideBudgets makes those of list Skipped that are beyond their Budget: while
// another run of the workflow is open on any node, too soon after the last that a
// check started, or when as many as there may be began. Others that ask at the
// same moment wait until this transaction has ended.
func decideBudgets(ctx context.Context, s session, list []submitted) error {
	for i := range list {
		w := &list[i]
		if w.request.Budget == nil || w.state != runner.Queued {
			continue
		}
		if err := lockWorkflows(ctx, s, w.request.Spec.Workflow); err != nil {
			return err
		}
		why, err := beyond(ctx, s, w.request, time.Now())
		if err != nil {
			return err
		}
		if why != "" {
			w.skip(runner.ReasonOverlap, cleanLine(why, maxLine))
		}
	}
	return nil
}

// beyond says why a run is beyond its budget; empty when it is not.
func beyond(ctx context.Context, s session, r runner.Request, now time.Time) (why string, err error) {
	b, began, last := *r.Budget, 0, time.Time{}
	query := "SELECT id, host, state, started_at, finished_at FROM runs WHERE workflow = ? AND (" + isOpen +
		" OR trigger = 'check' AND dry_run = ? AND (started_at > ? OR finished_at > ? AND started_at IS NOT NULL)) ORDER BY id"
	err = s.each(ctx, query, []any{r.Spec.Workflow, bit(r.DryRun), micros(now.Add(-b.Per)), micros(now.Add(-b.Cooldown))}, func(rows *sql.Rows) error {
		var id runner.RunID
		var host string
		var state runner.State
		var started, finished sql.NullInt64
		if err := rows.Scan(&id, &host, &state, &started, &finished); err != nil {
			return err
		}
		if host != "" {
			host = " for " + host
		}
		if !state.Final() {
			why = fmt.Sprintf("run %s of it%s is %s", id, host, state)
		}
		if instant(started).After(now.Add(-b.Per)) {
			began++
		}
		if at := instant(finished); at.After(last) {
			last = at
		}
		return nil
	})
	switch {
	case err != nil || why != "":
	case !last.IsZero() && last.After(now.Add(-b.Cooldown)):
		why = fmt.Sprintf("the last run ended at %s, and the cool-down is %s", last.UTC().Format(time.RFC3339), b.Cooldown)
	case b.Max > 0 && began >= b.Max:
		why = fmt.Sprintf("it ran %d times within %s, which is all that it may", began, b.Per)
	}
	return why, err
}
