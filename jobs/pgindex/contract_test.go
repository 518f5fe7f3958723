package pgindex_test

import (
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgindex"
)

func TestContract(t *testing.T) {
	t.Parallel()
	worlds := pgtest.NewWorlds("index_contract", predictions, "CREATE INDEX broken ON predictions (score)", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass")
	build := jobstest.Fixture{
		Name: "build and rebuild", Effects: true, Secrets: []string{pgtest.Password(t)},
		Arrange: func(t *testing.T, root string, options any, deps *jobstest.Deps) {
			worlds.Arrange(t, root, deps)
			o := jobstest.Options[pgindex.Options](t, options)
			o.Database, o.MinFree, o.Reindex.Invalid, o.Pause = pgtest.Main, 0, true, unit.Duration(1e6)
			o.Indexes = []pgindex.Index{
				{Name: "by_model", Table: "predictions", Columns: []string{"model_name", "created_at"}},
				{Name: "by_id", Table: "predictions", Columns: []string{"id"}, Unique: true},
			}
		},
		World:   func(t *testing.T) any { return indexes(t, worlds.Of(t)) },
		Settled: func(t *testing.T, root string) { has(t, worlds.At(t, root), "broken by_id by_model") },
	}
	full := build
	full.Name, full.Fails, full.Refuses, full.Effects, full.Settled = "no room", "refused by min_free", true, false, nil
	full.Arrange = func(t *testing.T, root string, options any, deps *jobstest.Deps) {
		build.Arrange(t, root, options, deps)
		jobstest.Options[pgindex.Options](t, options).MinFree = 1 << 60
	}
	jobstest.Exercise(t, pgindex.Kind(), build, full, pgtest.WrongPassword(build))
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *pgindex.Options)
		want   string
	}{
		"nothing":  {func(o *pgindex.Options) { o.Indexes = nil }, "there is nothing to do"},
		"database": {func(o *pgindex.Options) { o.Database = "other" }, `database: no database "other"`},
		"name":     {func(o *pgindex.Options) { o.Indexes[0].Name = "" }, "indexes[0].name: it is required"},
		"long":     {func(o *pgindex.Options) { o.Indexes[0].Name = strings.Repeat("x", 64) }, "it has 64 bytes, and the server keeps 63"},
		"mark":     {func(o *pgindex.Options) { o.Indexes[0].Name = "a_upkeep" }, "names that end in _upkeep"},
		"zero":     {func(o *pgindex.Options) { o.Indexes[0].Name = "a\x00b" }, "zero byte"},
		"table":    {func(o *pgindex.Options) { o.Indexes[0].Table = "" }, "indexes[0].table: it is required"},
		"columns":  {func(o *pgindex.Options) { o.Indexes[0].Columns = nil }, "there is no column"},
		"empty":    {func(o *pgindex.Options) { o.Indexes[0].Columns = []string{"a", " "} }, "column 2 is empty"},
		"method":   {func(o *pgindex.Options) { o.Indexes[0].Method = "btree (x); --" }, "is not an access method"},
		"with":     {func(o *pgindex.Options) { o.Indexes[0].With = map[string]string{"a)": "1"} }, `"a)" is not a storage parameter`},
		"twice":    {func(o *pgindex.Options) { o.Indexes = append(o.Indexes, o.Indexes[0]) }, `two indexes of predictions are called "by_model"`},
		"lock":     {func(o *pgindex.Options) { o.LockTimeout = 0 }, "lock_timeout: 0s is too short"},
		"wait":     {func(o *pgindex.Options) { o.WaitTimeout = 5 }, "wait_timeout: "},
		"attempts": {func(o *pgindex.Options) { o.Attempts = 0 }, "attempts: 0 is out of range"},
		"memory":   {func(o *pgindex.Options) { o.Memory = 5 }, "maintenance_work_mem: "},
		"max":      {func(o *pgindex.Options) { o.Reindex.Max = 0 }, "reindex.max: 0 is out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := pgindex.Kind().Options()
			o := jobstest.Options[pgindex.Options](t, options)
			o.Database, o.Indexes = pgtest.Main, wide()
			tt.change(o)
			if _, err := pgindex.Kind().Build(options, pgtest.Deps(t, "", nil)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestOwner: only who owns a table may index it.
func TestOwner(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions, "CREATE INDEX broken ON predictions (score)", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass")
	c := b.conn()
	var role string
	role, b.url = pgtest.Role(t, b.url)
	pgtest.Exec(t, c, "GRANT SELECT ON predictions TO "+role)
	b.options.Indexes = wide()
	b.bad(role+" does not own public.predictions", false)
	b.options.Indexes, b.options.Reindex.Invalid = nil, true
	r := b.good()
	b.values(r, map[string]float64{"skipped": 1, "rebuilt": 0})
	if len(r.Findings) != 1 || r.Findings[0].ID != "reindex:public.broken" || r.Findings[0].Severity != jobs.Warning {
		t.Errorf("findings %v", r.Findings)
	}
	b.has("!broken")
	pgtest.Exec(t, c, "GRANT CREATE ON SCHEMA public TO "+role, "ALTER TABLE predictions OWNER TO "+role)
	b.options.Indexes = wide()
	b.values(b.good(), map[string]float64{"built": 1, "rebuilt": 1})
	b.has("broken by_model")
}

// TestPooler: a pooler that lends connections for one transaction is refused.
func TestPooler(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions)
	b.options.Indexes = wide()
	b.url = pgtest.NewPooler(t, b.url, pgtest.ByTransaction)
	b.bad("is a connection pooler", true)
	b.has("")
}
