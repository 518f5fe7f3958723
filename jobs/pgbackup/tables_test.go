package pgbackup_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
)

// manyTables returns statements that make so many small tables, in
// transactions that need few locks each.
func manyTables(tables int) []string {
	const each = 100
	var out []string
	for first := 1; first <= tables; first += each {
		out = append(out, fmt.Sprintf(`DO $$ BEGIN FOR i IN %d..%d LOOP EXECUTE format('CREATE TABLE t%%s AS SELECT generate_series(1, %%s) AS n', i, i %% 10); END LOOP; END $$`,
			first, min(first+each-1, tables)))
	}
	return out
}

// TestManySmallTables: every one of many tables is dumped, counted, read back
// and restored. UPKEEP_SOAK=1 takes 10,000 of them.
func TestManySmallTables(t *testing.T) {
	t.Parallel()
	tables := 1500
	if os.Getenv("UPKEEP_SOAK") != "" {
		tables = 10_000
	}
	for name, connections := range map[string]int{"custom": 1, "directory": 2} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, manyTables(tables)...)
			b.options.Jobs = connections
			r, err := b.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, d := b.one()
			for _, table := range d.Databases[0].Tables {
				if !table.Exact || !table.Dumped {
					t.Fatalf("%+v", table)
				}
			}
			if r.Values["tables"] != float64(tables) || r.Values["rows"] != float64(tables/10*45) {
				t.Errorf("%v tables, %v rows", r.Values["tables"], r.Values["rows"])
			}
			if os.Getenv("UPKEEP_SOAK") == "" {
				return // TestRoundTrip restores fewer, but odder ones
			}
			target := pgtest.Database(t)
			tool(t, "pg_restore", "--exit-on-error", "-d", pgtest.URL(t, target), fetch(t, b, connections > 1))
			if diff := cmp.Diff(logical(t, b.name), logical(t, target)); diff != "" {
				t.Errorf("the restored database differs (-saved +restored):\n%s", diff)
			}
		})
	}
}

// TestCountBatches: the round trips that counting takes grow with the bytes, or
// with a two-hundredth of the tables.
func TestCountBatches(t *testing.T) {
	t.Parallel()
	sizes := func(n int, bytes int64) []int64 {
		out := make([]int64, n)
		for i := range out {
			out[i] = bytes
		}
		return out
	}
	for name, tt := range map[string]struct {
		sizes []int64
		want  int
	}{
		"none":        {nil, 0},
		"empty ones":  {sizes(10_000, 0), 50},
		"small ones":  {sizes(10_000, 8192), 50},
		"a large one": {sizes(1, 1<<40), 1},
		"large ones":  {sizes(20, 1<<30), 20},
		"middling":    {sizes(100, 1<<20), 13},
		"mixed":       {append(sizes(200, 0), sizes(3, 9<<20)...), 4},
	} {
		batches := pgbackup.CountBatches(tt.sizes)
		total := 0
		for _, n := range batches {
			total += n
		}
		if len(batches) != tt.want || total != len(tt.sizes) {
			t.Errorf("%s: %d batches with %d tables: %v, want %d", name, len(batches), total, batches, tt.want)
		}
	}
}

// TestNoRoomForLocks: a server with more tables than locks gets no backup, and
// its administrator the value that would do.
func TestNoRoomForLocks(t *testing.T) {
	t.Parallel()
	const tables = 2000
	address := pgtest.NewCluster(t, "max_connections=10", "max_locks_per_transaction=10", "max_wal_senders=0", "max_worker_processes=1", "autovacuum=off").URL
	pgtest.Exec(t, pgtest.Connect(t, address), manyTables(tables)...)
	for _, connections := range []int{1, 2} {
		b := benchOn(t, "postgres")
		b.url, b.options.Jobs = address, connections
		_, err := b.run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "out of shared memory") {
			t.Fatalf("jobs %d: %v", connections, err)
		}
		if len(err.Error()) > 2000 {
			t.Errorf("jobs %d: the error has %d bytes: %.300s", connections, len(err.Error()), err)
		}
		hint := jobs.HintOf(err)
		for _, part := range []string{"2000 tables", "100 locks", "max_locks_per_transaction = 10,", "set max_locks_per_transaction = 448"} {
			if !strings.Contains(hint, part) {
				t.Errorf("jobs %d: the hint lacks %q: %s", connections, part, hint)
			}
		}
		b.empty()
	}
	// The value that it names is enough.
	t.Run("enough", func(t *testing.T) {
		address := pgtest.NewCluster(t, "max_connections=10", "max_locks_per_transaction=448", "max_wal_senders=0", "max_worker_processes=1", "autovacuum=off").URL
		pgtest.Exec(t, pgtest.Connect(t, address), manyTables(tables)...)
		b := benchOn(t, "postgres")
		b.url = address
		r, err := b.run(t.Context())
		if err != nil || r.Values["tables"] != tables {
			t.Errorf("%v tables, %v", r.Values["tables"], err)
		}
	})
}

// TestComplaint: what a program says first is told, also when it goes on for
// long.
func TestComplaint(t *testing.T) {
	t.Parallel()
	long := "pg_dump: error: query failed: ERROR:  out of shared memory\nHINT:  You might need to increase max_locks_per_transaction.\n" +
		"pg_dump: detail: Query was: LOCK TABLE " + strings.Repeat("public.t, ", 100_000) + "\npg_dump: the end\n"
	err := pgbackup.Complain(errors.New("exit status 1"), long)
	if err == nil || !strings.Contains(err.Error(), "out of shared memory; HINT: You might need to increase max_locks_per_transaction.") {
		t.Errorf("%.300v", err)
	}
	lines := pgbackup.Said(long)
	if last := lines[len(lines)-1]; last != "pg_dump: the end" || len(strings.Join(lines, "")) > 20_000 {
		t.Errorf("%d lines end in %.100q", len(lines), last)
	}
	if lines := pgbackup.Said("one\ntwo\n"); !cmp.Equal(lines, []string{"one", "two"}) {
		t.Errorf("%q", lines)
	}
}
