package pgindex_test

import (
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgindex"
)

// predictions is the table that most tests index.
const predictions = "CREATE TABLE predictions AS SELECT n AS id, 'model_' || n % 5 AS model_name, now() AS created_at, random() AS score FROM generate_series(1, 2000) n"

func TestBuilds(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions, `CREATE SCHEMA "Odd Schema"`, `CREATE TABLE "Odd Schema"."my ""T"" .x" ("my Col" int, "order" int)`)
	b.options.Indexes = []pgindex.Index{
		{Name: "by_model", Table: "public.predictions", Columns: []string{"model_name", "created_at DESC"}, Include: []string{"score"}},
		{Name: "by_id", Table: "predictions", Columns: []string{"id"}, Unique: true, With: map[string]string{"fillfactor": "80"}},
		{Name: "lower", Table: "public.predictions", Columns: []string{"lower(model_name) text_pattern_ops"}, Where: "score > 0.5 AND model_name <> 'it''s'"},
		{Name: "hashed", Table: "public.predictions", Columns: []string{"model_name"}, Method: "hash"},
		{Name: "brin", Table: "public.predictions", Columns: []string{"created_at"}, Method: "brin"},
		{Name: `my "Index"`, Table: `Odd Schema.my "T" .x`, Columns: []string{"my Col", "order"}},
		{Name: "quoted", Table: `"Odd Schema"."my ""T"" .x"`, Columns: []string{`"order" DESC NULLS LAST`}},
		{Name: strings.Repeat("ü", 31), Table: "public.predictions", Columns: []string{"score"}},
	}
	var effects []string
	b.hooks.Effect = func(what string) { effects = append(effects, what) }
	before := len(indexes(t, b.url))
	b.hooks.DryRun = true
	r := b.good()
	if len(indexes(t, b.url)) != before || !strings.Contains(b.out.String(), `would create index public.by_model: CREATE INDEX CONCURRENTLY IF NOT EXISTS "by_model_upkeep" ON "public"."predictions" USING btree ("model_name", created_at DESC) INCLUDE ("score")`) {
		t.Errorf("a dry run:\n%s", b.out)
	}
	if !strings.Contains(r.Summary, "would have built 8") {
		t.Errorf("summary %q", r.Summary)
	}
	b.hooks.DryRun = false
	r = b.good()
	b.values(r, map[string]float64{"indexes": 8, "built": 8, "dropped": 0})
	if len(effects) != 8 || r.Values["index_bytes"] <= 0 {
		t.Errorf("effects %q, values %v", effects, r.Values)
	}
	all := strings.Join(indexes(t, b.url), "\n")
	for _, want := range []string{
		"by_model true ", "(model_name, created_at DESC) INCLUDE (score)", "CREATE UNIQUE INDEX by_id ON public.predictions USING btree (id) WITH (fillfactor='80')",
		"lower(model_name) text_pattern_ops) WHERE ", "USING hash (model_name)", "USING brin (created_at)", `CREATE INDEX "my ""Index""" ON "Odd Schema"."my ""T"" .x" USING btree ("my Col", "order")`,
		`("order" DESC NULLS LAST)`, strings.Repeat("ü", 31) + " true",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no index has %q:\n%s", want, all)
		}
	}
	if strings.Contains(all, "upkeep") || strings.Contains(all, "false") {
		t.Errorf("leftovers:\n%s", all)
	}
	// Again nothing is to do, once the server has noticed that we left.
	pgtest.Gone(t, b.conn(), b.name, applicationName)
	effects = nil
	r = b.good()
	b.values(r, map[string]float64{"indexes": 8, "built": 0})
	if len(effects) != 0 || strings.Join(indexes(t, b.url), "\n") != all {
		t.Errorf("effects %q", effects)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	model := pgindex.Index{Name: "by_model", Table: "public.predictions", Columns: []string{"model_name"}}
	first := pgindex.Index{Name: "a_first", Table: "public.predictions", Columns: []string{"id"}}
	with := func(change func(x *pgindex.Index)) pgindex.Index {
		x := model
		change(&x)
		return x
	}
	for name, tt := range map[string]struct {
		arrange string
		index   pgindex.Index
		want    string
		refused bool
	}{
		"another column":     {"CREATE INDEX by_model ON predictions (id)", model, "exists with another definition", true},
		"another order":      {"CREATE INDEX by_model ON predictions (model_name DESC)", model, "exists with another definition: CREATE USING btree (model_name DESC); the configuration says CREATE USING btree (model_name)", true},
		"not unique":         {"CREATE INDEX by_model ON predictions (model_name)", with(func(x *pgindex.Index) { x.Unique = true }), "another definition", true},
		"another predicate":  {"CREATE INDEX by_model ON predictions (model_name) WHERE id > 5", with(func(x *pgindex.Index) { x.Where = "id > 6" }), "another definition", true},
		"another table":      {"CREATE TABLE other (model_name text); CREATE INDEX by_model ON other (model_name)", model, "exists, as an index of other", true},
		"a table":            {"CREATE TABLE by_model ()", model, "exists and is no index", true},
		"no table":           {"", with(func(x *pgindex.Index) { x.Table = "public.nothing" }), "there is no table public.nothing", false},
		"no such name":       {"", with(func(x *pgindex.Index) { x.Table = "a.b.c.d" }), "there is no table a.b.c.d", false},
		"no column":          {"", with(func(x *pgindex.Index) { x.Columns = []string{"nothing"} }), `column "nothing" does not exist`, false},
		"several statements": {"", with(func(x *pgindex.Index) { x.Where = "true; DROP TABLE predictions" }), "cannot insert multiple commands", false},
		"partitioned":        {"CREATE TABLE parts (id int) PARTITION BY RANGE (id)", with(func(x *pgindex.Index) { x.Table, x.Columns = "parts", []string{"id"} }), "is partitioned", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, predictions)
			for s := range strings.SplitSeq(tt.arrange, "; ") {
				pgtest.Exec(t, b.conn(), s)
			}
			before := strings.Join(indexes(t, b.url), "\n")
			// Nothing is built when anything is wrong.
			b.options.Indexes = []pgindex.Index{first, tt.index}
			b.bad(tt.want, tt.refused)
			if err := b.build().(jobs.Checker).Check(t.Context(), b.env()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("check: %v", err)
			}
			if after := strings.Join(indexes(t, b.url), "\n"); after != before {
				t.Errorf("indexes:\n%s\nbefore:\n%s", after, before)
			}
			pgtest.Exec(t, b.conn(), "SELECT count(*) FROM predictions")
		})
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions)
	c := b.conn()
	b.options.Indexes = []pgindex.Index{{Name: "by_model", Table: "predictions", Columns: []string{"model_name"}, Unique: true}}
	// A duplicate makes the build fail, and nothing stays.
	b.bad("could not create unique index", false)
	b.has("")
	// What somebody else left is not ours.
	if _, err := c.Exec(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY by_model ON predictions (model_name)"); err == nil {
		t.Fatal("the index was built")
	}
	b.has("!by_model")
	b.bad("is not valid, and was not left by this job", true)
	b.has("!by_model")
	pgtest.Exec(t, c, "UPDATE predictions SET model_name = model_name || id")
	b.options.ReplaceInvalid = true
	b.values(b.good(), map[string]float64{"built": 1, "dropped": 1})
	b.has("by_model")
	// What bears our mark is, valid or not, whole or not.
	b.options.ReplaceInvalid = false
	pgtest.Exec(t, c, "ALTER INDEX by_model RENAME TO by_model_upkeep")
	b.values(b.good(), map[string]float64{"built": 1, "dropped": 0})
	b.has("by_model")
	if !strings.Contains(b.out.String(), "is built (") {
		t.Errorf("output:\n%s", b.out)
	}
	pgtest.Exec(t, c, "CREATE INDEX by_model_upkeep ON predictions (id)")
	b.values(b.good(), map[string]float64{"built": 0, "dropped": 1})
	b.has("by_model")
}

