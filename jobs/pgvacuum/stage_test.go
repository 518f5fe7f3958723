package pgvacuum_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgvacuum"
)

// bloated are statements that make a table with so many rows, a tenth of them
// dead, that autovacuum leaves alone.
func bloated(name, rows string) []string {
	return []string{
		"CREATE TABLE " + name + " (id int PRIMARY KEY, note text) WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false)",
		"INSERT INTO " + name + " SELECT i, repeat('x', 50) FROM generate_series(1, " + rows + ") i",
		"VACUUM ANALYZE " + name,
		"DELETE FROM " + name + " WHERE id % 2 = 0",
	}
}

// bench is a job with its surroundings.
type bench struct {
	t       testing.TB
	name    string
	options pgvacuum.Options
	hooks   jobs.Hooks
	out     *jobstest.Buffer
	url     string
	runID   string
	zone    *time.Location
	dbs     map[string]string
}

func newBench(t testing.TB, statements ...string) *bench {
	t.Helper()
	name := pgtest.Database(t, statements...)
	b := &bench{t: t, name: name, out: &jobstest.Buffer{}, url: pgtest.URL(t, name), runID: "run-" + rand.Text()}
	b.options = *jobstest.Options[pgvacuum.Options](t, pgvacuum.Kind().Options())
	b.options.Database = unit.Names{pgtest.Main}
	// The catalogs of the fresh database are nobody's concern here.
	b.options.ExcludeTables = []string{"pg_catalog.*", "information_schema.*"}
	return b
}

// conn connects to the database as a superuser.
func (b *bench) conn() *pgx.Conn {
	b.t.Helper()
	return pgtest.Connect(b.t, pgtest.URL(b.t, b.name))
}

func (b *bench) run(ctx context.Context) (jobs.Result, error) {
	b.t.Helper()
	if err := b.options.Validate(); err != nil {
		b.t.Fatal(err)
	}
	job, err := pgvacuum.Kind().Build(&b.options, pgtest.Deps(b.t, b.url, b.dbs))
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := job.Run(ctx, jobs.NewEnv(jobs.Env{
		RunID: b.runID, Workflow: "weekly", Job: "vacuum", Attempt: 1, Node: "n", Version: "v1",
		WorkDir: b.t.TempDir(), KillGrace: 2 * time.Second, Out: b.out, Zone: b.zone,
	}, b.hooks))
	if err == nil {
		jobstest.CheckResult(b.t, r)
	}
	return r, err
}

// good runs the job and wants no error.
func (b *bench) good() jobs.Result {
	b.t.Helper()
	r, err := b.run(b.t.Context())
	if err != nil {
		b.t.Fatalf("%v\n%s", err, b.out)
	}
	return r
}

// finding returns the finding whose ID begins so.
func finding(r jobs.Result, id string) jobs.Finding {
	for _, f := range r.Findings {
		if strings.HasPrefix(f.ID, id) {
			return f
		}
	}
	return jobs.Finding{}
}

// refused tells whether a safety rail stopped the job.
func refused(err error) bool {
	_, ok := errors.AsType[*jobs.RefusedError](err)
	return ok
}
