package pgvacuum_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// preview returns what a dry run would do, in its order.
func (b *bench) preview() []string {
	b.t.Helper()
	before := len(b.out.String())
	b.hooks.DryRun = true
	b.good()
	b.hooks.DryRun = false
	var out []string
	for line := range strings.Lines(b.out.String()[before:]) {
		if what, ok := strings.CutPrefix(strings.TrimSpace(line), "would "); ok {
			name, _, _ := strings.Cut(what, " (score")
			out = append(out, name)
		}
	}
	return out
}

// burn uses up transaction numbers.
func burn(t testing.TB, c *pgx.Conn, n int) {
	t.Helper()
	pgtest.Exec(t, c, "CREATE TABLE IF NOT EXISTS burned (n int) WITH (autovacuum_enabled = false)",
		fmt.Sprintf("DO $$ BEGIN FOR i IN 1..%d LOOP BEGIN INSERT INTO burned VALUES (i); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$", n), "TRUNCATE burned")
}

const off = " WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false)"

// TestChoice: every reason makes a table due, the most urgent first; what need
// not or must not be touched is not.
func TestChoice(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE SCHEMA app`,
		// Ten times over its threshold of 50 + 20 % of 5000 rows, had it not one of its own.
		`CREATE TABLE dead (id int, note text) WITH (autovacuum_enabled = false, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0)`,
		`CREATE TABLE app.fewer_dead (id int, note text)`+off,
		`CREATE TABLE patient (id int, note text) WITH (autovacuum_enabled = false, autovacuum_vacuum_threshold = 1000000, autovacuum_analyze_threshold = 1000000)`,
		`CREATE TABLE inserted (id int, note text)`+off,
		`CREATE TABLE changed (id int, note text)`+off,
		`CREATE TABLE unknown AS SELECT i AS id, repeat('x', 50) AS note FROM generate_series(1, 5000) i`,
		`ALTER TABLE unknown SET (autovacuum_enabled = false)`,
		`CREATE TABLE tiny (id int)`+off,
		`CREATE TABLE empty (id int)`+off,
		`CREATE TABLE untouched (id int, note text)`+off,
		`CREATE TABLE excluded (id int, note text)`+off,
		`CREATE EXTENSION postgres_fdw`, `CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw`, `CREATE FOREIGN TABLE remote (id int) SERVER s`,
		`CREATE VIEW shown AS SELECT * FROM dead`,
		`CREATE MATERIALIZED VIEW frozen AS SELECT * FROM generate_series(1, 5000) i`,
	)
	c := b.conn()
	for _, name := range []string{"dead", "app.fewer_dead", "patient", "changed", "untouched", "excluded"} {
		pgtest.Load(t, c, "INSERT INTO "+name+" SELECT i, repeat('x', 50) FROM generate_series(1, 5000) i", "VACUUM ANALYZE "+name)
	}
	pgtest.Load(t, c, "VACUUM ANALYZE inserted", "INSERT INTO inserted SELECT i, repeat('x', 50) FROM generate_series(1, 5000) i", "ANALYZE inserted",
		"DELETE FROM dead WHERE id <= 1000", "ANALYZE dead", "DELETE FROM app.fewer_dead WHERE id <= 1000", "ANALYZE app.fewer_dead", "DELETE FROM patient", "DELETE FROM excluded",
		"UPDATE changed SET note = '' WHERE id <= 400", "VACUUM changed", "INSERT INTO tiny VALUES (1)", "DELETE FROM tiny",
		"CREATE TEMPORARY TABLE session AS SELECT generate_series(1, 5000)")
	b.options.ExcludeTables = append(b.options.ExcludeTables, "excl?ded")
	want := []string{"vacuum dead", "vacuum and analyze frozen", "vacuum and analyze unknown", "vacuum inserted", "vacuum app.fewer_dead", "analyze changed"}
	if diff := cmp.Diff(want, b.preview()); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, b.out)
	}
	b.options.Mode = "analyze"
	want = []string{"analyze frozen", "analyze unknown", "analyze changed"}
	if diff := cmp.Diff(want, b.preview()); diff != "" {
		t.Errorf("analyze (-want +got):\n%s", diff)
	}
	b.options.Mode, b.options.Analyze, b.options.Tables = "vacuum", false, []string{"app.*", "de*", "nobody"}
	want = []string{"vacuum dead", "vacuum app.fewer_dead"}
	if diff := cmp.Diff(want, b.preview()); diff != "" {
		t.Errorf("patterns (-want +got):\n%s", diff)
	}
	r := b.good()
	if f := finding(r, "no-match:"); !strings.Contains(f.Text, "is called nobody (tables)") || r.Values["tables_vacuumed"] != 2 || r.Values["tables_analyzed"] != 0 {
		t.Errorf("%+v", r)
	}
}

// TestAge: a table is due by its age, also a small one past its limit; after it
// is read in full, it is young; freezing makes it as young as it can be.
func TestAge(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"vacuum", "freeze"} {
		t.Run(mode, func(t *testing.T) {
			const limit = " WITH (autovacuum_enabled = false, autovacuum_freeze_max_age = 100000)"
			b := newBench(t, "CREATE TABLE old (id int, note text)"+limit,
				"CREATE TABLE tiny (id int) WITH (autovacuum_enabled = false, autovacuum_freeze_max_age = 100000)",
				"INSERT INTO tiny VALUES (1)", "ANALYZE tiny")
			c := b.conn()
			pgtest.Load(t, c, "INSERT INTO old SELECT i, repeat('x', 50) FROM generate_series(1, 5000) i", "ANALYZE old")
			burn(t, c, 60_000)
			between := pgtest.Ask[string](t, c, "SELECT pg_current_xact_id()::xid::text")
			burn(t, c, 60_000)
			after := pgtest.Ask[string](t, c, "SELECT pg_current_xact_id()::xid::text")
			pgtest.Load(t, c, "UPDATE old SET note = note WHERE id = 1")
			b.options.Mode, b.options.Tables = mode, []string{"old", "tiny"}
			// Which of them is older depends on what else the server did.
			if diff := cmp.Diff([]string{"vacuum old", "vacuum tiny"}, slices.Sorted(slices.Values(b.preview()))); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, b.out)
			}
			if !strings.Contains(b.out.String(), "oldest transaction of TOAST") {
				t.Errorf("output:\n%s", b.out)
			}
			r := b.good()
			for _, name := range []string{"old", "tiny"} {
				since := map[string]string{"vacuum": between, "freeze": after}[mode]
				if !pgtest.Ask[bool](t, c, "SELECT age(relfrozenxid) <= age($2::xid) FROM pg_class WHERE oid = $1::text::regclass", name, since) {
					t.Errorf("the oldest transaction of %s is older than %s", name, since)
				}
			}
			if r.Values["frozen_age_before.old"] < 120_000 || r.Values["frozen_age_after.old"] > 40_000 || finding(r, "not-removable").ID != "" {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestToast: what is dead out of line counts, alone if need be.
func TestToast(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE documents (id int PRIMARY KEY, body text)`+off, `ALTER TABLE documents ALTER body SET STORAGE EXTERNAL`,
		`INSERT INTO documents SELECT i, repeat('x', 20000) FROM generate_series(1, 400) i`, `VACUUM ANALYZE documents`,
		`UPDATE documents SET body = repeat('y', 20000) WHERE id <= 60`)
	c := b.conn()
	const dead = "SELECT pg_stat_get_dead_tuples(reltoastrelid) FROM pg_class WHERE oid = 'documents'::regclass"
	if n := pgtest.Ask[int64](t, c, dead); n < 100 {
		t.Fatalf("%d dead rows of TOAST", n)
	}
	b.options.Due, b.options.Analyze = 55, false // 60 dead rows are 46 % of the table's own threshold
	if diff := cmp.Diff([]string{"vacuum the TOAST table of documents"}, b.preview()); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, b.out)
	}
	r := b.good()
	if n := pgtest.Ask[int64](t, c, dead); n != 0 {
		t.Errorf("%d dead rows of TOAST are left", n)
	}
	if n := pgtest.Ask[int64](t, c, "SELECT pg_stat_get_vacuum_count('documents'::regclass)"); n != 1 {
		t.Errorf("the table itself was vacuumed %d times", n)
	}
	if r.Values["dead_rows_before.documents"] < 100 || r.Values["dead_rows_after.documents"] != 60 || r.Values["tables_vacuumed"] != 1 {
		t.Errorf("%+v", r)
	}
}

