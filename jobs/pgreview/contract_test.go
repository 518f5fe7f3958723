package pgreview_test

import (
	"context"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgreview"
)

// objects is what a database consists of, with the rows of its tables.
func objects(t *testing.T, address string) any {
	t.Helper()
	return pgtest.Look[string](t, address, `SELECT relname || ' ' || relkind::text || ' ' || relfilenode FROM pg_class WHERE relnamespace = 'public'::regnamespace
		UNION ALL SELECT v::text FROM t ORDER BY 1`)
}

func TestContract(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t (v int)", "INSERT INTO t VALUES (1)")
	fixture := jobstest.Fixture{
		Name: "review", Secrets: []string{pgtest.Password(t)},
		Arrange: func(t *testing.T, _ string, options any, deps *jobstest.Deps) {
			pgtest.AddDatabase(deps, pgtest.Main, b.url)
			jobstest.Options[pgreview.Options](t, options).Database = pgtest.Main
		},
		World: func(t *testing.T) any { return objects(t, b.url) },
		Judge: func(t *testing.T, _ string, r jobs.Result) {
			if r.Values["checks"] != 24 || r.Values["database_bytes"] <= 0 || r.Outputs["counters"] == "" {
				t.Errorf("values %v, outputs %v", r.Values, r.Outputs)
			}
		},
	}
	jobstest.Exercise(t, pgreview.Kind(), fixture, pgtest.WrongPassword(fixture))
}

// TestStops: a review that is stopped while the server keeps it waiting ends
// soon, and what cannot be answered in time is not called good.
func TestStops(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)").only("integer_keys", "wraparound")
	b.options.LockTimeout = 50e6
	c := b.connect()
	pgtest.Exec(t, c, "BEGIN", "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
	r := b.review()
	b.wants(r, "unseen:integer_keys", jobs.Warning, "it waited longer than 50ms for a lock")
	b.lacks(r, "unseen:wraparound")
	b.options.LockTimeout, b.options.Timeout = 3600e9, 60e6
	b.wants(b.review(), "unseen:integer_keys", jobs.Warning, "it took longer than 60ms")
	b.options.Timeout = 3600e9
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := b.try(ctx)
		ended <- err
	}()
	waiting := pgtest.Connect(t, pgtest.URL(t, ""))
	pgtest.Blocked(t, waiting, b.name, "upkeep pgreview")
	cancel(context.DeadlineExceeded)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("%v", err)
	}
	// The server ends what nobody waits for.
	pgtest.Exec(t, waiting, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+b.name+"' AND application_name = 'upkeep pgreview'")
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *pgreview.Options)
		want   string
	}{
		"database": {func(o *pgreview.Options) { o.Database = "other" }, `database: no database "other"`},
		"checks":   {func(o *pgreview.Options) { o.Checks = []string{"bloot"} }, `checks[0]: there is no check "bloot"`},
		"skip":     {func(o *pgreview.Options) { o.Skip = []string{"x"} }, `skip[0]: there is no check "x"`},
		"severity": {func(o *pgreview.Options) { o.Severity = map[string]jobs.Severity{"bloat": "bad"} }, `severity.bloat: "bad" is not a severity`},
		"of what":  {func(o *pgreview.Options) { o.Severity = map[string]jobs.Severity{"x": "info"} }, `severity.x: there is no check "x"`},
		"ignore":   {func(o *pgreview.Options) { o.Ignore = []string{"a", " * "} }, `ignore[1]: the pattern " * " would leave out everything`},
		"findings": {func(o *pgreview.Options) { o.MaxFindings = 0 }, "max_findings: 0 is out of range"},
		"timeout":  {func(o *pgreview.Options) { o.Timeout = 1 }, "statement_timeout: "},
		"top":      {func(o *pgreview.Options) { o.Statements.Top = 101 }, "statements.top: 101 is out of range"},
		"slower":   {func(o *pgreview.Options) { o.Statements.Slower = 0.5 }, "statements.slower: 0.5 would report every statement"},
		"limits":   {func(o *pgreview.Options) { o.Keys.Warn = 95 }, "keys.warn: 95% is above crit, 90%"},
		"pools":    {func(o *pgreview.Options) { o.Pools = []pgreview.Pool{{Name: "a", Size: 1}, {Name: "a"}} }, `pools[1].name: two pools are called "a"`},
		"size":     {func(o *pgreview.Options) { o.Pools = []pgreview.Pool{{Name: "a"}} }, "pools[0].size: 0 is not a number of connections"},
		"reserve":  {func(o *pgreview.Options) { o.Reserve = -1 }, "reserve: -1 is negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := pgreview.Kind().Options()
			o := jobstest.Options[pgreview.Options](t, options)
			o.Database = pgtest.Main
			tt.change(o)
			if _, err := pgreview.Kind().Build(options, pgtest.Deps(t, "", nil)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSeverity(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE t AS "+rows, "CREATE INDEX t_note ON t (note)").only("unused_indexes")
	b.options.Severity = map[string]jobs.Severity{"unused_indexes": jobs.Critical}
	b.wants(b.review(), "unused_indexes:public.t_note", jobs.Critical)
	b.options.Ignore = []string{"*:public.t_*"}
	r := b.review()
	b.lacks(r, "unused")
	if r.Values["ignored"] != 1 || r.Outputs["sql.unused_indexes"] != "" {
		t.Errorf("values %v, outputs %v", r.Values, r.Outputs)
	}
}
