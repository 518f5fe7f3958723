package pgreview_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgreview"
)

// TestStatements needs a server with pg_stat_statements. It begins with a
// healthy database, about which no check says anything.
func TestStatements(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t, "fsync=on", "max_connections=60", "shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_utility=on")
	b := benchAt(t, c.URL, "CREATE EXTENSION pg_stat_statements", "CREATE TABLE t AS "+rows, "ALTER TABLE t ADD PRIMARY KEY (id)", "ANALYZE t",
		"CREATE TABLE u (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t int REFERENCES t (id))", "CREATE INDEX ON u (t)", "INSERT INTO u (t) SELECT id FROM t", "VACUUM ANALYZE")
	use := b.connect()
	pgtest.Exec(t, use, "SELECT count(*) FROM t WHERE id = 5", "SET enable_seqscan = off", "SELECT count(*) FROM u WHERE t = 3", pgtest.Flush, "RESET enable_seqscan")
	r := b.review()
	if len(r.Findings) > 0 || !strings.Contains(r.Summary, "24 checks, nothing to worry about") {
		t.Errorf("a healthy database: %s\n%s", r.Summary, list(r))
	}

	b.options.Statements.MinCalls = 3
	b.options.Statements.Mean = unit.Duration(50 * time.Millisecond)
	b.options.Statements.Floor = unit.Duration(time.Microsecond)
	pgtest.Exec(t, use, "CREATE ROLE planted_role PASSWORD 'planted-1234'", "DROP ROLE planted_role")
	for n := range 4 {
		pgtest.Exec(t, use, fmt.Sprintf("SELECT /* planted-comment */ pg_sleep(0.08), 'planted-5678', %d", n), fmt.Sprintf("SELECT pg_sleep(%g) AS pause", 0.001))
	}
	r = b.review()
	b.wants(r, "statements:", jobs.Warning, "on average (4 calls since ", "limit 50ms: SELECT pg_sleep($1), $2, …")
	if strings.Contains(b.output+list(r)+fmt.Sprint(r.Outputs), "planted-") {
		t.Errorf("a value of a statement shows:\n%s", b.output)
	}
	if !strings.Contains(b.output, "CREATE ROLE planted_role PASSWORD ?") && !strings.Contains(b.output, "CREATE ROLE planted_role …") {
		t.Errorf("the statement that holds a password is not shown at all:\n%s", b.output)
	}
	if strings.Contains(b.output, "pg_stat_activity") {
		t.Errorf("statements of the review show:\n%s", b.output)
	}
	if r.Values["statement_seconds_per_day"] <= 0 {
		t.Errorf("values %v", r.Values)
	}
	// Nothing came since, so there is nothing to say.
	b.lacks(b.review(), "statements")

	// What became slower.
	b.options.Statements.Mean = 0
	for range 4 {
		pgtest.Exec(t, use, fmt.Sprintf("SELECT pg_sleep(%g) AS pause", 0.5))
	}
	r = b.review()
	b.wants(r, "statements:", jobs.Warning, "times as long as before (4 calls since ", "SELECT pg_sleep($1) AS pause")

	// After a reset what came after it counts.
	b.options.Statements.Mean = unit.Duration(50 * time.Millisecond)
	pgtest.Exec(t, use, "SELECT pg_stat_statements_reset()")
	for range 3 {
		pgtest.Exec(t, use, "SELECT pg_sleep(0.08), 1")
	}
	r = b.review()
	b.wants(r, "statements:", jobs.Warning, "(3 calls since ")

	// Others' statements are hidden from a role without privileges.
	pgtest.Exec(t, use, "CREATE ROLE low LOGIN")
	b.url = pgtest.As(t, b.url, "low", "")
	b.wants(b.only("statements").review(), "unseen:statements", jobs.Warning, "statements of other roles", `GRANT pg_monitor TO "low"`)
}

