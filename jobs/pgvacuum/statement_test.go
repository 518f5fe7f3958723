package pgvacuum_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgvacuum"
)

// TestStatements: each version gets the options that it knows.
func TestStatements(t *testing.T) {
	t.Parallel()
	vacuum := pgvacuum.Need{Kind: "r", Vacuum: true}
	both := pgvacuum.Need{Kind: "r", Vacuum: true, Toast: true, Analyze: true}
	toast := pgvacuum.Need{Kind: "r", Toast: true, Analyze: true}
	const name = `"app"."orders"`
	for label, tt := range map[string]struct {
		change func(o *pgvacuum.Options)
		need   pgvacuum.Need
		major  int
		wait   bool
		want   []string
	}{
		"13":              {nil, vacuum, 13, false, []string{"VACUUM (SKIP_LOCKED, TRUNCATE false) " + name}},
		"14":              {nil, vacuum, 14, false, []string{"VACUUM (SKIP_LOCKED, TRUNCATE false, INDEX_CLEANUP auto) " + name}},
		"15 analyze":      {nil, both, 15, false, []string{"VACUUM (SKIP_LOCKED, TRUNCATE false, INDEX_CLEANUP auto, ANALYZE) " + name}},
		"16":              {nil, vacuum, 16, false, []string{"VACUUM (SKIP_LOCKED, TRUNCATE false, INDEX_CLEANUP auto, SKIP_DATABASE_STATS) " + name}},
		"16 second turn":  {nil, vacuum, 16, true, []string{"VACUUM (TRUNCATE false, INDEX_CLEANUP auto, SKIP_DATABASE_STATS) " + name}},
		"15 toast":        {nil, toast, 15, false, []string{`VACUUM (SKIP_LOCKED, TRUNCATE false, INDEX_CLEANUP auto) "pg_toast"."pg_toast_1"`, "ANALYZE (SKIP_LOCKED) " + name}},
		"16 toast":        {nil, toast, 16, true, []string{"VACUUM (TRUNCATE false, INDEX_CLEANUP auto, SKIP_DATABASE_STATS, PROCESS_MAIN false) " + name, "ANALYZE " + name}},
		"17 parent":       {nil, pgvacuum.Need{Kind: "p", Analyze: true}, 17, false, []string{"ANALYZE (SKIP_LOCKED) " + name}},
		"18 parent":       {nil, pgvacuum.Need{Kind: "p", Analyze: true}, 18, false, []string{"ANALYZE (SKIP_LOCKED) ONLY " + name}},
		"18 full":         {nil, pgvacuum.Need{Kind: "r", Vacuum: true, Analyze: true, Full: true}, 18, false, []string{"VACUUM (FULL, ANALYZE, SKIP_LOCKED, SKIP_DATABASE_STATS) " + name}},
		"17 freeze":       {func(o *pgvacuum.Options) { o.Mode = "freeze" }, vacuum, 17, true, []string{"VACUUM (TRUNCATE false, FREEZE, INDEX_CLEANUP auto, SKIP_DATABASE_STATS) " + name}},
		"15 everything":   {everything, both, 15, true, []string{"VACUUM (TRUNCATE true, INDEX_CLEANUP off, PARALLEL 2, ANALYZE) " + name}},
		"17 everything":   {everything, both, 17, true, []string{"VACUUM (BUFFER_USAGE_LIMIT '65536kB', TRUNCATE true, INDEX_CLEANUP off, PARALLEL 2, SKIP_DATABASE_STATS, ANALYZE) " + name}},
		"17 analyze only": {everything, pgvacuum.Need{Kind: "r", Analyze: true}, 17, true, []string{"ANALYZE (BUFFER_USAGE_LIMIT '65536kB') " + name}},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			o := *jobstest.Options[pgvacuum.Options](t, pgvacuum.Kind().Options())
			if tt.change != nil {
				tt.change(&o)
			}
			if diff := cmp.Diff(tt.want, pgvacuum.Statements(o, tt.need, tt.major, !tt.wait)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func everything(o *pgvacuum.Options) {
	o.Truncate, o.IndexCleanup, o.Parallel, o.BufferUsageLimit = true, "off", 2, 64<<20
}

// TestEveryOption: the server understands what it is told, in every mode.
func TestEveryOption(t *testing.T) {
	t.Parallel()
	for label, change := range map[string]func(o *pgvacuum.Options){
		"everything": everything,
		"freeze":     func(o *pgvacuum.Options) { everything(o); o.Mode, o.Due = "freeze", 0.000001 },
		"analyze":    func(o *pgvacuum.Options) { everything(o); o.Mode = "analyze" },
		"cleanup":    func(o *pgvacuum.Options) { o.IndexCleanup, o.Parallel, o.TimeBudget = "on", 0, 0 },
		"waiting":    func(o *pgvacuum.Options) { o.SkipLocked = false },
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, append(bloated("orders", "5000"), "ALTER TABLE orders ALTER note SET STORAGE EXTERNAL",
				"INSERT INTO orders SELECT i, repeat('x', 9000) FROM generate_series(-200, -1) i", "DELETE FROM orders WHERE id < -50")...)
			change(&b.options)
			b.options.MaintenanceMem, b.options.CostDelay, b.options.CostLimit = 64<<20, unit.Duration(time.Millisecond), 10_000
			r := b.good()
			if r.Values["tables_due"] != 1 || r.Values["tables_vacuumed"]+r.Values["tables_analyzed"] == 0 {
				t.Errorf("%+v\n%s", r.Values, b.out)
			}
		})
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	at := func(hour, minute int) time.Time { return time.Date(2026, 3, 1, hour, minute, 59, 0, time.UTC) }
	for _, tt := range []struct {
		window string
		at     time.Time
		want   bool
	}{
		{"02:00-04:00", at(2, 0), true},
		{"02:00-04:00", at(3, 59), true},
		{"02:00-04:00", at(4, 0), false},
		{"02:00-04:00", at(1, 59), false},
		{"23:00-01:30", at(23, 0), true},
		{"23:00-01:30", at(0, 0), true},
		{"23:00 - 01:30", at(1, 30), false},
		{"23:00-01:30", at(12, 0), false},
	} {
		if got, err := pgvacuum.InWindow(tt.window, tt.at); got != tt.want || err != nil {
			t.Errorf("%s at %s: %v, %v", tt.window, tt.at, got, err)
		}
	}
	for _, bad := range []string{"", "02:00", "02:00-", "02:00-02:00", "25:00-26:00", "2-4", "02:00-04:00-06:00", "02:00–04:00"} {
		if _, err := pgvacuum.InWindow(bad, at(0, 0)); err == nil {
			t.Errorf("%q is a window", bad)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, schema, name string
		want                  bool
	}{
		{"orders", "public", "orders", true},
		{"orders", "app", "orders", true},
		{"orders", "public", "Orders", false},
		{"order?", "public", "orders", true},
		{"ord*", "public", "ord", true},
		{"app.*", "app", "orders", true},
		{"app.*", "apple", "orders", false},
		{"*.orders", "app", "orders", true},
		{"a.b", "public", "a.b", false},
		{"public.a.b", "public", "a.b", true},
		{"[a]+", "public", "a", false},
		{"[a]+", "public", "[a]+", true},
		{"a*b", "public", "a\nb", true},
		{"*", "public", "x/y", true},
	} {
		if got := pgvacuum.Matches(tt.pattern, tt.schema, tt.name); got != tt.want {
			t.Errorf("%q on %q.%q: %v", tt.pattern, tt.schema, tt.name, got)
		}
	}
}
