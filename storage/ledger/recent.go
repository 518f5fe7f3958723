package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/runner"
)

// Recent returns the newest runs of each named workflow, newest first, at most
// each of them, without the text of their specs, their parameters and their
// jobs.
func (r *Reader) Recent(ctx context.Context, workflows []string, each int) (map[string][]runner.Run, error) {
	if each < 0 {
		return nil, fmt.Errorf("list the recent runs: the number %d is negative", each)
	}
	out := make(map[string][]runner.Run, len(workflows))
	if each == 0 {
		return out, nil
	}
	for names := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(workflows))), inChunk) {
		ids := new(query)
		for i, name := range names {
			if i > 0 {
				ids.add(" UNION ALL ")
			}
			ids.add("SELECT id FROM (")
			ids.newest(runner.Filter{Workflow: name, Limit: each}, "", "")
			ids.add(fmt.Sprintf(") AS part_%d", i))
		}
		text := `SELECT id, workflow, slot, trigger, dry_run, state, reason, owner, queued_at, started_at, finished_at
			FROM runs WHERE id IN (` + ids.text.String() + ") ORDER BY id DESC"
		err := r.reading().each(ctx, text, ids.args, func(rows *sql.Rows) error {
			var run runner.Run
			var slot, queued, started, finished sql.NullInt64
			err := rows.Scan(&run.ID, &run.Spec.Workflow, &slot, &run.Trigger, &run.DryRun, &run.State, &run.Reason, &run.Owner, &queued, &started, &finished)
			run.Slot, run.QueuedAt, run.StartedAt, run.FinishedAt = instant(slot), instant(queued), instant(started), instant(finished)
			out[run.Spec.Workflow] = append(out[run.Spec.Workflow], run)
			return err
		})
		if err != nil {
			return nil, r.explain(ctx, "list the recent runs", err)
		}
	}
	return out, nil
}