// TestTroubledServer: what only a server of one's own can have.
func TestTroubledServer(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t, "max_connections=60", "archive_mode=on", "archive_command=false", "max_prepared_transactions=5", "shared_buffers=1MB", "autovacuum=off", "wal_level=logical")
	b := benchAt(t, c.URL, "CREATE TABLE t AS "+rows, "CHECKPOINT").only("archiver", "transactions", "replication_slots", "settings", "checksums", "checkpoints", "statements", "cache_hit")
	r := b.review()
	b.lacks(r, "archiver", "transactions", "replication_slots", "checksums", "checkpoints")
	b.wants(r, "settings:fsync", jobs.Critical)
	b.wants(r, "settings:autovacuum", jobs.Warning)
	b.wants(r, "unseen:statements", jobs.Info, "not installed")

	use := b.connect()
	pgtest.Exec(t, use, "CREATE EXTENSION pg_stat_statements", "ALTER SYSTEM SET shared_buffers = '2MB'", "SELECT pg_reload_conf()",
		"SELECT pg_create_physical_replication_slot('idle_slot', true)",
		"INSERT INTO t SELECT * FROM t", "SELECT pg_switch_wal()", "BEGIN", "INSERT INTO t VALUES (0)", "PREPARE TRANSACTION 'it''s \\ forgotten'")
	for range 3 {
		pgtest.Exec(t, use, "INSERT INTO t VALUES (1)", "CHECKPOINT")
	}
	damage(t, c, use)
	b.options.Transactions.Prepared.Warn = 1
	b.options.Cache = pgreview.CacheLimits{Warn: 100, MinBlocks: 1}
	b.options.Slots = pgreview.SlotLimits{Warn: 1, Crit: 1 << 40}
	b.options.Checkpoints.Min = 3
	deadline := time.Now().Add(time.Minute)
	for r = b.review(); ; r = b.review() { // the archiver takes its time
		if _, ok := finding(r, "archiver"); ok || time.Now().After(deadline) {
			break
		}
	}
	b.wants(r, "archiver", jobs.Critical, "write-ahead log is not archived")
	b.wants(r, "transactions:prepared:it_s___forgotten", jobs.Warning, "is prepared for")
	b.wants(r, "replication_slots:idle_slot", jobs.Warning, "nobody reads replication slot idle_slot (physical)", "limit 1 B")
	b.wants(r, "checksums:"+b.name, jobs.Critical, "had a wrong checksum")
	b.wants(b.past[len(b.past)-2].Result, "checkpoints", jobs.Info, "did not wait for their time")
	b.wants(b.past[len(b.past)-2].Result, "cache_hit", jobs.Warning, "were in the server's memory, limit 100%")
	b.wants(b.past[len(b.past)-2].Result, "cache_hit", jobs.Warning, "limit 100%")
	b.wants(r, "unseen:statements", jobs.Info, "not in shared_preload_libraries")
	if r.Values["slot_retained_bytes"] <= 0 {
		t.Errorf("values %v", r.Values)
	}
	for _, name := range []string{"transactions", "replication_slots"} {
		pgtest.Exec(t, use, strings.Split(r.Outputs["sql."+name], "\n")...)
	}
	pgtest.Exec(t, use, "ALTER SYSTEM SET archive_command = 'true'")
	b.options.Checks = []string{"replication_slots", "transactions"}
	b.lacks(b.review(), "replication_slots", "transactions:prepared")
}

// damage changes a byte of a table behind the server's back and lets the server
// see it.
func damage(t *testing.T, c *pgtest.Cluster, use *pgx.Conn) {
	t.Helper()
	ctx := context.Background()
	pgtest.Exec(t, use, "CREATE TABLE victim AS SELECT n, repeat('v', 100) AS v FROM generate_series(1, 1000) n", "CHECKPOINT")
	var path string
	if err := use.QueryRow(ctx, "SELECT pg_relation_filepath('victim')").Scan(&path); err != nil {
		t.Fatal(err)
	}
	// Other pages drive those of the victim out of the small cache.
	pgtest.Exec(t, use, "CREATE TABLE filler AS SELECT n, repeat('f', 1000) AS f FROM generate_series(1, 5000) n", "SELECT count(*) FROM filler", "CHECKPOINT", "SELECT count(*) FROM filler")
	f, err := os.OpenFile(filepath.Join(c.Data, path), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), 5000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := use.QueryRow(ctx, "SELECT count(*) FROM victim").Scan(&n); err == nil {
		t.Fatal("the server does not see the damage")
	}
	pgtest.Exec(t, use, pgtest.Flush)
}

func TestStandby(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.url = pgtest.NewStandby(t, pgtest.URL(t, "")).URL
	r := b.review()
	for _, name := range []string{"archiver", "never_analyzed", "checkpoints"} {
		b.wants(r, "unseen:"+name, jobs.Info, "the server is a standby")
	}
	for _, f := range r.Findings {
		if strings.HasPrefix(f.ID, "unseen:") && f.Severity != jobs.Info {
			t.Errorf("%s: %s", f.ID, f.Text)
		}
	}
	if !strings.Contains(b.output, "a standby") {
		t.Errorf("output:\n%s", b.output)
	}
}
