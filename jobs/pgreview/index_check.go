package pgreview

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// askInvalid finds indexes that cost but do not serve.
func askInvalid(ctx context.Context, r *review) error {
	all, err := r.readIndexes(ctx)
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.usable() {
			continue
		}
		weight := float64(i.Bytes)
		switch {
		case i.Parent:
			r.add(jobs.Warning, weight, i.name(), fmt.Sprintf("index %s of the partitioned table %s is not valid: some partitions lack it", i.name(), i.table()), "")
		case i.Building:
			r.cannotSee(jobs.Info, "whether %s is still being built", i.name())
		case i.isLeftover():
			r.add(jobs.Warning, weight, i.name(), fmt.Sprintf("index %s of %s is left over from an interrupted REINDEX CONCURRENTLY (%s)", i.name(), i.table(), size(i.Bytes)),
				"DROP INDEX CONCURRENTLY "+i.sql()+";")
		default:
			statement := "REINDEX INDEX CONCURRENTLY " + i.sql() + ";"
			if r.conn.Server.Number < 120000 {
				statement = "REINDEX INDEX " + i.sql() + ";"
			}
			r.add(jobs.Warning, weight, i.name(), fmt.Sprintf("index %s of %s is not valid: it costs writes and serves no query (%s)", i.name(), i.table(), size(i.Bytes)), statement)
		}
	}
	return nil
}

// redundant is an index that another one makes superfluous.
type redundant struct{ index, by index }

// askDuplicates finds indexes that equal another one of their table.
func askDuplicates(ctx context.Context, r *review) error {
	return r.askRedundant(ctx, isDuplicate, func(x redundant) string {
		return fmt.Sprintf("index %s of %s equals %s (%s)", x.index.name(), x.index.table(), x.by.name(), size(x.index.Bytes))
	}, jobs.Warning)
}

// isDuplicate tells whether b does all that a does.
func isDuplicate(a, b index) bool {
	if !a.equals(b) || a.Unique && !b.Unique || a.Unique && a.NullsEqual != b.NullsEqual || !b.covers(a) {
		return false
	}
	// Of two that could each stand for the other, one goes.
	mutual := b.equals(a) && a.Unique == b.Unique && a.covers(b)
	return !a.Constraint && !a.Primary && !a.Replica && !a.Exclusion && (!mutual || isBetter(b, a))
}

// isBetter decides which of two equal indexes stays: the one that is needed,
// then the one that is read more, then the older one.
func isBetter(a, b index) bool {
	switch {
	case a.needed() != b.needed():
		return a.needed()
	case a.Constraint != b.Constraint:
		return a.Constraint
	case a.Scans != b.Scans:
		return a.Scans > b.Scans
	}
	return a.OID < b.OID
}

// askPrefixes finds indexes that a longer one begins with.
func askPrefixes(ctx context.Context, r *review) error {
	return r.askRedundant(ctx, func(a, b index) bool {
		return !a.needed() && a.begins(b) && b.covers(a)
	}, func(x redundant) string {
		return fmt.Sprintf("index %s of %s is the beginning of %s, which can serve for it (%s, %d scans)", x.index.name(), x.index.table(), x.by.name(), size(x.index.Bytes), x.index.Scans)
	}, jobs.Info)
}

// askRedundant compares the indexes of each table.
func (r *review) askRedundant(ctx context.Context, replaces func(a, b index) bool, text func(redundant) string, s jobs.Severity) error {
	all, err := r.readIndexes(ctx)
	if err != nil {
		return err
	}
	byTable := map[int64][]index{}
	for _, i := range all {
		if i.usable() && !i.Child { // the index of a partition goes with that of its parent
			byTable[i.TableOID] = append(byTable[i.TableOID], i)
		}
	}
	var wasted int64
	for _, i := range all {
		if !i.usable() || i.Child || i.Bytes < r.options.Indexes.MinSize.Bytes() && !i.Parent {
			continue
		}
		for _, by := range byTable[i.TableOID] {
			if by.OID == i.OID || !replaces(i, by) || s == jobs.Info && hasDuplicate(i, byTable[i.TableOID]) {
				continue
			}
			wasted += i.Bytes
			r.add(s, float64(i.Bytes), i.name(), text(redundant{i, by}), r.drop(i))
			break
		}
	}
	r.values["redundant_index_bytes"] += float64(wasted)
	return nil
}

// hasDuplicate tells that an index is reported as a duplicate already.
func hasDuplicate(i index, others []index) bool {
	return slices.ContainsFunc(others, func(o index) bool { return o.OID != i.OID && isDuplicate(i, o) })
}

// drop is how an index is removed without keeping others waiting.
func (r *review) drop(i index) string {
	if i.Parent { // which cannot be done concurrently
		return "DROP INDEX " + i.sql() + ";"
	}
	return "DROP INDEX CONCURRENTLY " + i.sql() + ";"
}

