package pgreview

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// danger is a setting whose one value is a danger.
type danger struct {
	value    string
	severity jobs.Severity
	why      string
}

// dangers are settings that nobody wants on a server that keeps data.
func dangers() map[string]danger {
	return map[string]danger{
		"fsync":                 {"off", jobs.Critical, "a crash of the machine destroys the data"},
		"full_page_writes":      {"off", jobs.Critical, "a crash of the machine can leave torn pages"},
		"autovacuum":            {"off", jobs.Warning, "tables bloat, and transaction ids run out"},
		"track_counts":          {"off", jobs.Warning, "autovacuum does not see what there is to do, nor does this review"},
		"zero_damaged_pages":    {"on", jobs.Critical, "damaged data is thrown away silently"},
		"ignore_system_indexes": {"on", jobs.Warning, "the catalogs are read without their indexes"},
	}
}

// askSettings looks at settings.
func askSettings(ctx context.Context, r *review) error {
	all, err := ask[struct {
		Name, Value string
		Pending     bool
	}](ctx, r, "SELECT name, coalesce(setting, ''), pending_restart FROM pg_settings ORDER BY name")
	if err != nil {
		return err
	}
	known := dangers()
	for _, s := range all {
		if d, ok := known[s.Name]; ok && s.Value == d.value {
			r.add(d.severity, 0, s.Name, fmt.Sprintf("%s is %s: %s", s.Name, s.Value, d.why), "")
		}
		if s.Pending {
			r.add(jobs.Info, 0, s.Name+":pending", fmt.Sprintf("%s was changed in a file and waits for a restart of the server", s.Name), "")
		}
	}
	return nil
}

// askCollations finds collations that the system sorts in another way than when
// indexes were built (postgresql.org/docs/current/sql-altercollation.html).
func askCollations(ctx context.Context, r *review) error {
	all, err := ask[struct{ Schema, Name, Was, Is string }](ctx, r, `SELECT n.nspname, c.collname, c.collversion, pg_collation_actual_version(c.oid)
		FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
		WHERE c.collprovider <> 'd' AND c.collversion IS NOT NULL AND pg_collation_actual_version(c.oid) IS NOT NULL
			AND c.collversion <> pg_collation_actual_version(c.oid)
			AND (n.nspname <> 'pg_catalog' OR EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_collation'::regclass AND d.refobjid = c.oid)
				OR EXISTS (SELECT FROM pg_attribute a WHERE a.attcollation = c.oid) OR EXISTS (SELECT FROM pg_index i WHERE c.oid = ANY (i.indcollation)))`)
	if err != nil {
		return err
	}
	for _, c := range all {
		r.add(jobs.Warning, 0, dotted(c.Schema, c.Name), fmt.Sprintf("collation %s.%s was of version %s and is %s: indexes on it may be in the wrong order until they are built anew", c.Schema, c.Name, c.Was, c.Is),
			fmt.Sprintf("ALTER COLLATION %s REFRESH VERSION; -- after REINDEX of what uses it", sqlName(c.Schema, c.Name)))
	}
	if r.conn.Server.Number < 150000 {
		r.cannotSee(jobs.Info, "the version of the database's own collation, which servers note since version 15")
		return nil
	}
	databases, err := ask[struct{ Name, Was, Is string }](ctx, r, `SELECT datname, datcollversion, pg_database_collation_actual_version(oid) FROM pg_database
		WHERE datname = current_database() AND datcollversion IS NOT NULL AND pg_database_collation_actual_version(oid) IS NOT NULL AND datcollversion <> pg_database_collation_actual_version(oid)`)
	if err != nil {
		return err
	}
	for _, d := range databases {
		r.add(jobs.Warning, 1, "database:"+d.Name, fmt.Sprintf("the collation of database %s was of version %s and is %s: indexes on text may be in the wrong order until they are built anew", d.Name, d.Was, d.Is),
			fmt.Sprintf("REINDEX DATABASE CONCURRENTLY %s; -- then ALTER DATABASE %[1]s REFRESH COLLATION VERSION;", sqlName(d.Name)))
	}
	return nil
}

