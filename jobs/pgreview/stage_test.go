package pgreview_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgreview"
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
	return withDatabase(t, text, name)
}

func withDatabase(t testing.TB, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("the address of the server is not a URL")
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

// bench is a job with its surroundings.
type bench struct {
	t       testing.TB
	name    string
	url     string
	options pgreview.Options
	past    []jobs.Past
	output  string
}

// newBench makes a database on the test server that is dropped when the test
// ends.
func newBench(t testing.TB, statements ...string) *bench {
	t.Helper()
	return benchAt(t, serverURL(t, ""), statements...)
}

// flush makes the counters of a session visible.
const flush = "SELECT pg_stat_force_next_flush()"

// benchAt makes a database on a server.
func benchAt(t testing.TB, server string, statements ...string) *bench {
	t.Helper()
	name := "review_" + strings.ToLower(rand.Text()[:10])
	admin := connect(t, server)
	exec(t, admin, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'")
	t.Cleanup(func() { exec(t, connect(t, server), "DROP DATABASE "+name+" WITH (FORCE)") })
	b := &bench{t: t, name: name, url: withDatabase(t, server, name)}
	c := b.connect()
	exec(t, c, statements...)
	exec(t, c, flush)
	b.options = *jobstest.Options[pgreview.Options](t, pgreview.Kind().Options())
	b.options.Database = "main"
	b.options.Indexes.MinSize, b.options.Indexes.MinAge = 0, 0
	return b
}

func (b *bench) connect() *pgx.Conn {
	b.t.Helper()
	return connect(b.t, b.url)
}

// only makes the review ask these checks alone.
func (b *bench) only(checks ...string) *bench {
	b.options.Checks = checks
	return b
}

func (b *bench) try(ctx context.Context) (jobs.Result, error) {
	b.t.Helper()
	deps := jobstest.NewDeps(b.t)
	deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(b.url)})
	for _, p := range b.past {
		deps.AddPast("", "", p)
	}
	options := pgreview.Kind().Options()
	*jobstest.Options[pgreview.Options](b.t, options) = b.options
	job, err := pgreview.Kind().Build(options, deps)
	if err != nil {
		b.t.Fatalf("build: %v", err)
	}
	out := &jobstest.Buffer{}
	env := jobs.NewEnv(jobs.Env{RunID: "run-" + rand.Text(), Workflow: "w", Job: "j", Attempt: 1, Out: out}, jobs.Hooks{})
	r, err := job.Run(ctx, env)
	b.output = out.String()
	return r, err
}

// review runs the job, which must succeed, and remembers it as a past run.
func (b *bench) review() jobs.Result {
	b.t.Helper()
	r, err := b.try(b.t.Context())
	if err != nil {
		b.t.Fatalf("review: %v\n%s", err, b.output)
	}
	jobstest.CheckResult(b.t, r)
	b.past = slices.Insert(b.past, 0, jobs.Past{RunID: rand.Text(), Finished: time.Now(), Result: r})
	return r
}

// finding returns the finding with an id or, when there is none, one whose id
// begins so.
func finding(r jobs.Result, id string) (jobs.Finding, bool) {
	if i := slices.IndexFunc(r.Findings, func(f jobs.Finding) bool { return f.ID == id }); i >= 0 {
		return r.Findings[i], true
	}
	for _, f := range r.Findings {
		if strings.HasPrefix(f.ID, id) {
			return f, true
		}
	}
	return jobs.Finding{}, false
}

// wants checks that there is a finding with that id, severity and text.
func (b *bench) wants(r jobs.Result, id string, s jobs.Severity, texts ...string) {
	b.t.Helper()
	f, ok := finding(r, id)
	if !ok || f.Severity != s {
		b.t.Errorf("there is no %s finding %s; findings:\n%s", s, id, list(r))
		return
	}
	for _, text := range texts {
		if !strings.Contains(f.Text, text) {
			b.t.Errorf("finding %s does not say %q: %s", id, text, f.Text)
		}
	}
}

// lacks checks that no finding has an id that begins so.
func (b *bench) lacks(r jobs.Result, ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		if f, ok := finding(r, id); ok {
			b.t.Errorf("there is a finding %s: %s", f.ID, f.Text)
		}
	}
}

func list(r jobs.Result) string {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString("  " + f.ID + " " + string(f.Severity) + ": " + f.Text + "\n")
	}
	return b.String()
}