// askUnused finds indexes that nothing reads.
func askUnused(ctx context.Context, r *review) error {
	limits := r.options.Indexes
	if age := r.facts.At.Sub(r.facts.CountedSince); age < limits.MinAge.Std() {
		r.cannotSee(jobs.Info, "scans are counted since %s only, less than %s", r.facts.CountedSince.UTC().Format(time.DateTime), limits.MinAge)
		return nil
	}
	all, err := r.readIndexes(ctx)
	if err != nil {
		return err
	}
	known := r.knownSince(limits.MinAge.Std())
	others := ""
	if r.conn.Server.Standby {
		others = "; the primary's own queries do not count here"
	} else if standbys, err := ask[struct{ N int64 }](ctx, r, "SELECT count(*) FROM pg_stat_replication"); err == nil && standbys[0].N > 0 {
		others = fmt.Sprintf("; the queries of %d standbys do not count here", standbys[0].N)
	}
	var wasted int64
	for _, i := range all {
		switch {
		case !i.usable(), i.needed(), i.Parent, i.Scans > limits.MaxScans, i.Bytes < limits.MinSize.Bytes():
			continue
		case known > 0 && i.OID > known: // made since
			continue
		case i.LastScan != nil && r.facts.At.Sub(*i.LastScan) < limits.MinAge.Std():
			continue
		}
		wasted += i.Bytes
		statement := r.drop(i)
		if i.Child {
			statement = "" // it goes with its parent
		}
		r.add(jobs.Info, float64(i.Bytes), i.name(), fmt.Sprintf("index %s of %s was read %d times since %s (%s)%s",
			i.name(), i.table(), i.Scans, r.facts.CountedSince.UTC().Format(time.DateOnly), size(i.Bytes), others), statement)
	}
	r.values["unused_index_bytes"] = float64(wasted)
	return nil
}

// knownSince returns the highest number of a relation as of the newest run that
// is at least so old; 0 when there is none. Numbers of new relations are higher,
// until they have gone once round, after 4 billion.
func (r *review) knownSince(age time.Duration) int64 {
	for _, p := range r.past {
		if c, ok := countersOf(p); ok && r.facts.At.Sub(c.At) >= age && c.Database == r.conn.Server.Database {
			return c.NewestOID
		}
	}
	return 0
}

// foreignKey is a foreign key with the sizes of both sides.
type foreignKey struct {
	Schema, Table, Name string
	TableOID            int64
	Columns             []int64
	ColumnNames         []string
	Target              string
	Bytes               int64
	// Changes are how many rows of the target were deleted or changed.
	Changes int64
}

// askForeignKeys finds foreign keys without an index that begins with their
// columns: each delete in the other table reads the whole of this one.
func askForeignKeys(ctx context.Context, r *review) error {
	keys, err := ask[foreignKey](ctx, r, `SELECT n.nspname, t.relname, k.conname, k.conrelid::int8, k.conkey::int8[],
			(SELECT array_agg(a.attname::text ORDER BY o.ord) FROM unnest(k.conkey) WITH ORDINALITY o(num, ord)
				JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.num),
			fn.nspname || '.' || ft.relname,
			t.relpages::int8 * current_setting('block_size')::int8, coalesce(s.n_tup_del + s.n_tup_upd, 0)
		FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
			JOIN pg_class ft ON ft.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = ft.relnamespace
			LEFT JOIN pg_stat_all_tables s ON s.relid = k.confrelid
		WHERE k.contype = 'f' AND t.relkind = 'r' ORDER BY t.relpages DESC, k.oid LIMIT 10000`)
	if err != nil {
		return err
	}
	all, err := r.readIndexes(ctx)
	if err != nil {
		return err
	}
	byTable := map[int64][]index{}
	for _, i := range all {
		byTable[i.TableOID] = append(byTable[i.TableOID], i)
	}
	for _, k := range keys {
		if k.Bytes < r.options.Indexes.MinSize.Bytes() || isServed(k, byTable[k.TableOID]) {
			continue
		}
		columns := make([]string, len(k.ColumnNames))
		for i, c := range k.ColumnNames {
			columns[i] = sqlName(c)
		}
		r.add(jobs.Warning, float64(k.Bytes), dotted(k.Schema, k.Table, k.Name),
			fmt.Sprintf("foreign key %s of %s.%s (%s) has no index: every delete in %s reads all of it", k.Name, k.Schema, k.Table, size(k.Bytes), k.Target),
			fmt.Sprintf("CREATE INDEX CONCURRENTLY ON %s (%s);", sqlName(k.Schema, k.Table), joined(columns)))
	}
	return nil
}

// isServed tells whether an index begins with the columns of a foreign key, in
// whatever order.
func isServed(k foreignKey, indexes []index) bool {
	for _, i := range indexes {
		if !i.usable() || i.Predicate != "" && !isNotNullOnly(i.Predicate) || i.KeyCount < len(k.Columns) {
			continue
		}
		first := map[int64]bool{}
		for _, column := range i.Keys[:len(k.Columns)] {
			first[column] = true
		}
		served := true
		for _, column := range k.Columns {
			served = served && first[column]
		}
		if served && (i.Method == "btree" || i.Method == "hash") {
			return true
		}
	}
	return false
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

func ago(seconds float64) string {
	return unit.Duration(time.Duration(seconds * float64(time.Second)).Round(time.Second)).String()
}
