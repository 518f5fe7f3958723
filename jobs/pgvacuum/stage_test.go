package pgvacuum_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgvacuum"
)

// serverVariable names the environment variable that holds the URL of a
// PostgreSQL superuser.
const serverVariable = "UPKEEP_TEST_POSTGRES_URL"

// serverURL returns the address of the test server's database of that name.
func serverURL(t testing.TB, name string) string {
	t.Helper()
	text := os.Getenv(serverVariable)
	if text == "" {
		t.Fatalf("%s is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh", serverVariable)
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatalf("%s is not a URL", serverVariable)
	}
	if name != "" {
		u.Path = "/" + name
	}
	return u.String()
}

// connect returns a connection that lasts as long as the test.
func connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), address)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = c.Close(ctx) // its server process may have been killed by the test
	})
	return c
}

func exec(t testing.TB, c *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := c.Exec(context.Background(), s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
}

// load does the statements and lets the server count each at once.
func load(t testing.TB, c *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		exec(t, c, s, "SELECT pg_stat_force_next_flush()")
	}
}

// ask returns the first column of the first row.
func ask[T any](t testing.TB, c *pgx.Conn, query string, args ...any) T {
	t.Helper()
	rows, err := c.Query(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
	return value
}

// newDatabase makes a database that is dropped when the test ends.
func newDatabase(t testing.TB, statements ...string) string {
	t.Helper()
	name := "vacuum_" + strings.ToLower(rand.Text()[:10])
	exec(t, connect(t, serverURL(t, "")), "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'")
	t.Cleanup(func() {
		exec(t, connect(t, serverURL(t, "")), "DROP DATABASE "+name+" WITH (FORCE)")
	})
	load(t, connect(t, serverURL(t, name)), statements...)
	return name
}

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
	name := newDatabase(t, statements...)
	b := &bench{t: t, name: name, out: &jobstest.Buffer{}, url: serverURL(t, name), runID: "run-" + rand.Text()}
	b.options = *jobstest.Options[pgvacuum.Options](t, pgvacuum.Kind().Options())
	b.options.Database = unit.Names{"main"}
	// The catalogs of the fresh database are nobody's concern here.
	b.options.ExcludeTables = []string{"pg_catalog.*", "information_schema.*"}
	return b
}

// conn connects to the database as a superuser.
func (b *bench) conn() *pgx.Conn {
	b.t.Helper()
	return connect(b.t, serverURL(b.t, b.name))
}

func (b *bench) run(ctx context.Context) (jobs.Result, error) {
	b.t.Helper()
	deps := jobstest.NewDeps(b.t)
	for name, address := range b.dbs {
		deps.AddDatabase(jobs.Database{Name: name, Kind: "postgres", URL: secret.New(address)})
	}
	deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(b.url)})
	if err := b.options.Validate(); err != nil {
		b.t.Fatal(err)
	}
	job, err := pgvacuum.Kind().Build(&b.options, deps)
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
