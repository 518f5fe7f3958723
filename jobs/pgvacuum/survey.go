package pgvacuum

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// table is what the server knows about one table, column by column as surveyed
// returns them. Sizes are the planner's: asking for the true ones would wait
// for locks.
type table struct {
	OID          uint32
	Schema, Name string
	// Kind is r for a table, m for a materialized view, p for the parent of
	// partitions.
	Kind string
	// Permitted tells that the user may vacuum it.
	Permitted bool
	Owner     string
	// Rows is negative when the table was never vacuumed or analyzed.
	Rows                    float64
	Bytes                   int64
	Live, Dead              int64
	Inserts, Mods           int64
	Age, MXIDAge            int64
	Options                 []string
	Analyzed                bool
	Vacuums, Analyzes       int64
	Toast                   uint32
	ToastName               string
	ToastRows               float64
	ToastDead, ToastInserts int64
	ToastAge, ToastMXIDAge  int64
	ToastOptions            []string
	ToastVacuums            int64
	// PartMods and PartRows are the sums of all partitions; PartNewer tells
	// that one of them was analyzed more than a day after the parent. The day
	// is there because ANALYZE of a parent analyzes its partitions after it.
	PartMods  int64
	PartRows  float64
	PartNewer bool
}

// surveyed asks for all tables that could be due, or for the one of $1. What
// takes locks on tables, such as pg_relation_size, is not asked. Sessions' own
// temporary tables and foreign tables are left out. %s is who may vacuum by
// privilege.
const surveyed = `WITH RECURSIVE tree (root, leaf) AS (
	SELECT i.inhparent, i.inhrelid FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent AND p.relkind = 'p'
	WHERE $1::oid IS NULL OR p.oid = $1
	UNION ALL
	SELECT tree.root, i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.leaf
), parts AS (
	SELECT root, sum(pg_stat_get_mod_since_analyze(leaf))::bigint AS mods, sum(greatest(l.reltuples, 0))::float8 AS rows,
		max(greatest(pg_stat_get_last_analyze_time(leaf), pg_stat_get_last_autoanalyze_time(leaf))) AS analyzed
	FROM tree JOIN pg_class l ON l.oid = leaf AND l.relkind = 'r' GROUP BY root
), indexes AS (
	SELECT i.indrelid, sum(ic.relpages)::bigint AS pages FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
	WHERE $1::oid IS NULL OR i.indrelid = $1 GROUP BY i.indrelid
)
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
	pg_has_role(c.relowner, 'USAGE') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
		OR NOT c.relisshared AND (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database())%s,
	pg_get_userbyid(c.relowner)::text,
	c.reltuples::float8,
	greatest((c.relpages + coalesce(x.pages, 0) + coalesce(t.relpages, 0))::bigint * current_setting('block_size')::bigint,
		(pg_stat_get_live_tuples(c.oid) + pg_stat_get_dead_tuples(c.oid)) * 32),
	pg_stat_get_live_tuples(c.oid), pg_stat_get_dead_tuples(c.oid), pg_stat_get_ins_since_vacuum(c.oid), pg_stat_get_mod_since_analyze(c.oid),
	CASE WHEN c.relfrozenxid = '0' THEN 0 ELSE age(c.relfrozenxid) END::bigint,
	CASE WHEN c.relminmxid = '0' THEN 0 ELSE mxid_age(c.relminmxid) END::bigint,
	coalesce(c.reloptions, '{}')::text[],
	coalesce(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) IS NOT NULL,
	pg_stat_get_vacuum_count(c.oid), pg_stat_get_analyze_count(c.oid),
	coalesce(t.oid, 0)::oid, coalesce(t.relname, '')::text, coalesce(t.reltuples, 0)::float8,
	coalesce(pg_stat_get_dead_tuples(t.oid), 0), coalesce(pg_stat_get_ins_since_vacuum(t.oid), 0),
	CASE WHEN t.oid IS NULL OR t.relfrozenxid = '0' THEN 0 ELSE age(t.relfrozenxid) END::bigint,
	CASE WHEN t.oid IS NULL OR t.relminmxid = '0' THEN 0 ELSE mxid_age(t.relminmxid) END::bigint,
	coalesce(t.reloptions, c.reloptions, '{}')::text[],
	coalesce(pg_stat_get_vacuum_count(t.oid), 0),
	coalesce(p.mods, 0), coalesce(p.rows, 0),
	coalesce(p.analyzed - interval '1 day' > greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)), false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN pg_class t ON t.oid = c.reltoastrelid AND c.reltoastrelid <> 0
	LEFT JOIN indexes x ON x.indrelid = c.oid
	LEFT JOIN parts p ON p.root = c.oid
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' AND ($1::oid IS NULL OR c.oid = $1)
	AND (c.relkind <> 'p' OR p.root IS NOT NULL)`

// byPrivilege is who may vacuum beside owners, from PostgreSQL 17 on.
const byPrivilege = " OR has_table_privilege(c.oid, 'MAINTAIN')"

// survey lists the tables of the database of c, or the one of that number
// when it is not 0.
func survey(ctx context.Context, c *pg.Conn, oid uint32) ([]table, error) {
	privilege := ""
	if c.Server.Major >= 17 {
		privilege = byPrivilege
	}
	var one *uint32
	if oid != 0 {
		one = &oid
	}
	tables, err := pg.Rows[table](ctx, c, fmt.Sprintf(surveyed, privilege), one)
	if err != nil {
		return nil, pg.Advise(fmt.Errorf("list the tables: %w", err))
	}
	return tables, nil
}

// settings are the numbers of a server by their names; on is 1 and off is 0.
type settings map[string]float64

// readSettings asks for what autovacuum and VACUUM go by.
func readSettings(ctx context.Context, c *pg.Conn) (settings, error) {
	type setting struct{ Name, Value string }
	rows, err := pg.Rows[setting](ctx, c, `SELECT name, CASE setting WHEN 'on' THEN '1' WHEN 'off' THEN '0' ELSE setting END FROM pg_settings
		WHERE vartype IN ('bool', 'integer', 'real') AND (name LIKE 'autovacuum%' OR name LIKE 'vacuum%' OR name IN ('block_size', 'track_counts'))`)
	if err != nil {
		return nil, pg.Advise(fmt.Errorf("read the settings: %w", err))
	}
	out := settings{}
	for _, r := range rows {
		value, err := strconv.ParseFloat(r.Value, 64)
		if err != nil {
			return nil, fmt.Errorf("read the setting %s: %w", r.Name, err)
		}
		out[r.Name] = value
	}
	return out, nil
}

// of returns the value of an autovacuum setting for a table with storage
// parameters of its own. ok is false when the server does not know it.
func (s settings) of(options []string, name string) (value float64, ok bool) {
	for _, option := range options {
		if text, found := strings.CutPrefix(option, name+"="); found {
			if value, err := strconv.ParseFloat(text, 64); err == nil {
				return value, true
			}
		}
	}
	value, ok = s[name]
	return value, ok
}
