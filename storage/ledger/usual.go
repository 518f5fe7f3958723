package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// usualRuns is how many runs the figures of runner.Usual rest on at most;
	// usualLooks is among how many they are looked for.
	usualRuns  = 20
	usualLooks = 2 * usualRuns
)

// wholeRuns is the condition on runs that did all of their work, word for word
// that of the index runs_whole.
const wholeRuns = "state IN ('succeeded', 'warned') AND dry_run = 0 AND jobs = ''"

// Usual returns how long each named workflow usually takes, by its latest runs
// that were whole, not dry, Succeeded or Warned, and not retried: the time
// until somebody retries a run is no duration of the workflow.
func (r *Reader) Usual(ctx context.Context, workflows []string) (map[string]runner.Usual, error) {
	took := map[string][]time.Duration{}
	err := r.latestWhole(ctx, workflows, usualLooks, func(w wholeRun) {
		if !w.retried && !w.started.IsZero() && len(took[w.workflow]) < usualRuns {
			took[w.workflow] = append(took[w.workflow], w.finished.Sub(w.started))
		}
	})
	if err != nil {
		return nil, r.explain(ctx, "read the usual durations", err)
	}
	usual := make(map[string]runner.Usual, len(took))
	for name, list := range took {
		usual[name] = usualOf(list)
	}
	return usual, nil
}

// usualOf returns the figures of a list that is not empty. The 95th percentile
// is that of the nearest rank: the smallest of the list that at least 95 % do
// not exceed.
func usualOf(list []time.Duration) runner.Usual {
	slices.Sort(list)
	n := len(list)
	return runner.Usual{
		Runs:   n,
		Median: (list[(n-1)/2] + list[n/2]) / 2,
		P95:    list[(95*n+99)/100-1], Longest: list[n-1],
	}
}

// Successes returns when each named workflow last did its work.
func (r *Reader) Successes(ctx context.Context, workflows []string) (map[string]time.Time, error) {
	ends := make(map[string]time.Time, len(workflows))
	err := r.latestWhole(ctx, workflows, 1, func(w wholeRun) { ends[w.workflow] = w.finished })
	if err != nil {
		return nil, r.explain(ctx, "look up the latest successes", err)
	}
	return ends, nil
}

// Shares returns how the nodes that belong to the system do with their shares in
// the named workflows, ordered by workflow and host.
func (r *Reader) Shares(ctx context.Context, workflows []string) ([]runner.Share, error) {
	var list []runner.Share
	for names := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(workflows))), inChunk) {
		args := make([]any, len(names))
		for i, name := range names {
			args[i] = name
		}
		err := r.reading().each(ctx, `SELECT c.workflow, c.host, m.labels, c.since,
			(SELECT MAX(finished_at) FROM runs WHERE `+wholeRuns+` AND workflow = c.workflow AND host = c.host AND finished_at > 0)
			FROM cursors c JOIN members m ON m.name = c.host WHERE c.workflow IN (`+marks(len(names))+`) ORDER BY c.workflow, c.host`, args, func(rows *sql.Rows) error {
			var s runner.Share
			var labels string
			var since int64
			var success sql.NullInt64
			if err := rows.Scan(&s.Workflow, &s.Host, &labels, &since, &success); err != nil {
				return err
			}
			s.Since, s.Success = time.UnixMicro(since).UTC(), instant(success)
			if err := unpack(labels, &s.Labels); err != nil {
				return fmt.Errorf("labels of member %s: %w", s.Host, err)
			}
			list = append(list, s)
			return nil
		})
		if err != nil {
			return nil, r.explain(ctx, "look up the latest successes of each node", err)
		}
	}
	return list, nil
}

// wholeRun is a run that did all of its work.
type wholeRun struct {
	workflow          string
	started, finished time.Time
	retried           bool
}

// latestWhole calls visit for the latest whole runs of each workflow, at most
// limit, latest end first.
func (r *Reader) latestWhole(ctx context.Context, workflows []string, limit int, visit func(wholeRun)) error {
	for names := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(workflows))), inChunk) {
		q := new(query)
		for i, name := range names {
			if i > 0 {
				q.add(" UNION ALL ")
			}
			// The bound on finished_at makes the range one of whole index keys.
			q.add(fmt.Sprintf("SELECT * FROM (SELECT workflow, started_at, finished_at, CASE WHEN reopened_by = '' THEN 0 ELSE 1 END AS retried FROM runs WHERE "+wholeRuns+
				" AND workflow = ? AND finished_at > 0 ORDER BY workflow DESC, finished_at DESC, id DESC LIMIT %d) AS part_%d", limit, i), name)
		}
		q.add(" ORDER BY finished_at DESC")
		err := r.reading().each(ctx, q.text.String(), q.args, func(rows *sql.Rows) error {
			var w wholeRun
			var started, finished sql.NullInt64
			err := rows.Scan(&w.workflow, &started, &finished, &w.retried)
			w.started, w.finished = instant(started), instant(finished)
			visit(w)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
