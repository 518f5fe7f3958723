package pgreview_test

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgreview"
)

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
	return benchAt(t, pgtest.URL(t, ""), statements...)
}

// benchAt makes a database on a server.
func benchAt(t testing.TB, server string, statements ...string) *bench {
	t.Helper()
	name := pgtest.Unique("review")
	b := &bench{t: t, name: name, url: pgtest.DatabaseAt(t, server, name, statements...)}
	b.options = *jobstest.Options[pgreview.Options](t, pgreview.Kind().Options())
	b.options.Database = pgtest.Main
	b.options.Indexes.MinSize, b.options.Indexes.MinAge = 0, 0
	return b
}

func (b *bench) connect() *pgx.Conn {
	b.t.Helper()
	return pgtest.Connect(b.t, b.url)
}

// only makes the review ask these checks alone.
func (b *bench) only(checks ...string) *bench {
	b.options.Checks = checks
	return b
}

func (b *bench) try(ctx context.Context) (jobs.Result, error) {
	b.t.Helper()
	deps := pgtest.Deps(b.t, b.url, nil)
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
