package ledger

import (
	"context"
	"database/sql"
	"slices"

	"github.com/ghosteam/upkeep/runner"
)

// JobName names a job of a workflow.
type JobName struct{ Workflow, Job string }

// newestChunk is of how many jobs one statement finds the newest attempts.
const newestChunk = 2000

// newestOfJob is what finds the newest attempt of a wanted job. The conditions on
// state and dry_run are those of the index attempts_past.
const newestOfJob = ` FROM attempts b WHERE b.workflow = wanted.workflow AND b.job = wanted.job AND b.state IN ('succeeded', 'warned') AND b.dry_run = 0
	ORDER BY b.finished_at DESC, b.run DESC, b.number DESC LIMIT 1`

// Newest returns for each of some jobs what Past returns first: the latest
// attempt that did its work in a run that was not dry. Jobs without one are left
// out. It takes one statement for 2,000 jobs, with a look into the index for each.
func (r *Reader) Newest(ctx context.Context, jobs []JobName) (map[JobName]runner.Attempt, error) {
	newest := make(map[JobName]runner.Attempt, len(jobs))
	for some := range slices.Chunk(jobs, newestChunk) {
		args := make([]any, 0, 2*len(some))
		for _, j := range some {
			args = append(args, j.Workflow, j.Job)
		}
		query := "WITH wanted (workflow, job) AS (VALUES " + tuples(len(some), 2) + ") SELECT wanted.workflow, " + attemptColumns + " FROM wanted CROSS JOIN "
		if r.d.local {
			query += "attempts a WHERE a.rowid = (SELECT b.rowid" + newestOfJob + ")"
		} else {
			query += "LATERAL (SELECT b.*" + newestOfJob + ") a"
		}
		err := r.reading().each(ctx, query, args, func(rows *sql.Rows) error {
			var workflow string
			a, err := scanAttempt(preceded{rows, &workflow})
			newest[JobName{workflow, a.Job}] = a
			return err
		})
		if err != nil {
			return nil, r.explain(ctx, "read the newest attempts", err)
		}
	}
	return newest, nil
}

// preceded scans a row that begins with a column more.
type preceded struct {
	scanner
	first any
}

func (p preceded) Scan(dest ...any) error {
	return p.scanner.Scan(append([]any{p.first}, dest...)...)
}
