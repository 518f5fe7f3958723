package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// pruneSpecs deletes or counts the frozen texts that no run uses.
func (l *Ledger) pruneSpecs(ctx context.Context, dryRun bool, pruned *runner.Pruned) error {
	const unused = "NOT EXISTS (SELECT 1 FROM runs r WHERE r.spec = specs.digest)"
	query := fmt.Sprintf("SELECT digest, octet_length(text) FROM specs WHERE digest > ? AND %s ORDER BY digest LIMIT %d", unused, pruneChunk)
	for after, more := "", true; more; {
		var digests []any
		count, bytes := 0, int64(0)
		err := l.reading().each(ctx, query, []any{after}, func(rows *sql.Rows) error {
			var size int64
			err := rows.Scan(&after, &size)
			digests, count, bytes = append(digests, after), count+1, bytes+size
			return err
		})
		if err != nil {
			return l.explain(ctx, "look for unused workflow texts", err)
		}
		more = len(digests) == pruneChunk
		if !dryRun && len(digests) > 0 {
			// A run may have taken one up meanwhile.
			err := l.transact(ctx, "delete unused workflow texts", func(ctx context.Context, s session) error {
				count, bytes = 0, 0
				return s.each(ctx, "DELETE FROM specs WHERE digest IN ("+marks(len(digests))+") AND "+unused+" RETURNING octet_length(text)", digests, func(rows *sql.Rows) error {
					var size int64
					err := rows.Scan(&size)
					count, bytes = count+1, bytes+size
					return err
				})
			})
			if err != nil {
				return err
			}
		}
		pruned.Specs, pruned.Bytes = pruned.Specs+count, pruned.Bytes+bytes
	}
	return nil
}

// pruneRest deletes or counts what is older than r.Rest and belongs to no run.
func (l *Ledger) pruneRest(ctx context.Context, r runner.Retention, pruned *runner.Pruned) error {
	if r.Rest <= 0 {
		return nil
	}
	before := r.Now.Add(-r.Rest).UnixMicro()
	for _, rest := range []struct {
		table, key, where string
		count             *int
	}{
		// A notice that is still owed keeps its incident.
		{"incidents", "id", "state = 'resolved' AND resolved_at < ? AND NOT EXISTS (SELECT 1 FROM notices n WHERE n.incident = incidents.id AND n.state IN ('pending', 'sending'))", &pruned.Incidents},
		{"notices", "id", "incident IS NULL AND ended_at IS NOT NULL AND ended_at < ?", &pruned.Notices},
		{"events", "id", "at < ?", &pruned.Events},
		{"pauses", "workflow", "until < ?", &pruned.Pauses},
		{"silences", "id", "until < ?", &pruned.Silences},
		{"actions", "id", "at < ?", &pruned.Actions},
		{"tokens", "id", "COALESCE(revoked_at, expires_at) < ?", &pruned.Tokens},
	} {
		if r.DryRun {
			query := "SELECT COUNT(*) FROM " + rest.table + " WHERE " + rest.where
			if err := l.reading().row(ctx, query, before).Scan(rest.count); err != nil {
				return l.explain(ctx, "count old "+rest.table, err)
			}
			continue
		}
		query := fmt.Sprintf("DELETE FROM %[1]s WHERE %[2]s IN (SELECT %[2]s FROM %[1]s WHERE %[3]s LIMIT %[4]d)", rest.table, rest.key, rest.where, pruneChunk)
		for gone := int64(pruneChunk); gone == pruneChunk; *rest.count += int(gone) {
			err := l.transact(ctx, "delete old "+rest.table, func(ctx context.Context, s session) error {
				var err error
				gone, err = s.exec(ctx, query, before)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return l.pruneCursors(ctx, r, before, pruned)
}

// pruneCursors deletes or counts the old cursors of workflows that are not
// configured.
func (l *Ledger) pruneCursors(ctx context.Context, r runner.Retention, before int64, pruned *runner.Pruned) error {
	var old []runner.CalendarKey
	err := l.reading().each(ctx, "SELECT workflow, host FROM cursors WHERE through < ?", []any{before}, func(rows *sql.Rows) error {
		var key runner.CalendarKey
		err := rows.Scan(&key.Workflow, &key.Host)
		if _, configured := r.Workflows[key.Workflow]; !configured {
			old = append(old, key)
		}
		return err
	})
	if err != nil {
		return l.explain(ctx, "look for old cursors", err)
	}
	if r.DryRun || len(old) == 0 {
		pruned.Cursors += len(old)
		return nil
	}
	gone := int64(0)
	err = l.transact(ctx, "delete old cursors", func(ctx context.Context, s session) error {
		gone = 0
		for _, key := range old {
			n, err := s.exec(ctx, "DELETE FROM cursors WHERE workflow = ? AND host = ? AND through < ?", key.Workflow, key.Host, before)
			if err != nil {
				return err
			}
			gone += n
		}
		return nil
	})
	pruned.Cursors += int(gone)
	return err
}

const (
	// spareShare is which part of an SQLite file may be free without being
	// given back, because it is soon used again; spareBytes is how much may be
	// at least.
	spareShare = 8
	spareBytes = 4 << 20
	// vacuumPages is how many pages one step gives back.
	vacuumPages = 500
	// autoVacuumIncremental is the mode in which SQLite can give pages back
	// (https://www.sqlite.org/pragma.html#pragma_auto_vacuum).
	autoVacuumIncremental = 2
)

// giveBack shortens an SQLite file of which much is free, a few pages at a
// time. PostgreSQL uses the space of deleted rows again by itself.
func (l *Ledger) giveBack(ctx context.Context) error {
	if !l.d.local {
		return nil
	}
	const what = "give the space of what was deleted back"
	for {
		var mode, pages, free, size int64
		const query = "SELECT (SELECT auto_vacuum FROM pragma_auto_vacuum), (SELECT page_count FROM pragma_page_count), (SELECT freelist_count FROM pragma_freelist_count), (SELECT page_size FROM pragma_page_size)"
		if err := l.reading().row(ctx, query).Scan(&mode, &pages, &free, &size); err != nil {
			return l.explain(ctx, what, err)
		}
		if mode != autoVacuumIncremental || free <= max(pages/spareShare, spareBytes/size) {
			return nil
		}
		before := free
		if _, err := l.write.ExecContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages)); err != nil {
			return l.explain(ctx, what, err)
		}
		if err := l.reading().row(ctx, "SELECT freelist_count FROM pragma_freelist_count").Scan(&free); err != nil {
			return l.explain(ctx, what, err)
		}
		if free >= before {
			// Somebody deletes more than this gives back; the next time will do.
			return nil
		}
		// Others write between the steps.
		select {
		case <-ctx.Done():
			return l.explain(ctx, what, context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
}
