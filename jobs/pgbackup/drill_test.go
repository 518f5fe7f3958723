package pgbackup_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
)

// drillAll drills an artifact with what d says, on the server of address.
func drillAll(ctx context.Context, b *bench, a *object.Artifact, d jobs.Drill, h jobs.Hooks) (jobs.Drilled, error) {
	b.t.Helper()
	driller, ok := pgbackup.Kind().Artifacts.(jobs.Driller)
	if !ok {
		b.t.Fatal("the kind does not drill")
	}
	env := jobs.NewEnv(jobs.Env{
		RunID: "drill-" + b.name, Workflow: "daily", Job: "backup", Attempt: 1, Node: "n", Version: "v1",
		WorkDir: b.t.TempDir(), KillGrace: 2 * time.Second, Out: b.out,
	}, h)
	if d.Level == "" {
		d.Level = object.L3
	}
	if d.Open == nil {
		d.Open = func(name string) (jobs.Database, error) {
			return pgtest.Configured(name, b.url), nil
		}
	}
	r, err := driller.Drill(ctx, env, a, d)
	if left := jobstest.Tree(b.t, env.WorkDir); len(left) != 1 {
		b.t.Errorf("left in the working directory: %v", left)
	}
	return r, err
}

// scratchOf lists the scratch databases that drills of an artifact left on the
// test server.
func scratchOf(t testing.TB, id string) []string {
	t.Helper()
	return pgtest.Look[string](t, pgtest.URL(t, ""), `SELECT datname::text FROM pg_database
		WHERE datname LIKE 'upkeep\_drill\_%' AND shobj_description(oid, 'pg_database') LIKE '%' || $1 || '%'`, id)
}

// noScratch fails when a drill of the artifact left its database.
func noScratch(t testing.TB, a *object.Artifact) {
	t.Helper()
	if left := scratchOf(t, a.Manifest.ID); len(left) > 0 {
		t.Errorf("scratch databases left: %q", left)
	}
}

// shop is a small schema with what a restore can get wrong.
var shop = []string{
	`CREATE EXTENSION pg_trgm`,
	`CREATE TABLE a (id int PRIMARY KEY, v text)`, `INSERT INTO a SELECT i, repeat('x', i % 90) FROM generate_series(1, 2000) i`,
	`CREATE INDEX ON a USING gin (v gin_trgm_ops)`,
	`CREATE TABLE "B c" (a_id int REFERENCES a)`, `INSERT INTO "B c" SELECT id FROM a LIMIT 70`, `CREATE TABLE "none" ()`,
	`SELECT lo_from_bytea(0, 'x'::bytea)`,
}

func TestDrill(t *testing.T) {
	t.Parallel()
	for label, number := range map[string]int{"custom": 1, "directory": 2} {
		for _, level := range []object.Level{object.L3, object.L4} {
			t.Run(label+" "+string(level), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, shop...)
				b.options.Jobs = number
				if _, err := b.run(t.Context()); err != nil {
					t.Fatal(err)
				}
				a, d := b.one()
				want := jobs.Drill{Level: level, Assert: []string{`SELECT count(*) = 70 FROM "B c"`, `SELECT v FROM a WHERE id = 7`}}
				r, err := drillAll(t.Context(), b, a, want, jobs.Hooks{DryRun: true})
				if err != nil || !r.Proof.Time.IsZero() || !strings.Contains(b.out.String(), "would make a ") {
					t.Fatalf("dry run: %+v, %v, %s", r, err, b.out)
				}
				var effects []string
				r, err = drillAll(t.Context(), b, a, want, jobs.Hooks{Effect: func(what string) { effects = append(effects, what) }})
				if err != nil {
					t.Fatal(err)
				}
				p := r.Proof
				if p.Level != level || p.Damage != "" || p.Restored == nil || p.ID != a.Manifest.ID || p.Node != "n" || p.Time.IsZero() {
					t.Fatalf("proof %+v", p)
				}
				got := *p.Restored
				if got.Rows != 2070 || got.Tables != 3 || got.Databases != 1 || got.Seconds <= 0 || got.Bytes < 1<<20 || got.Assertions != 2 ||
					!got.AsOf.Equal(d.Databases[0].Snapshot) || !strings.HasPrefix(got.Server, "PostgreSQL ") {
					t.Errorf("restored %+v", got)
				}
				if !slices.ContainsFunc(effects, func(what string) bool { return strings.HasPrefix(what, "drop the scratch database upkeep_drill_") }) {
					t.Errorf("effects %q", effects)
				}
				for _, f := range r.Findings {
					if f.Severity != jobs.Info {
						t.Errorf("finding %+v", f)
					}
				}
				noScratch(t, a)
			})
		}
	}
}