func TestReindex(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t WITH (autovacuum_enabled = off) AS SELECT n AS id, 1 AS same, md5(n::text) AS note FROM generate_series(1, 60000) n",
		"CREATE INDEX bloated ON t (note)", "CREATE INDEX excluded ON t (note)", "CREATE INDEX tight ON t (same, id)", "DELETE FROM t WHERE id % 10 <> 0", "VACUUM ANALYZE t", "REINDEX INDEX tight")
	c := b.conn()
	for _, s := range []string{"CREATE UNIQUE INDEX CONCURRENTLY broken ON t (same)", "CREATE UNIQUE INDEX CONCURRENTLY tight_ccnew ON t (same)"} {
		if _, err := c.Exec(t.Context(), s); err == nil {
			t.Fatal("the index was built")
		}
	}
	pgtest.Exec(t, c, "UPDATE t SET same = id", "CREATE INDEX bloated_ccold1 ON t (note)", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'bloated_ccold1'::regclass")
	b.options.Reindex = pgindex.Reindex{Invalid: true, Bloated: 50, MinSize: 1 << 20, Max: 10, Exclude: []string{"*.excluded"}}
	b.has("bloated !bloated_ccold1 !broken excluded tight !tight_ccnew")
	b.hooks.DryRun = true
	b.good()
	for _, want := range []string{
		"would drop index public.bloated_ccold1, which an interrupted REINDEX CONCURRENTLY left", "would rebuild index public.broken, because it is not valid",
		"would rebuild index public.bloated, because about", "would rebuild index public.tight_ccnew",
	} {
		if !strings.Contains(b.out.String(), want) {
			t.Errorf("a dry run does not say %q:\n%s", want, b.out)
		}
	}
	b.hooks.DryRun = false
	r := b.good()
	b.values(r, map[string]float64{"rebuilt": 3, "dropped": 1, "skipped": 0})
	// One that is called like a leftover and has another definition stays.
	b.has("bloated broken excluded tight tight_ccnew")
	b.values(b.good(), map[string]float64{"rebuilt": 0, "dropped": 0})
	b.options.Reindex.Exclude, b.options.Reindex.Max = nil, 1
	pgtest.Exec(t, c, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass")
	r = b.good()
	b.values(r, map[string]float64{"rebuilt": 1, "skipped": 1})
	if len(r.Findings) != 1 || r.Findings[0].ID != "reindex:max" {
		t.Errorf("findings %v", r.Findings)
	}
	b.has("bloated broken excluded tight tight_ccnew")
	b.options.Reindex.MinSize, b.options.Reindex.Match = 1, []string{"other.*"}
	b.values(b.good(), map[string]float64{"rebuilt": 0})
}

func TestRoom(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions)
	b.options.Indexes = []pgindex.Index{{Name: "by_model", Table: "predictions", Columns: []string{"model_name"}}}
	b.options.MinFree = unit.Size(1) << 60
	b.bad("by_model may take", true)
	b.has("")
}