// TestPartitions: partitions are tables of their own, and their parents get
// statistics, which autovacuum never computes.
func TestPartitions(t *testing.T) {
	t.Parallel()
	statements := []string{"CREATE TABLE parent (id int, note text) PARTITION BY RANGE (id)", "CREATE TABLE middle PARTITION OF parent FOR VALUES FROM (0) TO (10000) PARTITION BY RANGE (id)"}
	for i := range 4 {
		table, below := fmt.Sprintf("part_%d", i), "middle"
		if i >= 2 {
			below = "parent"
		}
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s PARTITION OF %s FOR VALUES FROM (%d) TO (%d)%s", table, below, 5000*i, 5000*(i+1), off))
	}
	b := newBench(t, append(statements, "INSERT INTO parent SELECT i, repeat('x', 50) FROM generate_series(0, 19999) i")...)
	c := b.conn()
	pgtest.Load(t, c, "VACUUM part_0, part_1, part_2, part_3", "ANALYZE part_0, part_1, part_2, part_3", "DELETE FROM parent WHERE id BETWEEN 5000 AND 7999")
	if diff := cmp.Diff([]string{"vacuum and analyze part_1", "analyze middle", "analyze parent"}, b.preview()); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, b.out)
	}
	if r := b.good(); r.Values["tables_vacuumed"] != 1 || r.Values["tables_analyzed"] != 3 {
		t.Errorf("%+v\n%s", r, b.out)
	}
	if n := pgtest.Ask[int64](t, c, "SELECT count(*) FROM pg_stats WHERE tablename = 'parent' AND inherited"); n == 0 {
		t.Error("the parent has no statistics")
	}
	pgtest.Load(t, c, "DELETE FROM part_3 WHERE id < 15700")
	if diff := cmp.Diff([]string{"vacuum and analyze part_3"}, b.preview()); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, b.out)
	}
	pgtest.Load(t, c, "DELETE FROM part_3 WHERE id < 17000")
	if diff := cmp.Diff([]string{"vacuum and analyze part_3", "analyze parent"}, b.preview()); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, b.out)
	}
}

