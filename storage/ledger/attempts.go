package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Attempts returns all attempts of the given runs, ordered by run, start, job
// and number. An attempt that never began stands where it ended.
func (r *Reader) Attempts(ctx context.Context, runs ...runner.RunID) ([]runner.Attempt, error) {
	var list []runner.Attempt
	for ids := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(runs))), inChunk) {
		args := make([]any, len(ids))
		for i, id := range ids {
			args[i] = id
		}
		err := r.reading().each(ctx, "SELECT "+attemptColumns+" FROM attempts a WHERE a.run IN ("+marks(len(ids))+")", args, func(rows *sql.Rows) error {
			a, err := scanAttempt(rows)
			list = append(list, a)
			return err
		})
		if err != nil {
			return nil, r.explain(ctx, "list attempts", err)
		}
	}
	slices.SortFunc(list, func(a, b runner.Attempt) int {
		return cmp.Or(strings.Compare(string(a.Run), string(b.Run)), placeOf(a).Compare(placeOf(b)), strings.Compare(a.Job, b.Job), cmp.Compare(a.Number, b.Number))
	})
	return list, nil
}

func placeOf(a runner.Attempt) time.Time {
	if a.StartedAt.IsZero() {
		return a.FinishedAt
	}
	return a.StartedAt
}

// Past returns at most limit attempts of a job that did their work, newest
// end first, from runs that were not dry, leaving out the run except. Attempts
// that a retry superseded are among them: they too saw what they saw.
func (r *Reader) Past(ctx context.Context, workflow, job string, except runner.RunID, limit int) ([]runner.Attempt, error) {
	var list []runner.Attempt
	// The conditions on state and dry_run are those of the index attempts_past.
	where := fmt.Sprintf(` FROM attempts a WHERE a.workflow = ? AND a.job = ? AND a.state IN ('succeeded', 'warned') AND a.dry_run = 0 AND a.run <> ?
		ORDER BY a.finished_at DESC, a.run DESC, a.number DESC LIMIT %d`, limit)
	err := r.reading().each(ctx, "SELECT "+attemptColumns+where, []any{workflow, job, except}, func(rows *sql.Rows) error {
		a, err := scanAttempt(rows)
		list = append(list, a)
		return err
	})
	return list, r.explain(ctx, fmt.Sprintf("read the history of %s/%s", workflow, job), err)
}
