package pgreview_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgreview"
)

func TestSequencesAndKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE serial (id serial PRIMARY KEY, n smallserial)", "SELECT setval('serial_id_seq', 2000000000)", "INSERT INTO serial VALUES (2040000000, 5)",
		"CREATE TABLE wide (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)", "SELECT setval('wide_id_seq', 2100000000)",
		"CREATE TABLE refers (wide int REFERENCES wide (id))", "CREATE TABLE agrees (wide bigint REFERENCES wide (id))",
		"CREATE SEQUENCE small AS smallint", "SELECT setval('small', 25000)", "CREATE SEQUENCE cycles MAXVALUE 100 CYCLE", "SELECT setval('cycles', 99)",
		"CREATE SEQUENCE down INCREMENT -1 MINVALUE -100 MAXVALUE -1", "SELECT setval('down', -95)", "CREATE SEQUENCE fresh MAXVALUE 3",
		// A column of another width than its sequence.
		"CREATE SEQUENCE owned AS bigint", "CREATE TABLE owns (id smallint DEFAULT nextval('owned'))", "ALTER SEQUENCE owned OWNED BY owns.id", "SELECT setval('owned', 30000)",
		"CREATE INDEX ON refers (wide)").
		only("sequences", "integer_keys")
	r := b.review()
	b.wants(r, "sequences:public.serial_id_seq", jobs.Critical, "which feeds public.serial.id", "93.1 %", "limit 90%")
	b.wants(r, "sequences:public.small", jobs.Warning, "25,000 of 32,767")
	b.wants(r, "sequences:public.down", jobs.Critical, "-95 of -100 (95.0 %)")
	b.wants(r, "sequences:public.owned", jobs.Critical, "30,000 of 32,767")
	b.wants(r, "integer_keys:public.serial.id", jobs.Critical, "2,040,000,000", "95.0 %")
	b.wants(r, "integer_keys:public.refers.wide:type", jobs.Warning, "has 4 bytes, but refers to public.wide.id, which has 8")
	if len(r.Findings) != 6 {
		t.Errorf("findings:\n%s", list(r))
	}
	b.options.Keys = pgreview.Limits{}
	if r = b.review(); len(r.Findings) != 1 {
		t.Errorf("findings without limits:\n%s", list(r))
	}
}

func TestWraparound(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t (id int)").only("wraparound")
	r := b.review()
	b.lacks(r, "wraparound", "unseen")
	if _, ok := r.Values["wraparound_percent"]; !ok {
		t.Errorf("values %v", r.Values)
	}
	b.options.Wraparound = pgreview.Limits{Warn: 1e-6, Crit: 99}
	b.options.MaxFindings = 3
	r = b.review()
	b.wants(r, "wraparound:", jobs.Warning, "it must be vacuumed")
	b.wants(r, "more:wraparound", jobs.Warning, "that are not listed (max_findings: 3)")
	if len(r.Findings) != 4 {
		t.Errorf("findings:\n%s", list(r))
	}
	b.options.MaxFindings = 40
	b.wants(b.review(), "wraparound:database:"+b.name, jobs.Warning)
}

