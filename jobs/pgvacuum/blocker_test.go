package pgvacuum_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// TestBlockedByTransaction: dead rows that an old transaction may still see
// stay, and the transaction is named.
func TestBlockedByTransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t, bloated("orders", "20000")...)
	c := b.conn()
	pgtest.Load(t, c, "VACUUM orders")
	reader := pgtest.Connect(t, pgtest.Called(t, b.url, "report"))
	pgtest.Exec(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM orders")
	pgtest.Load(t, c, "DELETE FROM orders WHERE id < 15000")
	r := b.good()
	f := finding(r, "not-removable:"+b.name)
	if f.Severity != jobs.Warning || !strings.Contains(f.Text, "application report") || !strings.Contains(f.Text, "idle in transaction") ||
		!strings.Contains(f.Text, "orders (7,500)") || !strings.Contains(f.Text, "), for ") {
		t.Errorf("finding %+v", f)
	}
	if r.Values["tables_vacuumed"] != 1 || r.Values["dead_rows_after.orders"] != 7500 || finding(r, "blocker:").ID != "" {
		t.Errorf("%+v", r)
	}
	b.options.BlockerAge = unit.Duration(time.Millisecond)
	r = b.good()
	if f := finding(r, "blocker:"+b.name+"/transaction"); !strings.Contains(f.Text, "application report") || r.Values["blocker_seconds"] <= 0 {
		t.Errorf("finding %+v", f)
	}
	pgtest.Exec(t, reader, "ROLLBACK")
	if r := b.good(); r.Values["dead_rows_after.orders"] != 0 || len(r.Findings) > 0 {
		t.Errorf("%+v", r)
	}
}

// TestOrdinaryRole: what belongs to others is reported table by table, what
// cannot be seen is said, and when nothing may be done the run fails.
func TestOrdinaryRole(t *testing.T) {
	t.Parallel()
	b := newBench(t, append(bloated("theirs", "5000"), bloated("own", "5000")...)...)
	admin := b.conn()
	var role string
	role, b.url = pgtest.Role(t, b.url)
	pgtest.Exec(t, admin, "ALTER TABLE own OWNER TO "+role)
	pgtest.Exec(t, admin, `DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT 1 AS a, 2 AS b, 3 AS c', i); EXECUTE format('DROP TABLE t%s', i); END LOOP; END $$`)
	pgtest.Load(t, admin, "SELECT 1")
	b.options.ExcludeTables = nil
	r := b.good()
	if finding(r, "denied:"+b.name+"/pg_catalog").ID != "" || !strings.Contains(b.out.String(), "due among the system catalogs left to autovacuum") {
		t.Errorf("%+v\n%s", r, b.out)
	}
	b.options.ExcludeTables = []string{"pg_catalog.*", "information_schema.*"}
	if f := finding(r, "denied:"+b.name+"/theirs"); f.Severity != jobs.Warning || !strings.Contains(f.Text, role+" may not vacuum it, because it belongs to postgres") {
		t.Errorf("finding %+v", f)
	}
	if f := finding(r, "blind:"); f.Severity != jobs.Info || !strings.Contains(f.Text, "GRANT pg_monitor") {
		t.Errorf("finding %+v", f)
	}
	if r.Values["tables_vacuumed"] != 1 || r.Values["tables_denied"] != 1 || r.Values["dead_rows_after.own"] != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := b.run(t.Context()); err == nil || !strings.Contains(err.Error(), role+" may vacuum nothing of what is due: 1 table") || jobs.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	pgtest.Exec(t, admin, "GRANT pg_monitor TO "+role, "ALTER DATABASE "+pgx.Identifier{b.name}.Sanitize()+" OWNER TO "+role)
	if r := b.good(); r.Values["tables_vacuumed"] != 1 || len(r.Findings) > 0 {
		t.Errorf("%+v", r)
	}
	// A TOAST table alone needs a superuser before PostgreSQL 16; then the 60
	// dead rows of the table itself go, too.
	pgtest.Load(t, admin, "ALTER TABLE theirs ALTER note SET STORAGE EXTERNAL", "INSERT INTO theirs SELECT i, repeat('x', 20000) FROM generate_series(-400, -1) i",
		"VACUUM ANALYZE theirs", "UPDATE theirs SET note = repeat('y', 20000) WHERE id < -340")
	b.options.Tables, b.options.Analyze = []string{"theirs"}, false
	if r := b.good(); r.Values["tables_vacuumed"] != 1 || r.Values["dead_rows_after.theirs"] > 60 || r.Values["dead_rows_before.theirs"] < 100 {
		t.Errorf("%+v\n%s", r, b.out)
	}
	pgtest.Exec(t, admin, "ALTER DATABASE "+pgx.Identifier{b.name}.Sanitize()+" OWNER TO postgres")
}
