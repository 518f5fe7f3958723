package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// pruneChunk is how many rows one transaction of PruneRuns deletes, so that
// nobody else waits for it for long.
const pruneChunk = 200

// PruneRuns deletes what r lets go, oldest first, and returns what went also
// together with an error. A run goes when it was recorded before the limits of
// its workflow, and ended before r.Now less AtLeast. On SQLite the space goes
// back to the file system, as long as the file was created by this version or
// a later one; the file of an older ledger keeps its size and uses the space
// again.
func (l *Ledger) PruneRuns(ctx context.Context, r runner.Retention) (runner.Pruned, error) {
	pruned := runner.Pruned{Runs: map[string]int{}}
	if r.Now.IsZero() {
		r.Now = time.Now()
	}
	names, err := l.workflowsOnRecord(ctx)
	if err != nil {
		return pruned, err
	}
	for _, name := range names {
		limits, found := r.Workflows[name]
		if !found {
			limits = r.Others
		}
		if err := l.pruneWorkflow(ctx, name, limits, r, &pruned); err != nil {
			return pruned, err
		}
	}
	if err := l.pruneSpecs(ctx, r.DryRun, &pruned); err != nil {
		return pruned, err
	}
	if err := l.pruneRest(ctx, r, &pruned); err != nil {
		return pruned, err
	}
	if err := l.pruneSamples(ctx, r, &pruned); err != nil {
		return pruned, err
	}
	if r.DryRun {
		return pruned, nil
	}
	if err := l.pruneLive(ctx); err != nil {
		return pruned, err
	}
	return pruned, l.giveBack(ctx)
}

// workflowsOnRecord returns the names of all workflows that have runs, by as
// many looks into an index as there are workflows.
func (r *Reader) workflowsOnRecord(ctx context.Context) ([]string, error) {
	const query = `WITH RECURSIVE names (name) AS (
		SELECT MIN(workflow) FROM runs UNION ALL
		SELECT (SELECT MIN(workflow) FROM runs WHERE workflow > names.name) FROM names WHERE names.name IS NOT NULL)
		SELECT name FROM names WHERE name IS NOT NULL`
	var names []string
	err := r.reading().each(ctx, query, nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	})
	return names, r.explain(ctx, "list the workflows on record", err)
}

// prunable is which runs of a workflow may go.
type prunable struct {
	workflow string
	// before is the bound of their IDs, ended that of their ends in
	// microseconds.
	before runner.RunID
	ended  int64
	// newest and success are the runs that stay in any case.
	newest, success runner.RunID
}

// pruneWorkflow deletes or counts the runs of one workflow that exceed its
// limits.
func (l *Ledger) pruneWorkflow(ctx context.Context, name string, limits runner.History, r runner.Retention, pruned *runner.Pruned) error {
	p, err := l.prunableOf(ctx, name, limits, r.Now)
	if err != nil || p.before == "" {
		return err
	}
	for after, more := runner.RunID(""), true; more; {
		page, err := l.pageOf(ctx, p, after)
		if err != nil {
			return err
		}
		gone := page
		if !r.DryRun {
			if gone, err = l.deleteRuns(ctx, p, page); err != nil {
				return err
			}
		}
		for _, run := range gone {
			pruned.Runs[name]++
			pruned.Bytes += run.bytes
		}
		if more = len(page) == pruneChunk; more {
			after = page[len(page)-1].id
		}
	}
	return nil
}