// askNeverAnalyzed finds tables that the planner knows nothing of.
func askNeverAnalyzed(ctx context.Context, r *review) error {
	all, err := ask[struct {
		Schema, Table string
		Rows          int64
	}](ctx, r, `SELECT s.schemaname, s.relname, greatest(s.n_live_tup, c.reltuples::int8)
		FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
		WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND s.last_analyze IS NULL AND s.last_autoanalyze IS NULL AND greatest(s.n_live_tup, c.reltuples::int8) >= $1
			AND NOT EXISTS (SELECT FROM pg_stats p WHERE p.schemaname = s.schemaname AND p.tablename = s.relname)
			AND has_table_privilege(c.oid, 'SELECT')`, r.options.NeverRows)
	if err != nil {
		return err
	}
	for _, t := range all {
		r.add(jobs.Warning, float64(t.Rows), dotted(t.Schema, t.Table), fmt.Sprintf("table %s.%s was never analyzed: the planner guesses about its %s rows", t.Schema, t.Table, humanize.Comma(t.Rows)),
			"ANALYZE "+sqlName(t.Schema, t.Table)+";")
	}
	denied, err := ask[struct{ N int64 }](ctx, r, `SELECT count(*) FROM pg_stat_user_tables s WHERE s.last_analyze IS NULL AND s.last_autoanalyze IS NULL
		AND s.n_live_tup >= $1 AND NOT has_table_privilege(s.relid, 'SELECT')`, r.options.NeverRows)
	if err == nil && denied[0].N > 0 {
		r.cannotSee(jobs.Warning, "the statistics of %d tables that %s may not read", denied[0].N, sqlName(r.conn.Server.User))
	}
	return err
}

// scanned is a table with its sequential scans.
type scanned struct {
	OID           int64
	Schema, Table string
	Bytes         int64
	Scans, Reads  int64
}

// The bounds of askSequentialScans: a table is large from so many times the
// least size of a reported index on, so many scans a day are many, and so many
// tables are looked at.
const (
	largeTable   = 32
	manyScans    = 24
	mostScanned  = 100
	shortestSpan = time.Hour
)

// askSequentialScans finds large tables that are often read as a whole.
func askSequentialScans(ctx context.Context, r *review) error {
	all, err := ask[scanned](ctx, r, `SELECT s.relid::int8, s.schemaname, s.relname, c.relpages::int8 * current_setting('block_size')::int8, coalesce(s.seq_scan, 0), coalesce(s.seq_tup_read, 0)
		FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
		WHERE c.relkind = 'r' AND c.relpages::int8 * current_setting('block_size')::int8 >= $1 ORDER BY c.relpages DESC LIMIT $2`,
		largeTable*max(r.options.Indexes.MinSize.Bytes(), 1<<20), int64(mostScanned))
	if err != nil {
		return err
	}
	r.now.Scans = map[int64]int64{}
	for _, t := range all {
		r.now.Scans[t.OID] = t.Scans
		scans, from := t.Scans, r.now.Reset
		if was, known := r.before.Scans[t.OID]; known && was <= scans && r.before.Reset.Equal(from) {
			scans, from = scans-was, r.before.At
		}
		days := max(r.facts.At.Sub(from), shortestSpan).Hours() / 24
		if daily := float64(scans) / days; daily > manyScans {
			r.add(jobs.Info, daily*float64(t.Bytes), dotted(t.Schema, t.Table), fmt.Sprintf("table %s.%s (%s) was read as a whole %s times a day since %s: an index may be missing",
				t.Schema, t.Table, size(t.Bytes), humanize.FormatFloat("#,###.", daily), day(from)), "")
		}
	}
	return nil
}
