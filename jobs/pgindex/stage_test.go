package pgindex_test

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
	"github.com/ghosteam/upkeep/jobs/pgindex"
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
		_ = c.Close(ctx) // the test may have closed it
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

// indexes lists the indexes of a database with their definitions.
func indexes(t testing.TB, address string) []string {
	t.Helper()
	c := connect(t, address)
	rows, err := c.Query(context.Background(), `SELECT c.relname || ' ' || i.indisvalid || ' ' || c.relfilenode || ' ' || pg_get_indexdef(c.oid)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace) ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return out
}

// bench is a job with its surroundings.
type bench struct {
	t       testing.TB
	name    string
	url     string
	runID   string
	options pgindex.Options
	hooks   jobs.Hooks
	out     *jobstest.Buffer
}

func newBench(t testing.TB, statements ...string) *bench {
	t.Helper()
	name := "index_" + strings.ToLower(rand.Text()[:10])
	exec(t, connect(t, serverURL(t, "")), "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'")
	t.Cleanup(func() { exec(t, connect(t, serverURL(t, "")), "DROP DATABASE "+name+" WITH (FORCE)") })
	b := &bench{t: t, name: name, url: serverURL(t, name), runID: "run-" + rand.Text(), out: &jobstest.Buffer{}}
	exec(t, connect(t, b.url), statements...)
	b.options = *jobstest.Options[pgindex.Options](t, pgindex.Kind().Options())
	b.options.Database, b.options.MinFree = "main", 0
	b.options.Pause = unit.Duration(10 * time.Millisecond)
	return b
}

func (b *bench) conn() *pgx.Conn {
	b.t.Helper()
	return connect(b.t, serverURL(b.t, b.name))
}

func (b *bench) build() jobs.Job {
	b.t.Helper()
	deps := jobstest.NewDeps(b.t)
	deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(b.url)})
	options := pgindex.Kind().Options()
	*jobstest.Options[pgindex.Options](b.t, options) = b.options
	job, err := pgindex.Kind().Build(options, deps)
	if err != nil {
		b.t.Fatal(err)
	}
	return job
}

func (b *bench) env() *jobs.Env {
	return jobs.NewEnv(jobs.Env{RunID: b.runID, Workflow: "w", Job: "j", Attempt: 1, Out: b.out}, b.hooks)
}

func (b *bench) run(ctx context.Context) (jobs.Result, error) {
	b.t.Helper()
	r, err := b.build().Run(ctx, b.env())
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

// bad runs the job and wants an error that says so.
func (b *bench) bad(want string, refused bool) {
	b.t.Helper()
	_, err := b.run(b.t.Context())
	if err == nil || !strings.Contains(err.Error(), want) {
		b.t.Fatalf("error %v, want %q\n%s", err, want, b.out)
	}
	if _, is := errors.AsType[*jobs.RefusedError](err); is != refused {
		b.t.Errorf("refused by a rail = %v, want %v: %v", is, refused, err)
	}
}

// has checks that the indexes of the database are these: names with "!" in
// front of what is not valid.
func (b *bench) has(want string) {
	b.t.Helper()
	var names []string
	for _, line := range indexes(b.t, serverURL(b.t, b.name)) {
		name, rest, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(rest, "true") {
			name = "!" + name
		}
		names = append(names, name)
	}
	if got := strings.Join(names, " "); got != want {
		b.t.Errorf("indexes %q, want %q", got, want)
	}
}

// values checks some of the values.
func (b *bench) values(r jobs.Result, want map[string]float64) {
	b.t.Helper()
	for name, v := range want {
		if r.Values[name] != v {
			b.t.Errorf("value %s is %v, want %v (%s)", name, r.Values[name], v, r.Summary)
		}
	}
}
