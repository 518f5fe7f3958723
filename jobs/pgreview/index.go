package pgreview

import (
	"context"
	"slices"
	"strings"
	"time"
)

// index is an index as the catalogs and the counters describe it.
type index struct {
	OID, TableOID       int64
	Schema, Table, Name string
	Method              string
	// Keys are the numbers of the columns, those of INCLUDE last; 0 stands for
	// an expression. KeyCount is how many are keys.
	Keys     []int64
	KeyCount int
	// Classes, Collations and Options tell how each key is compared.
	Classes, Collations, Options []int64
	Expressions, Predicate       string
	Unique, Primary, Exclusion   bool
	// Constraint tells that a constraint owns it, NullsEqual that NULLs of a
	// unique index count as equal.
	Constraint, NullsEqual bool
	Valid, Ready, Live     bool
	// Parent tells that it is the index of a partitioned table, Child that it is
	// part of one.
	Parent, Child bool
	// Replica tells that logical replication identifies rows by it.
	Replica bool
	Scans   int64
	Bytes   int64
	// Building tells that somebody holds the lock on its table under which
	// indexes are built concurrently.
	Building bool
	// LastScan is when it was last read; nil when that is not known (15 and
	// earlier) or never.
	LastScan *time.Time
}

// mostIndexes bounds how many indexes are looked at, the largest first.
const mostIndexes = 50_000

// indexQuery reads all indexes of users. Sizes are those in the catalog, in
// pages as of the last VACUUM, ANALYZE or build, because asking for the real
// ones locks each index; on a fresh index both agree.
func (r *review) indexQuery() string {
	number := r.conn.Server.Number
	keyCount, nullsEqual, lastScan, child := "i.indnatts::int4", "false", "NULL::timestamptz", "false"
	if number >= 110000 {
		keyCount, child = "i.indnkeyatts::int4", "c.relispartition"
	}
	if number >= 150000 {
		nullsEqual = "i.indnullsnotdistinct"
	}
	if number >= 160000 {
		lastScan = "s.last_idx_scan"
	}
	return `SELECT i.indexrelid::int8, i.indrelid::int8, n.nspname, t.relname, c.relname, m.amname,
		i.indkey::int8[], ` + keyCount + `, i.indclass::int8[], i.indcollation::int8[], i.indoption::int8[],
		coalesce(pg_get_expr(i.indexprs, i.indrelid), ''), coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
		i.indisunique, i.indisprimary, i.indisexclusion,
		EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')),
		` + nullsEqual + `, i.indisvalid, i.indisready, i.indislive,
		c.relkind = 'I', ` + child + `, i.indisreplident, coalesce(s.idx_scan, 0), c.relpages::int8 * current_setting('block_size')::int8,
		EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'relation' AND l.relation = i.indrelid AND l.granted
			AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'AccessExclusiveLock')),
		` + lastScan + `
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
		JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_am m ON m.oid = c.relam
		LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
	WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND t.relpersistence <> 't'
	ORDER BY c.relpages DESC, i.indexrelid LIMIT $1`
}

// readIndexes reads them once for all checks of a review.
func (r *review) readIndexes(ctx context.Context) ([]index, error) {
	if r.indexes != nil {
		return r.indexes, nil
	}
	all, err := ask[index](ctx, r, r.indexQuery(), int64(mostIndexes))
	if err != nil {
		return nil, err
	}
	if len(all) == mostIndexes {
		r.cannotSee("info", "only the %d largest indexes are looked at", mostIndexes)
	}
	r.indexes = append([]index{}, all...)
	return r.indexes, nil
}

// name is how people write it; sql is how a statement does.
func (i index) name() string  { return dotted(i.Schema, i.Name) }
func (i index) sql() string   { return sqlName(i.Schema, i.Name) }
func (i index) table() string { return dotted(i.Schema, i.Table) }

// usable tells whether queries can use it.
func (i index) usable() bool { return i.Valid && i.Ready && i.Live }

// needed tells that it is there for more than reading: to keep rows unique, for
// a constraint, or to identify rows.
func (i index) needed() bool {
	return i.Unique || i.Primary || i.Exclusion || i.Constraint || i.Replica
}

// included are the columns that are only stored in it.
func (i index) included() []int64 { return i.Keys[min(i.KeyCount, len(i.Keys)):] }

// compares tells how the first n keys are compared.
func (i index) compares(n int) [4][]int64 {
	return [4][]int64{i.Keys[:n], i.Classes[:min(n, len(i.Classes))], i.Collations[:min(n, len(i.Collations))], i.Options[:min(n, len(i.Options))]}
}

// equals tells whether two indexes of one table answer the same questions.
func (i index) equals(other index) bool {
	if i.KeyCount != other.KeyCount || i.Method != other.Method || i.Predicate != other.Predicate || i.Expressions != other.Expressions {
		return false
	}
	return sameKeys(i, other, i.KeyCount)
}

func sameKeys(a, b index, n int) bool {
	x, y := a.compares(n), b.compares(n)
	for k := range x {
		if !slices.Equal(x[k], y[k]) {
			return false
		}
	}
	return true
}

// begins tells whether a longer index begins with this one, so that it can
// answer for it. Only B-trees can be read by a prefix of their keys as well, and
// only plain columns are compared.
func (i index) begins(longer index) bool {
	switch {
	case i.Method != "btree" || longer.Method != "btree", i.KeyCount >= longer.KeyCount:
		return false
	case i.Expressions != "" || slices.Contains(i.Keys[:i.KeyCount], 0), longer.Predicate != i.Predicate:
		return false
	}
	return sameKeys(i, longer, i.KeyCount)
}

// covers tells whether all columns that other stores beside its keys are in i.
func (i index) covers(other index) bool {
	for _, column := range other.included() {
		if !slices.Contains(i.Keys, column) {
			return false
		}
	}
	return true
}

// isLeftover tells that REINDEX CONCURRENTLY made it and was interrupted
// (postgresql.org/docs/current/sql-reindex.html).
func (i index) isLeftover() bool {
	name := strings.TrimRight(i.Name, "0123456789")
	return strings.HasSuffix(name, "_ccnew") || strings.HasSuffix(name, "_ccold")
}
