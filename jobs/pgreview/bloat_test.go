package pgreview_test

import (
	"context"
	"math"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

func TestBloat(t *testing.T) {
	t.Parallel()
	const wide = "SELECT n::int AS id, n::bigint AS big, (n % 5)::smallint AS kind, now() AS at, 'note ' || n AS note, CASE WHEN n % 3 = 0 THEN 'x' END AS opt FROM generate_series(1, 60000) n"
	b := newBench(t, "CREATE TABLE bloated AS "+wide, "CREATE TABLE tight AS "+wide, "CREATE INDEX bloated_note ON bloated (note)", "CREATE INDEX tight_note ON tight (note)",
		"CREATE INDEX tight_lower ON tight (lower(note), big)", "CREATE TABLE emptied AS "+wide, "DELETE FROM emptied WHERE id < 60000", "DELETE FROM bloated WHERE id % 10 <> 0",
		"VACUUM ANALYZE").only("bloat")
	b.options.Bloat.Size = 1 << 20
	r := b.review()
	b.wants(r, "bloat:public.bloated", jobs.Warning, "is empty room (limits 50% and 1.0 MiB)")
	b.wants(r, "bloat:public.bloated_note", jobs.Warning, "index public.bloated_note")
	b.wants(r, "bloat:public.emptied", jobs.Warning, "about 100 %")
	b.lacks(r, "bloat:public.tight", "bloat:public.tight_note", "bloat:public.tight_lower", "unseen")
	if r.Values["bloat_bytes"] < 5<<20 {
		t.Errorf("values %v", r.Values)
	}
	pgtest.Exec(t, b.connect(), r.Outputs["sql.bloat"], "VACUUM FULL ANALYZE bloated", "VACUUM FULL ANALYZE emptied")
	b.lacks(b.review(), "bloat")

	// Without statistics nothing is known.
	pgtest.Exec(t, b.connect(), "CREATE TABLE unknown WITH (autovacuum_enabled = off) AS "+wide, "VACUUM unknown")
	r = b.review()
	b.lacks(r, "bloat")
	b.wants(r, "unseen:bloat", jobs.Warning, "1 tables and indexes of which")
}

// TestBloat_Measured compares the estimates with what pgstattuple measures.
func TestBloat_Measured(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE EXTENSION pgstattuple",
		"CREATE TABLE ints AS SELECT n::smallint % 100 AS a, n::bigint AS b, n::int AS c, n % 2 = 0 AS d FROM generate_series(1, 30000) n",
		"CREATE TABLE texts AS SELECT n AS id, repeat('x', n % 200) AS v, CASE WHEN n % 4 = 0 THEN now() END AS at, md5(n::text) AS h FROM generate_series(1, 30000) n",
		"CREATE TABLE filled (id int, v text) WITH (fillfactor = 50)", "INSERT INTO filled SELECT n, md5(n::text) FROM generate_series(1, 30000) n",
		"CREATE TABLE numbers AS SELECT n::numeric * 12345.678 AS n, gen_random_uuid() AS u, jsonb_build_object('id', n, 'name', 'row ' || n) AS j, ARRAY[n, n + 1] AS a FROM generate_series(1, 30000) n",
		"CREATE INDEX ON ints (b)", "CREATE INDEX ON ints (c, a)", "CREATE INDEX ON texts (h)", "CREATE INDEX ON texts (id, at)", "CREATE UNIQUE INDEX ON numbers (u)", "CREATE INDEX ON numbers ((n * 2))",
		"VACUUM ANALYZE")
	address, err := pg.ParseAddress(secret.New(b.url))
	if err != nil {
		t.Fatal(err)
	}
	c, err := pg.Connect(t.Context(), address, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Hangup(context.Background()); err != nil {
			t.Error(err)
		}
	})
	tables, err := pg.TableBloat(t.Context(), c, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	indexes, err := pg.IndexBloat(t.Context(), c, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) != 4 || len(indexes) != 6 {
		t.Fatalf("%d tables and %d indexes", len(tables), len(indexes))
	}
	// None has been written to since it was made, so what is there is what is
	// needed.
	for _, e := range append(tables, indexes...) {
		off := float64(e.Expected-e.Bytes) / float64(e.Bytes)
		t.Logf("%s %s: %d bytes, expected %d (%+.1f %%)", e.Table, e.Index, e.Bytes, e.Expected, 100*off)
		if !e.Known || math.Abs(off) > 0.1 {
			t.Errorf("%s %s: %d bytes, expected %d (%+.1f %%)", e.Table, e.Index, e.Bytes, e.Expected, 100*off)
		}
	}
	// After most rows went, the estimate must be near the free room.
	pgtest.Exec(t, b.connect(), "DELETE FROM texts WHERE id % 5 <> 0", "VACUUM ANALYZE texts")
	if tables, err = pg.TableBloat(t.Context(), c, 1, 100); err != nil {
		t.Fatal(err)
	}
	for _, e := range tables {
		var free float64
		if err := b.connect().QueryRow(t.Context(), "SELECT free_percent + dead_tuple_percent FROM pgstattuple($1::regclass)", e.Table).Scan(&free); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: estimated %.1f %%, measured %.1f %%", e.Table, e.Percent(), free)
		if e.Table == "texts" && math.Abs(e.Percent()-free) > 10 {
			t.Errorf("%s: estimated %.1f %%, measured %.1f %%", e.Table, e.Percent(), free)
		}
	}
}
