package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
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
// that a retry superseded are among them: they too saw what they saw. When
// except is the share of one node, only what that node did counts: another
// machine has other disks, other files and another history. Of other workflows
// also runs for any node count, wherever they were.
func (r *Reader) Past(ctx context.Context, workflow, job string, except runner.RunID, limit int) ([]runner.Attempt, error) {
	what := fmt.Sprintf("read the history of %s/%s", workflow, job)
	var list []runner.Attempt
	// The conditions on state and dry_run are those of the index attempts_past.
	where := " FROM attempts a WHERE a.workflow = ? AND a.job = ? AND a.state IN ('succeeded', 'warned') AND a.dry_run = 0 AND a.run <> ?"
	args := []any{workflow, job, except}
	asking, host, err := r.askingHost(ctx, except)
	if err != nil {
		return nil, r.explain(ctx, what, err)
	}
	if host != "" {
		where += " AND EXISTS (SELECT 1 FROM runs r WHERE r.id = a.run AND (r.host = ? OR r.host = '' AND (r.workflow <> ? OR r.node = ?)))"
		args = append(args, host, asking, host)
	}
	where += fmt.Sprintf(" ORDER BY a.finished_at DESC, a.run DESC, a.number DESC LIMIT %d", limit)
	err = r.reading().each(ctx, "SELECT "+attemptColumns+where, args, func(rows *sql.Rows) error {
		a, err := scanAttempt(rows)
		list = append(list, a)
		return err
	})
	return list, r.explain(ctx, what, err)
}

// askingHost returns the workflow of a run and the node whose share it is; empty
// when it is no node's, and where there is but one node.
func (r *Reader) askingHost(ctx context.Context, id runner.RunID) (workflow, host string, err error) {
	if r.d.local || id == "" {
		return "", "", nil
	}
	err = r.reading().row(ctx, "SELECT workflow, host FROM runs WHERE id = ?", id).Scan(&workflow, &host)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return workflow, host, err
}