// TestAwkwardNames: whatever a table is called, it is the one that is meant.
func TestAwkwardNames(t *testing.T) {
	t.Parallel()
	var statements []string
	names := []string{`Orders`, `a"b`, `a.b`, `x; DROP TABLE y`, "new\nline", `Tür`, `select`, `a b`, `A b`, `%s$1`, `-`, strings.Repeat("long", 15)}
	for _, schema := range []string{"public", `od"d. schema`} {
		statements = append(statements, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
		for _, name := range names {
			full := pgx.Identifier{schema, name}.Sanitize()
			statements = append(statements, "CREATE TABLE "+full+" (id int, note text)"+off,
				"INSERT INTO "+full+" SELECT i, repeat('x', 50) FROM generate_series(1, 2000) i", "VACUUM ANALYZE "+full, "DELETE FROM "+full)
		}
	}
	b := newBench(t, statements...)
	r := b.good()
	if want := float64(2 * len(names)); r.Values["tables_vacuumed"] != want || r.Values["dead_rows_before"] != 2000*want || r.Values["dead_rows_after"] != 0 {
		t.Errorf("%+v\n%s", r.Values, b.out)
	}
	different := 0
	for name := range r.Values {
		if strings.HasPrefix(name, "dead_rows_before.") {
			different++
		}
	}
	if different != 2*len(names) {
		t.Errorf("values of %d tables", different)
	}
}

// TestThousandsOfTables: they are chosen with one query.
func TestThousandsOfTables(t *testing.T) {
	t.Parallel()
	b := newBench(t, `DO $$ BEGIN FOR i IN 1..3000 LOOP EXECUTE format('CREATE TABLE t%s (id int, note text) WITH (autovacuum_enabled = false)', i); END LOOP; END $$`,
		`INSERT INTO t17 SELECT i, repeat('x', 50) FROM generate_series(1, 5000) i`, `VACUUM ANALYZE t17`, `DELETE FROM t17`)
	c := b.conn()
	pgtest.Exec(t, c, "BEGIN", "LOCK TABLE t1, t17 IN ACCESS EXCLUSIVE MODE") // choosing waits for nobody
	if diff := cmp.Diff([]string{"vacuum and analyze t17"}, b.preview()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	pgtest.Exec(t, c, "ROLLBACK")
	if r := b.good(); r.Values["tables"] != 3000 || r.Values["tables_due"] != 1 || r.Values["tables_vacuumed"] != 1 {
		t.Errorf("%+v", r)
	}
}

// TestDryRun: it lists the plan with scores and reasons and changes nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, append(bloated("orders", "20000"), bloated("items", "5000")...)...)
	before := world(t, b.url)
	if diff := cmp.Diff([]string{"vacuum and analyze orders", "vacuum and analyze items"}, b.preview()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, world(t, b.url)); diff != "" {
		t.Errorf("a dry run changed (-before +after):\n%s", diff)
	}
	if out := b.out.String(); !strings.Contains(out, "would vacuum and analyze orders (score 4.88; ") || !strings.Contains(out, "10,000 rows changed since the last analyze, limit 2,050; 10,000 dead rows, limit 4,050") {
		t.Errorf("output:\n%s", out)
	}
}

// TestSeveralDatabases: all are looked at, the one with the most urgent table
// first, each once.
func TestSeveralDatabases(t *testing.T) {
	t.Parallel()
	b := newBench(t, bloated("orders", "5000")...)
	other := pgtest.Database(t, bloated("orders", "50000")...)
	b.dbs = map[string]string{"other": pgtest.URL(t, other), "same": b.url}
	b.options.Database = unit.Names{"main", "other", "same"}
	r := b.good()
	if r.Values["tables_vacuumed"] != 2 || r.Values[jobs.NameFrom("dead_rows_before."+other+".orders")] != 25000 || r.Values[jobs.NameFrom("dead_rows_before."+b.name+".orders")] != 2500 {
		t.Errorf("%+v", r.Values)
	}
	out := b.out.String()
	if first, second := strings.Index(out, other+".orders: vacuumed"), strings.Index(out, b.name+".orders: vacuumed"); first < 0 || first > second {
		t.Errorf("output:\n%s", out)
	}
	b.options.ExcludeDatabases = pgtest.Look[string](t, pgtest.URL(t, ""), "SELECT datname::text FROM pg_database WHERE NOT datistemplate AND datname <> $1", b.name)
	pgtest.Load(t, b.conn(), "DELETE FROM orders")
	b.options.Database, b.options.AllDatabases = unit.Names{"other"}, true
	if r := b.good(); r.Values["tables_vacuumed"] != 1 || !strings.Contains(r.Summary, b.name) {
		t.Errorf("%+v", r)
	}
}

// TestCatalogs: system catalogs are tables like any other, but for the one that
// cannot be analyzed, which would be due for ever.
func TestCatalogs(t *testing.T) {
	t.Parallel()
	b := newBench(t, `DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT 1 AS a, 2 AS b, 3 AS c, 4 AS d', i); END LOOP; END $$`, "ANALYZE",
		`DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('DROP TABLE t%s', i); END LOOP; END $$`)
	b.options.ExcludeTables = nil
	c := b.conn()
	const dead = "SELECT pg_stat_get_dead_tuples('pg_statistic'::regclass)"
	if n := pgtest.Ask[int64](t, c, dead); n < 1000 {
		t.Fatalf("%d dead rows", n)
	}
	b.good()
	if n := pgtest.Ask[int64](t, c, dead); n > 500 || strings.Contains(b.out.String(), "pg_catalog.pg_statistic: vacuumed and analyzed") {
		t.Errorf("%d dead rows are left\n%s", n, b.out)
	}
	b.good() // cleans what the first run changed by analyzing others
	before := len(b.out.String())
	b.good()
	if out := b.out.String()[before:]; strings.Contains(out, "pg_statistic") {
		t.Errorf("again:\n%s", out)
	}
}