// prunableOf returns which runs of a workflow exceed its limits; before is
// empty when none does.
func (l *Ledger) prunableOf(ctx context.Context, name string, limits runner.History, now time.Time) (prunable, error) {
	p := prunable{workflow: name, ended: now.UnixMicro()}
	// The ranges are written as comparisons of whole index keys for the reason
	// that newest in runs.go gives.
	const all = "FROM runs WHERE (workflow, id) >= (?, '') AND (workflow, id) < (?, '" + idEnd + "')"
	excess := "NULL"
	if limits.Runs > 0 {
		excess = fmt.Sprintf("(SELECT id %s ORDER BY workflow DESC, id DESC LIMIT 1 OFFSET %d)", all, limits.Runs)
	}
	query := "SELECT (SELECT id " + all + " ORDER BY workflow, id LIMIT 1), (SELECT id " + all + " ORDER BY workflow DESC, id DESC LIMIT 1), " +
		"(SELECT id FROM runs WHERE workflow = ? AND finished_at > 0 AND " + wholeRuns + " ORDER BY workflow DESC, finished_at DESC, id DESC LIMIT 1), " +
		"(SELECT COALESCE(SUM(bytes), 0) FROM runs WHERE workflow = ? AND bytes > 0), " + excess
	args := []any{name, name, name, name, name, name}
	if limits.Runs > 0 {
		args = append(args, name, name)
	}
	var oldest, newest, success, last sql.NullString
	var bytes int64
	what := "look what may go of " + name
	if err := l.reading().row(ctx, query, args...).Scan(&oldest, &newest, &success, &bytes, &last); err != nil {
		return p, l.explain(ctx, what, err)
	}
	if !oldest.Valid {
		return p, nil
	}
	p.newest, p.success = runner.RunID(newest.String), runner.RunID(success.String)
	if limits.Keep > 0 {
		p.before = tickOf(now.Add(-limits.Keep)).bound()
	}
	if last.Valid {
		p.before = max(p.before, upTo(last.String))
	}
	if limits.Bytes > 0 && bytes > limits.Bytes {
		last, err := l.lastOfBytes(ctx, name, limits.Bytes)
		if err != nil {
			return p, l.explain(ctx, what, err)
		}
		p.before = max(p.before, upTo(last))
	}
	if limits.AtLeast > 0 {
		youngest := now.Add(-limits.AtLeast)
		p.before, p.ended = min(p.before, tickOf(youngest).bound()), youngest.UnixMicro()
	}
	if p.before <= runner.RunID(oldest.String) {
		p.before = ""
	}
	return p, nil
}

// upTo is the bound of IDs that are at most id: it continues id, and all IDs
// are equally long.
func upTo(id string) runner.RunID { return runner.RunID(id + "0") }

// lastOfBytes returns the newest run that, with all newer ones, takes more
// than limit bytes.
func (r *Reader) lastOfBytes(ctx context.Context, workflow string, limit int64) (last string, err error) {
	enough := errors.New("enough")
	sum := int64(0)
	err = r.reading().each(ctx, "SELECT id, bytes FROM runs WHERE workflow = ? AND bytes > 0 ORDER BY workflow DESC, id DESC", []any{workflow}, func(rows *sql.Rows) error {
		var bytes int64
		if err := rows.Scan(&last, &bytes); err != nil {
			return err
		}
		if sum += bytes; sum > limit {
			return enough
		}
		return nil
	})
	switch {
	case errors.Is(err, enough):
		return last, nil
	case err != nil:
		return "", err
	}
	// What exceeded the limit a moment ago is gone.
	return "", nil
}

// prunedRun is a run that may go.
type prunedRun struct {
	id    runner.RunID
	bytes int64
}

// mayGo is the condition on runs that may go; its arguments are those of
// prunable.stay.
const mayGo = "state NOT IN ('queued', 'running') AND id <> ? AND id <> ? AND (finished_at IS NULL OR finished_at < ?)"

func (p prunable) stay() []any { return []any{p.newest, p.success, p.ended} }

// pageOf returns the oldest runs after a run that may go.
func (r *Reader) pageOf(ctx context.Context, p prunable, after runner.RunID) ([]prunedRun, error) {
	var list []prunedRun
	query := fmt.Sprintf("SELECT id, bytes FROM runs WHERE workflow = ? AND id > ? AND id < ? AND %s ORDER BY workflow, id LIMIT %d", mayGo, pruneChunk)
	err := r.reading().each(ctx, query, append([]any{p.workflow, after, p.before}, p.stay()...), func(rows *sql.Rows) error {
		var run prunedRun
		err := rows.Scan(&run.id, &run.bytes)
		list = append(list, run)
		return err
	})
	return list, r.explain(ctx, "look what may go of "+p.workflow, err)
}

// deleteRuns deletes those of a page that still may go, with all that belongs
// to them, and returns them.
func (l *Ledger) deleteRuns(ctx context.Context, p prunable, page []prunedRun) ([]prunedRun, error) {
	if len(page) == 0 {
		return nil, nil
	}
	args := make([]any, len(page))
	for i, run := range page {
		args[i] = run.id
	}
	query := "DELETE FROM runs WHERE id IN (" + marks(len(page)) + ") AND " + mayGo + " RETURNING id, bytes"
	var gone []prunedRun
	err := l.transact(ctx, "delete old runs of "+p.workflow, func(ctx context.Context, s session) error {
		gone = gone[:0]
		return s.each(ctx, query, append(args, p.stay()...), func(rows *sql.Rows) error {
			var run prunedRun
			err := rows.Scan(&run.id, &run.bytes)
			gone = append(gone, run)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}
