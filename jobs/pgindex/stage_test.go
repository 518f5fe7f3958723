package pgindex_test

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
	"github.com/ghosteam/upkeep/jobs/pgindex"
)

// indexes lists the indexes of a database with their definitions.
func indexes(t testing.TB, address string) []string {
	t.Helper()
	return pgtest.Look[string](t, address, `SELECT c.relname || ' ' || i.indisvalid || ' ' || c.relfilenode || ' ' || pg_get_indexdef(c.oid)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace) ORDER BY 1`)
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
	name := pgtest.Database(t, statements...)
	b := &bench{t: t, name: name, url: pgtest.URL(t, name), runID: "run-" + rand.Text(), out: &jobstest.Buffer{}}
	b.options = *jobstest.Options[pgindex.Options](t, pgindex.Kind().Options())
	b.options.Database, b.options.MinFree = pgtest.Main, 0
	b.options.Pause = unit.Duration(10 * time.Millisecond)
	return b
}

func (b *bench) conn() *pgx.Conn {
	b.t.Helper()
	return pgtest.Connect(b.t, pgtest.URL(b.t, b.name))
}

func (b *bench) build() jobs.Job {
	b.t.Helper()
	options := pgindex.Kind().Options()
	*jobstest.Options[pgindex.Options](b.t, options) = b.options
	job, err := pgindex.Kind().Build(options, pgtest.Deps(b.t, b.url, nil))
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

// begin starts the job and returns its error when it has ended.
func (b *bench) begin(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := b.run(ctx)
		done <- err
	}()
	return done
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

// has checks that the indexes of the database are these.
func (b *bench) has(want string) {
	b.t.Helper()
	has(b.t, pgtest.URL(b.t, b.name), want)
}

// has checks that the indexes of a database are these: names with "!" in front
// of what is not valid.
func has(t testing.TB, address, want string) {
	t.Helper()
	var names []string
	for _, line := range indexes(t, address) {
		name, rest, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(rest, "true") {
			name = "!" + name
		}
		names = append(names, name)
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("indexes %q, want %q", got, want)
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