func TestConnections(t *testing.T) {
	t.Parallel()
	b := newBench(t).only("connections", "pools")
	r := b.review()
	b.lacks(r, "connections", "unseen")
	if r.Values["connections"] < 1 || r.Values["connections_percent"] <= 0 {
		t.Errorf("values %v", r.Values)
	}
	pgtest.Exec(t, b.connect(), "ALTER DATABASE "+b.name+" CONNECTION LIMIT 8")
	held := b.connect()
	pgtest.Exec(t, held, "SET application_name = 'api'")
	b.options.Connections = pgreview.Limits{Warn: 30, Crit: 99}
	b.options.Pools = []pgreview.Pool{{Name: "api", Size: 20, Processes: 4, Application: "api"}, {Name: "worker", Size: 5}}
	r = b.review()
	b.wants(r, "connections:database:"+b.name, jobs.Warning, "of 8 connections of the database "+b.name, "limit 30%")
	b.lacks(r, "pools")
	if r.Values["pool_connections"] != 85 {
		t.Errorf("values %v", r.Values)
	}
	b.options.Reserve = 250
	b.wants(b.review(), "pools", jobs.Warning, "85 connections (api 80 + worker 5)", "has room for 47 (max_connections 300 - 3 kept back - reserve 250)")
	b.options.Pools = []pgreview.Pool{{Name: "api", Size: 1, Application: "api"}}
	b.lacks(b.review(), "pools")
	pgtest.Exec(t, b.connect(), "SET application_name = 'api'")
	b.wants(b.review(), "pools:api", jobs.Warning, "api has 2 connections, but its pools are configured for 1")
	b.options.Connections = pgreview.Limits{Crit: 1e-6}
	b.wants(b.review(), "connections", jobs.Critical, "that ordinary roles may have are used")
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	b := newBench(t).only("transactions")
	// Other tests have sessions, too.
	b.options.Ignore = []string{"*:postgres.*"}
	mine := func(kind string) string { return "transactions:" + kind + ":" + b.name + ".postgres." }
	idle, open, unused := b.connect(), b.connect(), b.connect()
	pgtest.Exec(t, unused, "SELECT 'hunter2'")
	r := b.review()
	b.lacks(r, mine("idle"), mine("open"), "transactions:unused")
	pgtest.Exec(t, idle, "SET application_name = 'forgets'", "BEGIN", "SELECT 'hunter2'")
	pgtest.Exec(t, open, "SET application_name = 'works'", "BEGIN")
	running := make(chan error, 1)
	go func() {
		_, err := open.Exec(t.Context(), "SELECT pg_sleep(60), 'hunter2'")
		running <- err
	}()
	t.Cleanup(func() {
		if err := <-running; err == nil {
			t.Error("the session was not ended")
		}
	})
	b.options.Transactions = pgreview.TransactionLimits{
		Idle: pgreview.DurationLimits{Warn: 1, Crit: unit.Duration(time.Hour)}, Open: pgreview.DurationLimits{Crit: 1}, Unused: 1,
	}
	for {
		r = b.review()
		if _, ok := finding(r, mine("open")+"works"); ok {
			break
		}
	}
	b.wants(r, mine("idle")+"forgets", jobs.Warning, "is idle in a transaction for", "(forgets) in "+b.name)
	b.wants(r, mine("open")+"works", jobs.Critical, "has a transaction open for")
	b.wants(r, "transactions:unused", jobs.Info)
	if !strings.Contains(r.Outputs["sql.transactions"], "SELECT pg_terminate_backend(") {
		t.Errorf("outputs %q", r.Outputs)
	}
	if strings.Contains(b.output+list(r), "hunter2") {
		t.Errorf("a value of a statement shows:\n%s", b.output)
	}
	// Two of one program are one finding.
	too := b.connect()
	pgtest.Exec(t, too, "SET application_name = 'forgets'", "BEGIN")
	r = b.review()
	b.wants(r, mine("idle")+"forgets", jobs.Warning, "(and 1 more like it)")
	ids := map[string]bool{}
	for _, f := range r.Findings {
		if ids[f.ID] {
			t.Errorf("two findings have the id %s", f.ID)
		}
		ids[f.ID] = true
	}
	pgtest.Exec(t, idle, "ROLLBACK")
	pgtest.Exec(t, too, "ROLLBACK")
	b.lacks(b.review(), mine("idle")+"forgets")
	pgtest.Exec(t, idle, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'works' AND datname = current_database()")
}

func TestCollations(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE COLLATION german (provider = icu, locale = 'de')", "CREATE TABLE t (v text COLLATE german)").only("collations")
	b.lacks(b.review(), "collations:public", "collations:database:"+b.name, "unseen")
	pgtest.Exec(t, b.connect(), "UPDATE pg_collation SET collversion = '1.2' WHERE collname = 'german'",
		"UPDATE pg_database SET datcollversion = '1.2', datlocprovider = 'i', daticulocale = 'de' WHERE datname = current_database()")
	r := b.review()
	b.wants(r, "collations:public.german", jobs.Warning, "was of version 1.2 and is ")
	b.wants(r, "collations:database:"+b.name, jobs.Warning, "was of version 1.2 and is ")
	if !strings.Contains(r.Outputs["sql.collations"], `ALTER COLLATION "public"."german" REFRESH VERSION`) {
		t.Errorf("outputs %q", r.Outputs)
	}
}

func TestNeverAnalyzed(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE fresh WITH (autovacuum_enabled = off) AS "+rows, "CREATE TABLE known WITH (autovacuum_enabled = off) AS "+rows, "ANALYZE known",
		"CREATE TABLE few (id int)", "INSERT INTO few VALUES (1)").only("never_analyzed")
	r := b.review()
	b.wants(r, "never_analyzed:public.fresh", jobs.Warning, "20,000 rows")
	if len(r.Findings) != 1 {
		t.Errorf("findings:\n%s", list(r))
	}
	pgtest.Exec(t, b.connect(), r.Outputs["sql.never_analyzed"])
	b.lacks(b.review(), "never_analyzed")
}

func TestSequentialScans(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE large AS SELECT n AS id, repeat('x', 500) AS v FROM generate_series(1, 70000) n", "CREATE TABLE small AS "+rows, "VACUUM ANALYZE large").only("sequential_scans")
	b.lacks(b.review(), "sequential_scans")
	c := b.connect()
	for range 3 {
		pgtest.Exec(t, c, "SELECT count(*) FROM large", "SELECT count(*) FROM small")
	}
	pgtest.Exec(t, c, pgtest.Flush)
	r := b.review()
	b.wants(r, "sequential_scans:public.large", jobs.Info, "was read as a whole")
	b.lacks(r, "sequential_scans:public.small")
	b.lacks(b.review(), "sequential_scans") // nothing came since
}

