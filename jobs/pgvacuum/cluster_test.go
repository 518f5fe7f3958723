package pgvacuum_test

import (
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// TestServerOfItsOwn: what needs settings of the server, or would disturb other
// tests: prepared transactions, replication slots, standbys with feedback, and
// that a standby is refused.
func TestServerOfItsOwn(t *testing.T) {
	t.Parallel()
	primary := pgtest.NewCluster(t, "wal_level=logical", "max_prepared_transactions=5", "autovacuum_naptime=1s")
	c := pgtest.Connect(t, primary.URL)
	pgtest.Load(t, c, append(bloated("orders", "5000"), "CREATE TABLE other (id int)")...)
	pgtest.Exec(t, c, "SELECT pg_create_logical_replication_slot('feed', 'test_decoding')")
	b := newBench(t)
	b.name, b.url = "postgres", primary.URL

	t.Run("prepared", func(t *testing.T) {
		pgtest.Exec(t, c, "BEGIN", "INSERT INTO other VALUES (1)", "PREPARE TRANSACTION 'forgotten'")
		pgtest.Load(t, c, "DELETE FROM orders")
		r := b.good()
		if f := finding(r, "not-removable:postgres"); !strings.Contains(f.Text, "because of prepared transaction forgotten of user postgres, for ") {
			t.Errorf("findings %+v", r.Findings)
		}
		pgtest.Exec(t, c, "ROLLBACK PREPARED 'forgotten'")
	})
	t.Run("autovacuum", func(t *testing.T) {
		pgtest.Load(t, c, "CREATE TABLE busy WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1) AS SELECT i AS id, repeat('x', 100) AS note FROM generate_series(1, 20000) i",
			"DELETE FROM busy WHERE id % 2 = 0")
		const comes = "SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE relid = 'busy'::regclass)"
		pgtest.Await(t, c, comes)
		for _, skip := range []bool{true, false} {
			b.options.Tables, b.options.SkipLocked = []string{"busy"}, skip
			before := len(b.out.String())
			b.good()
			if out := b.out.String()[before:]; !strings.Contains(out, "busy: clean: autovacuum is at work on it") {
				t.Errorf("output:\n%s", out)
			}
		}
		if !pgtest.Ask[bool](t, c, comes) {
			t.Error("autovacuum was disturbed")
		}
		b.options.Tables, b.options.SkipLocked = nil, true
		pgtest.Exec(t, c, "DROP TABLE busy") // ends autovacuum
	})
	t.Run("slot", func(t *testing.T) {
		b.good()
		if !strings.Contains(b.out.String(), "dead rows are held back by logical replication slot feed (not active), of the system catalogs") {
			t.Errorf("output:\n%s", b.out)
		}
	})

	standby := pgtest.NewStandby(t, primary.URL, "hot_standby_feedback=on", "wal_receiver_status_interval=1s", "wal_level=logical")
	t.Run("standby", func(t *testing.T) {
		on := *b
		on.t, on.url = t, standby.URL
		_, err := on.run(t.Context())
		if !refused(err) || !strings.Contains(err.Error(), "is a standby") || jobs.HintOf(err) == "" {
			t.Errorf("%v", err)
		}
	})
	t.Run("feedback", func(t *testing.T) {
		reader := pgtest.Connect(t, standby.URL)
		pgtest.Exec(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM orders")
		pgtest.Await(t, c, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE backend_xmin IS NOT NULL)")
		pgtest.Load(t, c, "INSERT INTO orders SELECT i, '' FROM generate_series(1, 5000) i", "DELETE FROM orders")
		r := b.good()
		if f := finding(r, "not-removable:postgres"); !strings.Contains(f.Text, "because of standby walreceiver by hot_standby_feedback, for ") {
			t.Errorf("findings %+v\n%s", r.Findings, b.out)
		}
	})
}
