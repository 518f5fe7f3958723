package pgvacuum_test

import (
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// TestBloated: dead rows go, and the numbers are those of the server.
func TestBloated(t *testing.T) {
	t.Parallel()
	b := newBench(t, append(bloated("orders", "20000"), bloated("small", "10")...)...)
	c := b.conn()
	const dead = "SELECT pg_stat_get_dead_tuples($1::regclass)"
	if n := pgtest.Ask[int64](t, c, dead, "orders"); n != 10000 {
		t.Fatalf("%d dead rows before", n)
	}
	r := b.good()
	if n := pgtest.Ask[int64](t, c, dead, "orders"); n != 0 {
		t.Errorf("%d dead rows after", n)
	}
	for name, want := range map[string]float64{
		"tables": 2, "tables_due": 1, "tables_vacuumed": 1, "tables_analyzed": 1, "tables_left": 0, "dead_rows_before": 10000, "dead_rows_after": 0,
		"dead_rows_before.orders": 10000, "dead_rows_after.orders": 0, "pages_removed.orders": 0,
	} {
		if got, ok := r.Values[name]; !ok || got != want {
			t.Errorf("value %s is %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"before_bytes.orders", "after_bytes.orders", "work_seconds.orders"} {
		if r.Values[name] <= 0 {
			t.Errorf("value %s is %v", name, r.Values[name])
		}
	}
	if len(r.Findings) > 0 || !strings.Contains(r.Summary, "10,000 dead rows removed") {
		t.Errorf("summary %q, findings %v", r.Summary, r.Findings)
	}
	if again := b.good(); !strings.HasPrefix(again.Summary, "nothing is due in 2 tables") {
		t.Errorf("the second run says %q", again.Summary)
	}
}
