package pgvacuum_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgvacuum"
)

// TestFull: a table is rewritten when it is named and all rails hold, and only
// then; without them it is vacuumed like any other.
func TestFull(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	around := func(from, to time.Duration) string {
		return now.Add(from).Format("15:04") + "-" + now.Add(to).Format("15:04")
	}
	rails := pgvacuum.Full{
		Tables: []string{"queue"}, MaxSize: 1 << 30, MinGain: 30, Volume: unit.Path(t.TempDir()), Window: around(-2*time.Hour, 2*time.Hour),
	}
	for label, tt := range map[string]struct {
		change func(f *pgvacuum.Full)
		rail   string
	}{
		"rewritten":    {func(*pgvacuum.Full) {}, ""},
		"other table":  {func(f *pgvacuum.Full) { f.Tables = []string{"orders"} }, "orders is not rewritten: 2% of it are estimated to be empty (full.min_gain 30%)"},
		"window":       {func(f *pgvacuum.Full) { f.Window = around(3*time.Hour, 4*time.Hour) }, "queue is not rewritten: it is not the time for it"},
		"max_size":     {func(f *pgvacuum.Full) { f.MaxSize = 64 << 10 }, "(full.max_size 64 KiB)"},
		"min_gain":     {func(f *pgvacuum.Full) { f.MinGain = 99 }, "(full.min_gain 99%)"},
		"min_free":     {func(f *pgvacuum.Full) { f.MinFree = 1 << 60 }, "(full.min_free 1.0 EiB)"},
		"no volume":    {func(f *pgvacuum.Full) { f.Volume = "/nowhere/at/all" }, "the free space at /nowhere/at/all is not known"},
		"left out too": {func(f *pgvacuum.Full) { f.Tables = nil }, ""},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, append(bloated("queue", "20000"), "CREATE TABLE orders AS SELECT i AS id, repeat('x', 50) AS note FROM generate_series(1, 5000) i",
				"ALTER TABLE orders SET (autovacuum_enabled = false)", "VACUUM ANALYZE orders", "DELETE FROM queue WHERE id % 10 <> 1", "VACUUM ANALYZE queue")...)
			b.options.Full = rails
			tt.change(&b.options.Full)
			c := b.conn()
			const file = "SELECT pg_relation_filenode($1::text::regclass)::bigint"
			before, size := pgtest.Ask[int64](t, c, file, "queue"), pgtest.Ask[int64](t, c, "SELECT pg_relation_size('queue')")
			r := b.good()
			rewritten := pgtest.Ask[int64](t, c, file, "queue") != before
			if want := label == "rewritten"; rewritten != want || (r.Values["tables_vacuumed"] == 1) != want || !strings.Contains(b.out.String(), tt.rail) {
				t.Errorf("rewritten: %v, %+v\n%s", rewritten, r.Values, b.out)
			}
			if after := pgtest.Ask[int64](t, c, "SELECT pg_relation_size('queue')"); rewritten && (after > size/4 || r.Values["pages_removed.queue"] != float64(size-after)/8192) {
				t.Errorf("%d bytes of %d are left, %v", after, size, r.Values)
			}
			if rewritten && pgtest.Ask[int64](t, c, "SELECT count(*) FROM queue") != 2000 {
				t.Error("rows are missing")
			}
		})
	}
}

// TestTruncate: by default nothing is rewritten and no table gives its end
// back, which truncate does.
func TestTruncate(t *testing.T) {
	t.Parallel()
	b := newBench(t, append(bloated("orders", "20000"), "DELETE FROM orders WHERE id > 1000")...)
	c := b.conn()
	before := world(t, b.url)
	size := pgtest.Ask[int64](t, c, "SELECT pg_relation_size('orders')")
	if r := b.good(); r.Values["pages_removed.orders"] != 0 || pgtest.Ask[int64](t, c, "SELECT pg_relation_size('orders')") != size {
		t.Errorf("%+v", r.Values)
	}
	after := world(t, b.url)
	for i := range before {
		if file := before[i][strings.LastIndex(before[i], " "):]; !strings.HasSuffix(after[i], file) {
			t.Errorf("rewritten: before %s, after %s", before[i], after[i])
		}
	}
	pgtest.Load(t, c, "INSERT INTO orders SELECT i, '' FROM generate_series(30000, 40000) i", "DELETE FROM orders WHERE id > 1000")
	b.options.Truncate = true
	if r := b.good(); r.Values["pages_removed.orders"] < 10 || !strings.Contains(b.out.String(), " pages given back") {
		t.Errorf("%+v", r.Values)
	}
}

// TestFull_Own: no table of upkeep's own database is rewritten.
func TestFull_Own(t *testing.T) {
	t.Parallel()
	for label, own := range map[string]bool{"ledger": true, "another database": false} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, append(bloated("queue", "20000"), "DELETE FROM queue WHERE id % 10 <> 1", "VACUUM ANALYZE queue")...)
			now := time.Now().UTC()
			b.options.Full = pgvacuum.Full{
				Tables: []string{"queue"}, MaxSize: 1 << 30, MinGain: 30, Volume: unit.Path(t.TempDir()),
				Window: now.Add(-2*time.Hour).Format("15:04") + "-" + now.Add(2*time.Hour).Format("15:04"),
			}
			other := pgtest.Connect(t, pgtest.URL(t, "postgres"))
			if own {
				other = b.conn()
			}
			b.hooks.OwnDatabase = pgtest.Ask[string](t, other, jobs.DatabaseIdentity)
			c := b.conn()
			const file = "SELECT pg_relation_filenode('queue'::regclass)::bigint"
			before := pgtest.Ask[int64](t, c, file)
			_, err := b.run(t.Context())
			if rewritten := pgtest.Ask[int64](t, c, file) != before; rewritten == own || refused(err) != own {
				t.Errorf("rewritten: %t, %v", rewritten, err)
			}
		})
	}
}
