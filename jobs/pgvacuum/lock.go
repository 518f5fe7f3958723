package pgvacuum

import (
	"context"
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// lockers asks who holds locks on the tables $1, their indexes or partitions
// that are in the way of VACUUM and ANALYZE, or, when $2, of VACUUM FULL; $3 is
// our own process.
const lockers = `SELECT DISTINCT CASE WHEN a.pid IS NULL THEN 'a prepared transaction' ELSE ` + person + ` END,
		coalesce(a.backend_type = 'autovacuum worker', false)
	FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
	WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND l.relation IN (SELECT unnest($1::oid[]) UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = ANY ($1)
			UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = ANY ($1))
		AND l.pid IS DISTINCT FROM pg_backend_pid() AND l.pid IS DISTINCT FROM $3
		AND ($2 OR l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
	LIMIT 3`

// holders are those who hold a lock.
type holders struct {
	// who describes them; empty when there is nobody.
	who string
	// autovacuum tells that one of them is at the same work.
	autovacuum bool
}

// autovacuumAtWork is why a table is left alone.
const autovacuumAtWork = "autovacuum is at work on it"

// holders asks who holds locks on a table that are in the way.
func (s *session) holders(ctx context.Context, w work) (holders, error) {
	type row struct {
		Who        string
		Autovacuum bool
	}
	rows, err := pg.Rows[row](ctx, s.control, lockers, []uint32{w.table.OID, w.table.Toast}, w.full, s.process)
	if err != nil {
		return holders{}, fmt.Errorf("ask who holds locks on %s: %w", w.table.label(), err)
	}
	var out holders
	var names []string
	for _, r := range rows {
		names = append(names, r.Who)
		out.autovacuum = out.autovacuum || r.Autovacuum
	}
	out.who = s.env.OneLine(strings.Join(names, ", "))
	return out, nil
}

// lockedOut says who holds a lock on a table.
func (s *session) lockedOut(ctx context.Context, w work, seen watched) error {
	h := holders{who: seen.blocker}
	if h.who == "" {
		var err error
		if h, err = s.holders(ctx, w); err != nil {
			return err
		}
	}
	switch {
	case h.autovacuum:
		return &shortfall{clean, autovacuumAtWork}
	case h.who == "":
		return &shortfall{locked, "somebody held a lock on it"}
	}
	return &shortfall{locked, "a lock on it is held by " + h.who}
}
