package pgreview_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgreview"
)

// explain explains a statement in the database of the bench.
func (b *bench) explain(q pgreview.Question) (pgreview.Plan, error) {
	b.t.Helper()
	return pgreview.Explain(b.t.Context(), jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(b.url)}, q)
}

func (b *bench) plan(sql string, analyze bool) pgreview.Plan {
	b.t.Helper()
	p, err := b.explain(pgreview.Question{SQL: sql, Analyze: analyze, Timeout: time.Minute})
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func TestExplain(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t AS "+rows, "CREATE TABLE skewed AS SELECT n % 2 AS a, n % 2 AS b FROM generate_series(1, 20000) n", "ANALYZE")
	const sql = "SELECT t.note, sum(o.ref) FROM t JOIN t o ON o.id = t.kind WHERE t.note > 'x5' GROUP BY t.note ORDER BY 2 DESC LIMIT 3"
	p := b.plan(sql, true)
	var text strings.Builder
	if err := p.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Limit  (cost=", "\n  ->  Sort  (cost=", "Sort Key: (sum(o.ref)) DESC", "Hash Cond: ", "Filter: (note > 'x5'::text)", "Rows Removed by Filter: ", "Blocks: ", "Planning "} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the plan does not say %q:\n%s", want, text.String())
		}
	}
	// What was kept is what was shown.
	kept, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var again pgreview.Plan
	if err := json.Unmarshal(kept, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, again); diff != "" {
		t.Error(diff)
	}
	if d := again.Diff(p); d.Changed() || d.Worse() || d.Cost != 1 || len(d.Nodes) > 0 {
		t.Errorf("difference to itself: %+v", d)
	}
	// A wrong estimate is told.
	text.Reset()
	if err := b.plan("SELECT * FROM skewed WHERE a = 0 AND b = 1 ", true).WriteText(&text); err != nil || !strings.Contains(text.String(), "times fewer rows than expected") {
		t.Errorf("%v:\n%s", err, text.String())
	}
}

func TestExplain_Difference(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t AS "+rows, "CREATE INDEX t_kind ON t (kind)", "CREATE INDEX t_id ON t (id)", "ANALYZE t")
	const sql = "SELECT * FROM t WHERE id = 5"
	first := b.plan(sql, false)
	pgtest.Exec(t, b.connect(), "DROP INDEX t_id")
	d := b.plan("SELECT * -- the same\nFROM t WHERE id = 6;", false).Diff(first)
	if !d.Changed() || !d.Worse() || d.Statement || cmp.Diff([]string{"t_id"}, d.Lost) != "" || len(d.Gained) > 0 || d.Cost < 10 {
		t.Errorf("difference %+v", d)
	}
	var text strings.Builder
	if err := d.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no longer uses index t_id", "top: Index Scan using t_id on t -> Seq Scan on t", "times, rows the same"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the difference does not say %q:\n%s", want, text.String())
		}
	}
	pgtest.Exec(t, b.connect(), "INSERT INTO t SELECT * FROM t", "INSERT INTO t SELECT * FROM t", "ANALYZE t")
	grown := b.plan("SELECT count(*) FROM t", false).Diff(b.plan(sql, false))
	if !grown.Statement || len(grown.Nodes) == 0 {
		t.Errorf("difference of statements %+v", grown)
	}
}

func TestExplain_Refuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t AS "+rows, "CREATE SEQUENCE s", "CREATE FUNCTION writes() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO t (id) VALUES (0) RETURNING id'")
	for name, tt := range map[string]struct {
		q       pgreview.Question
		want    string
		refused bool
	}{
		"update":    {pgreview.Question{SQL: "UPDATE t SET kind = 0", Analyze: true}, "refused by read-only", true},
		"function":  {pgreview.Question{SQL: "SELECT writes()", Analyze: true}, "refused by read-only", true},
		"sequence":  {pgreview.Question{SQL: "SELECT nextval('s')", Analyze: true}, "refused by read-only", true},
		"several":   {pgreview.Question{SQL: "SELECT 1; COMMIT; DELETE FROM t"}, "there are several statements", true},
		"options":   {pgreview.Question{SQL: "(ANALYZE, COSTS) DELETE FROM t"}, "syntax error", false},
		"nested":    {pgreview.Question{SQL: "/* a */ -- b\n explain analyze DELETE FROM t"}, "begins with EXPLAIN", false},
		"nothing":   {pgreview.Question{SQL: " \n"}, "there is no statement", false},
		"no plan":   {pgreview.Question{SQL: "VACUUM t"}, "syntax error", false},
		"slow":      {pgreview.Question{SQL: "SELECT pg_sleep(60)", Analyze: true, Timeout: 50 * time.Millisecond}, "took longer than 50ms", false},
		"no object": {pgreview.Question{SQL: "SELECT * FROM nothing"}, `relation "nothing" does not exist`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := b.explain(tt.q)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if _, is := errors.AsType[*jobs.RefusedError](err); is != tt.refused {
				t.Errorf("refused by a rail = %v: %v", is, err)
			}
		})
	}
	t.Cleanup(func() {
		var n int
		// The context of the test has ended.
		if err := b.connect().QueryRow(context.Background(), "SELECT count(*) FROM t WHERE kind > 0").Scan(&n); err != nil || n != 19800 {
			t.Errorf("%d rows: %v", n, err)
		}
	})
}

func FuzzParsePlan(f *testing.F) {
	f.Add([]byte(`[{"Plan": {"Node Type": "Result", "Total Cost": 0.01, "Plan Rows": 1, "Plans": [{"Node Type": "Seq Scan", "Relation Name": "t\u001b"}]}, "Settings": {"a": "b"}}]`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := pgreview.ParsePlan(text)
		if err != nil {
			return
		}
		var b strings.Builder
		if err := p.WriteText(&b); err != nil || b.Len() == 0 {
			t.Errorf("%q: %v", b.String(), err)
		}
		if d := p.Diff(p); d.Changed() {
			t.Errorf("a plan differs from itself: %+v", d)
		}
	})
}
