package pgreview_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// rows are what a table needs to be worth an index.
const rows = "SELECT n AS id, n % 100 AS kind, 'x' || n AS note, n % 7 AS ref FROM generate_series(1, 20000) n"

func TestUnusedIndexes(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t AS "+rows, "ALTER TABLE t ADD PRIMARY KEY (id)", "CREATE INDEX t_used ON t (kind)",
		"CREATE INDEX t_unused ON t (note)", "CREATE UNIQUE INDEX t_unique ON t (id, note)", "ANALYZE t").only("unused_indexes")
	c := b.connect()
	pgtest.Exec(t, c, "SET enable_seqscan = off", "SELECT count(*) FROM t WHERE kind = 3", pgtest.Flush)
	r := b.review()
	b.wants(r, "unused_indexes:public.t_unused", jobs.Info, "index public.t_unused of public.t was read 0 times since ")
	b.lacks(r, "unused_indexes:public.t_used", "unused_indexes:public.t_unique", "unused_indexes:public.t_pkey")
	if r.Outputs["sql.unused_indexes"] != `DROP INDEX CONCURRENTLY "public"."t_unused";` || !strings.Contains(b.output, "Suggested, and not run:\n  DROP INDEX CONCURRENTLY") {
		t.Errorf("suggestions %q\n%s", r.Outputs, b.output)
	}
	if r.Values["unused_index_bytes"] < 100_000 {
		t.Errorf("values %v", r.Values)
	}

	// An index that is known to be new is given time.
	pgtest.Exec(t, b.connect(), "CREATE INDEX t_new ON t (note, kind)")
	b.options.Indexes.MinAge = unit.Duration(time.Nanosecond)
	r = b.review()
	b.wants(r, "unused_indexes:public.t_unused", jobs.Info)
	b.lacks(r, "unused_indexes:public.t_new")

	// Young statistics show nothing.
	b.options.Indexes.MinAge = unit.Duration(10000 * time.Hour)
	r = b.review()
	b.lacks(r, "unused_indexes")
	b.wants(r, "unseen:unused_indexes", jobs.Info, "scans are counted since")

	b.options.Indexes.MinAge, b.options.Indexes.MinSize = 0, 10<<20
	b.lacks(b.review(), "unused", "unseen")
}

func TestRedundantIndexes(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t AS "+rows, "ALTER TABLE t ADD PRIMARY KEY (id)",
		"CREATE INDEX same_1 ON t (kind, ref)", "CREATE INDEX same_2 ON t (kind, ref)", "CREATE INDEX same_as_key ON t (id)",
		"CREATE INDEX prefix ON t (kind)", "CREATE INDEX prefix_desc ON t (kind DESC)", "CREATE INDEX prefix_where ON t (kind) WHERE ref = 1",
		"CREATE INDEX prefix_include ON t (kind) INCLUDE (note)", "CREATE UNIQUE INDEX prefix_unique ON t (id)",
		"CREATE INDEX prefix_hash ON t USING hash (kind)",
		"CREATE INDEX lower_1 ON t (lower(note))", "CREATE INDEX upper_1 ON t (upper(note))", "CREATE INDEX pattern ON t (note text_pattern_ops)", "CREATE INDEX plain ON t (note)",
		`CREATE INDEX collated ON t (note COLLATE "C")`, "CREATE INDEX half_0 ON t (note, ref) WHERE kind = 3", "CREATE INDEX half_3 ON t (note, ref, id) WHERE kind = 3", "CREATE INDEX half_1 ON t (ref) WHERE kind = 1", "CREATE INDEX half_2 ON t (ref) WHERE kind = 2").
		only("duplicate_indexes", "prefix_indexes")
	r := b.review()
	b.wants(r, "duplicate_indexes:public.same_2", jobs.Warning, "equals public.same_1")
	b.wants(r, "duplicate_indexes:public.same_as_key", jobs.Warning, "equals public.")
	b.wants(r, "duplicate_indexes:public.prefix_unique", jobs.Warning, "equals public.t_pkey")
	b.wants(r, "duplicate_indexes:public.prefix", jobs.Warning, "equals public.prefix_include")
	b.wants(r, "prefix_indexes:public.half_0", jobs.Info, "is the beginning of public.half_3")
	if len(r.Findings) != 5 {
		t.Errorf("findings:\n%s", list(r))
	}
	b.lacks(r, "duplicate_indexes:public.same_1", "duplicate_indexes:public.t_pkey")
	pgtest.Exec(t, b.connect(), strings.Split(r.Outputs["sql.duplicate_indexes"]+"\n"+r.Outputs["sql.prefix_indexes"], "\n")...)
	if r = b.review(); len(r.Findings) > 0 {
		t.Errorf("after what was suggested:\n%s", list(r))
	}
}