func TestDatabaseCounters(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t AS SELECT n AS id, repeat('x', 500) AS v FROM generate_series(1, 20000) n").only("cache_hit", "temp_files", "deadlocks")
	b.options.Cache.MinBlocks, b.options.Temporary = 1000, 1<<10
	b.options.Cache.Warn = 1e-6
	r := b.review()
	b.lacks(r, "cache_hit", "temp_files", "deadlocks", "unseen")
	if r.Values["cache_hit_percent"] <= 0 {
		t.Errorf("values %v", r.Values)
	}
	c := b.connect()
	pgtest.Exec(t, c, "SET work_mem = '64kB'", "SELECT count(*) FROM (SELECT v FROM t ORDER BY v, id OFFSET 1) x")
	pgtest.Exec(t, c, pgtest.Flush)
	deadlock(t, b)
	r = b.review()
	b.lacks(r, "cache_hit")
	b.wants(r, "temp_files", jobs.Info, "a day went to temporary files", "limit 1.0 KiB")
	b.wants(r, "deadlocks", jobs.Info, "1 deadlocks since")
	// Only what came since counts.
	b.lacks(b.review(), "temp_files", "deadlocks")
	// After a reset all that there is counts again, even if it is more.
	pgtest.Exec(t, b.connect(), "SELECT pg_stat_reset()")
	b.lacks(b.review(), "temp_files", "deadlocks", "unseen")
}

// deadlock lets two sessions wait for each other until the server ends one.
func deadlock(t *testing.T, b *bench) {
	t.Helper()
	one, two := b.connect(), b.connect()
	pgtest.Exec(t, one, "SET deadlock_timeout = '1s'", "BEGIN", "SELECT pg_advisory_xact_lock(1)")
	pgtest.Exec(t, two, "SET deadlock_timeout = '10ms'", "BEGIN", "SELECT pg_advisory_xact_lock(2)")
	first := make(chan error, 1)
	go func() {
		_, err := one.Exec(t.Context(), "SELECT pg_advisory_xact_lock(2)")
		first <- err
	}()
	_, second := two.Exec(t.Context(), "SELECT pg_advisory_xact_lock(1)")
	if second != nil {
		pgtest.Exec(t, two, "ROLLBACK")
	}
	if err := <-first; (err == nil) == (second == nil) {
		t.Fatalf("no deadlock: %v, %v", err, second)
	}
	pgtest.Exec(t, one, "ROLLBACK", pgtest.Flush)
	pgtest.Exec(t, two, "ROLLBACK", pgtest.Flush)
}

// TestLowPrivileges: a role that may do nothing learns what it could not see.
func TestLowPrivileges(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t WITH (autovacuum_enabled = off) AS "+rows, "ALTER TABLE t ADD PRIMARY KEY (id)", "CREATE SEQUENCE s", "ANALYZE t",
		"CREATE TABLE fresh WITH (autovacuum_enabled = off) AS "+rows)
	b.options.Bloat.Size = 1
	admin := b.connect()
	var role string
	role, b.url = pgtest.Role(t, b.url)
	r := b.review()
	for _, name := range []string{"sequences", "integer_keys", "transactions", "never_analyzed", "bloat"} {
		b.wants(r, "unseen:"+name, jobs.Warning, "could not see "+name)
	}
	b.wants(r, "unseen:transactions", jobs.Warning, `GRANT pg_monitor TO "`+role+`"`)
	if !strings.Contains(r.Summary, "could not see") || r.Values["unseen"] < 5 || strings.Contains(b.output+list(r), "planted-p") {
		t.Errorf("summary %q, values %v\n%s", r.Summary, r.Values, b.output)
	}
	pgtest.Exec(t, admin, "GRANT pg_monitor, pg_read_all_data TO "+role)
	r = b.review()
	for _, name := range []string{"sequences", "integer_keys", "transactions", "bloat"} {
		b.lacks(r, "unseen:"+name)
	}
	b.wants(r, "never_analyzed:public.fresh", jobs.Warning)
	b.options.Ignore = []string{"unseen:*", "settings:*", "*:public.fresh"}
	pgtest.Exec(t, admin, "REVOKE pg_monitor, pg_read_all_data FROM "+role)
	r = b.review()
	b.lacks(r, "unseen", "settings")
	if r.Values["ignored"] < 5 || r.Values["unseen"] != 0 {
		t.Errorf("values %v", r.Values)
	}
}
