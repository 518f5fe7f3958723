// Package pgreview is the kind that reviews the performance and the dangers of
// a PostgreSQL database without changing anything in it. It knows which
// questions the server's catalogs and statistics answer, how sure an answer is,
// and what the role or the version keeps from it; that it says. It refuses to
// call good what it could not see, and never runs what it suggests.
//
// The package also explains single statements for the command line (Explain)
// and compares their plans (Plan.Diff).
package pgreview

import (
	"errors"
	"fmt"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const doc = `Reviews a PostgreSQL database: indexes, bloat, slow statements, connections, limits that come near.

Every check is read-only: a transaction of its own that can only read, with timeouts for statements and
locks, rolled back at the end. What to do about a finding is suggested as SQL in the job's output (and in
the outputs ` + "`sql.CHECK`" + `); nothing of it is run. It works from PostgreSQL 9.6 on, through poolers, and on a
standby, where the checks are left out whose answers only the primary has.

**What it could not see** it says: a check that lacks a privilege, fails or takes too long leaves a finding
` + "`unseen:CHECK`" + ` of severity warning; one that the server's version, a missing extension or a standby rules
out leaves one of severity info. Neither counts as good. A role with pg_monitor (PostgreSQL 10 and later)
sees the statistics of everybody; for column statistics (bloat) and keys it needs to read the tables too, for
example by pg_read_all_data (14 and later).

**Statements.** With the extension pg_stat_statements (in shared_preload_libraries, and
` + "`CREATE EXTENSION pg_stat_statements`" + ` in this database) the review shows the statements that took most
time in all and on average since the run before, and reports those whose mean is above a limit or has grown.
Their texts are shown without any literal value and without comments. When the statistics were reset in
between, what came after the reset counts.

**Bloat** is an estimate from the statistics of the planner, not a measurement: the expected size is computed
from the layout of pages and rows (postgresql.org/docs/current/storage-page-layout.html and
btree.html), the average width of the columns with their alignment, and the fill factor. It is as
good as the last ANALYZE. Columns without visible statistics make a table unseen. Large values in TOAST tables are not looked at. Deduplicated
indexes (13 and later) are smaller than expected, so their bloat is underestimated.

**Numbers that grow** (forced checkpoints, temporary files, deadlocks, cache hits, statements) are compared
with the run before; the first run judges what the statistics hold.

**Checks:** CHECKS

Findings have the id CHECK:OBJECT, such as unused_indexes:public.orders_note_idx, which stays the same between
runs; ` + "`ignore`" + ` takes patterns of them. At most max_findings of each check are listed, the worst first.

Values: findings, ignored, checks, unseen, database_bytes, connections, connections_percent, cache_hit_percent, wraparound_percent,
slot_retained_bytes, unused_index_bytes, redundant_index_bytes, bloat_bytes, statement_seconds_per_day (time of
all statements), pool_connections, longest_transaction_seconds; each only when its check could see.`

// Kind returns the kind of job.
func Kind() jobs.Kind {
	return jobs.Define("pgreview", documentation(), defaults(), build)
}

// Job is one review.
type Job struct {
	options  Options
	database jobs.Database
	history  jobs.History
}

var (
	_ jobs.Job     = (*Job)(nil)
	_ jobs.Checker = (*Job)(nil)
)

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	databases, errs := pg.Databases(deps, o.Database)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	history, err := deps.History("", "")
	if err != nil {
		return nil, fmt.Errorf("history of this job: %w", err)
	}
	return &Job{options: o, database: databases[0], history: history}, nil
}