func TestInvalidIndexes(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1), (1)", "CREATE INDEX t_id ON t (id)").only("invalid_indexes")
	b.lacks(b.review(), "invalid")
	c := b.connect()
	if _, err := c.Exec(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY t_unique ON t (id)"); err == nil {
		t.Fatal("the index was built")
	}
	if _, err := c.Exec(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY t_id_ccnew ON t (id)"); err == nil {
		t.Fatal("the index was built")
	}
	r := b.review()
	b.wants(r, "invalid_indexes:public.t_unique", jobs.Warning, "is not valid")
	b.wants(r, "invalid_indexes:public.t_id_ccnew", jobs.Warning, "left over from an interrupted REINDEX")
	// One that may be under construction is not judged.
	pgtest.Exec(t, c, "BEGIN", "LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
	r = b.review()
	b.lacks(r, "invalid_indexes")
	b.wants(r, "unseen:invalid_indexes", jobs.Info, "still being built")
	pgtest.Exec(t, c, "ROLLBACK", "DELETE FROM t WHERE ctid = '(0,1)'")
	sql := strings.Split(r.Outputs["sql.invalid_indexes"], "\n")
	if r = b.review(); len(sql) > 1 {
		t.Errorf("suggestions for what may be under construction: %q", sql)
	}
	pgtest.Exec(t, c, strings.Split(r.Outputs["sql.invalid_indexes"], "\n")...)
	if r = b.review(); len(r.Findings) > 0 {
		t.Errorf("after what was suggested:\n%s", list(r))
	}
}

func TestForeignKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE target (a int, b int, PRIMARY KEY (a, b), UNIQUE (a))", "INSERT INTO target VALUES (1, 1)",
		"CREATE TABLE bare (id int PRIMARY KEY, x int, y int, FOREIGN KEY (x, y) REFERENCES target (a, b))",
		"CREATE TABLE turned (x int, y int, CONSTRAINT turned_fk FOREIGN KEY (x, y) REFERENCES target (a, b))", "CREATE INDEX ON turned (y, x, (x + 1))",
		"CREATE TABLE partial (x int REFERENCES target (a))", "CREATE INDEX ON partial (x) WHERE x IS NOT NULL",
		"CREATE TABLE half (x int REFERENCES target (a))", "CREATE INDEX ON half (x) WHERE x > 5",
		"CREATE TABLE second (x int REFERENCES target (a), z int)", "CREATE INDEX ON second (z, x)").only("foreign_keys")
	r := b.review()
	b.wants(r, "foreign_keys:public.bare.bare_x_y_fkey", jobs.Warning, "every delete in public.target reads all of it")
	b.wants(r, "foreign_keys:public.half.half_x_fkey", jobs.Warning)
	b.wants(r, "foreign_keys:public.second.second_x_fkey", jobs.Warning)
	if len(r.Findings) != 3 {
		t.Errorf("findings:\n%s", list(r))
	}
	pgtest.Exec(t, b.connect(), strings.Split(r.Outputs["sql.foreign_keys"], "\n")...)
	if r = b.review(); len(r.Findings) > 0 {
		t.Errorf("after what was suggested:\n%s", list(r))
	}
	b.options.Indexes.MinSize = 1 << 30
	pgtest.Exec(t, b.connect(), "DROP INDEX half_x_idx1")
	b.lacks(b.review(), "foreign_keys")
}

// awkward is a name with all that names may hold.
const awkward = `my "Odd" ü.table` + "\n" + `\x; DROP TABLE t--`

func TestAwkwardNames(t *testing.T) {
	t.Parallel()
	quoted := func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
	schema, table, column := quoted(awkward+"s"), quoted(awkward), quoted(awkward+"c")
	b := newBench(t, "CREATE SCHEMA "+schema, "CREATE TABLE "+schema+"."+table+" ("+column+" int PRIMARY KEY, v text)",
		"INSERT INTO "+schema+"."+table+" VALUES (2000000000, 'x')",
		"CREATE INDEX "+quoted(awkward+"1")+" ON "+schema+"."+table+" (v)", "CREATE INDEX "+quoted(awkward+"2")+" ON "+schema+"."+table+" (v)",
		"CREATE SEQUENCE "+schema+"."+quoted(awkward+"q")+" MAXVALUE 100", "SELECT setval('"+strings.ReplaceAll(schema+"."+quoted(awkward+"q"), `'`, `''`)+"', 99)")
	b.options.NeverRows = 0
	b.options.Skip = []string{"settings"}
	r := b.review()
	for _, id := range []string{"duplicate_indexes:my__odd", "unused_indexes:my__odd", "sequences:my__odd", "integer_keys:my__odd", "never_analyzed:my__odd"} {
		if _, ok := finding(r, id); !ok {
			t.Errorf("no finding %s:\n%s", id, list(r))
		}
	}
	ids := map[string]bool{}
	for _, f := range r.Findings {
		if ids[f.ID] {
			t.Errorf("two findings have the id %s", f.ID)
		}
		ids[f.ID] = true
	}
	for name, sql := range r.Outputs {
		if strings.HasPrefix(name, "sql.") {
			pgtest.Exec(t, b.connect(), strings.Split(sql, "\n")[0])
		}
	}
	var left int
	if err := b.connect().QueryRow(context.Background(), "SELECT count(*) FROM pg_index WHERE indrelid = $1::regclass", schema+"."+table).Scan(&left); err != nil || left > 2 {
		t.Errorf("%d indexes are left: %v", left, err)
	}
}
