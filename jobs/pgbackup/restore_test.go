package pgbackup_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// restoreTo restores the only artifact of b into a database of that name.
func restoreTo(ctx context.Context, b *bench, a *object.Artifact, name string, h jobs.Hooks, only ...string) (jobs.Restored, error) {
	b.t.Helper()
	env := jobs.NewEnv(jobs.Env{
		RunID: "restore", Workflow: "daily", Job: "backup", Attempt: 1, Node: "n", Version: "v1",
		WorkDir: b.t.TempDir(), KillGrace: 2 * time.Second, Out: &jobstest.Buffer{},
	}, h)
	restorer, ok := pgbackup.Kind().Artifacts.(jobs.Restorer)
	if !ok {
		b.t.Fatal("the kind does not restore")
	}
	r, err := restorer.Restore(ctx, env, a, jobs.Target{To: "scratch", Only: only, Database: func(configured string) (jobs.Database, error) {
		return pgtest.Configured(configured, pgtest.URL(b.t, name)), nil
	}})
	if left := jobstest.Tree(b.t, env.WorkDir); len(left) != 1 {
		b.t.Errorf("left in the working directory: %v", left)
	}
	return r, err
}

// relations counts what is in a database.
func relations(t testing.TB, name string) (n int) {
	t.Helper()
	c := pgtest.Connect(t, pgtest.URL(t, name))
	if err := c.QueryRow(context.Background(), `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRestore(t *testing.T) {
	t.Parallel()
	for label, number := range map[string]int{"custom": 1, "directory": 2} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := newBench(
				t, `CREATE TABLE a (id int PRIMARY KEY, v text)`, `INSERT INTO a SELECT i, repeat('x', i % 90) FROM generate_series(1, 20000) i`,
				`CREATE TABLE "B c" (a_id int REFERENCES a)`, `INSERT INTO "B c" SELECT id FROM a`, `CREATE TABLE "none" ()`,
				`CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`, `SELECT lo_from_bytea(0, 'x'::bytea)`,
			)
			b.options.Jobs = number
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			a, _ := b.one()
			target := pgtest.Database(t)
			r, err := restoreTo(t.Context(), b, a, target, jobs.Hooks{DryRun: true})
			if err != nil || relations(t, target) != 0 {
				t.Fatalf("dry run: %+v, %v, %d relations", r, err, relations(t, target))
			}
			r, err = restoreTo(t.Context(), b, a, target, jobs.Hooks{})
			if err != nil || !strings.Contains(r.Summary, "40,000 rows in 3 tables") {
				t.Fatalf("%+v, %v", r, err)
			}
			c := pgtest.Connect(t, pgtest.URL(t, target))
			var sum, objects, analyzed int64
			if err := c.QueryRow(t.Context(), `SELECT (SELECT sum(length(v)) FROM a) + (SELECT sum(a_id) FROM "B c") * f(),
				(SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_stats WHERE schemaname = 'public')`).Scan(&sum, &objects, &analyzed); err != nil {
				t.Fatal(err)
			}
			var want int64
			if err := pgtest.Connect(t, pgtest.URL(t, b.name)).QueryRow(t.Context(), `SELECT (SELECT sum(length(v)) FROM a) + (SELECT sum(a_id) FROM "B c")`).Scan(&want); err != nil {
				t.Fatal(err)
			}
			if sum != want || objects != 1 || analyzed == 0 {
				t.Errorf("sum %d instead of %d, %d large objects, %d statistics", sum, want, objects, analyzed)
			}
			if _, err := restoreTo(t.Context(), b, a, target, jobs.Hooks{}); !refused(err) || !strings.Contains(err.Error(), "not empty") {
				t.Errorf("restored twice: %v", err)
			}
		})
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	role := "restore_" + strings.ToLower(rand.Text()[:10])
	admin := pgtest.Connect(t, pgtest.URL(t, ""))
	pgtest.Exec(t, admin, "CREATE ROLE "+role)
	b := newBench(t, `CREATE TABLE a (id int)`, `ALTER TABLE a OWNER TO `+role)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	for label, tt := range map[string]struct{ statement, want string }{
		"table":        {`CREATE TABLE precious (id int)`, "relation public.precious"},
		"sequence":     {`CREATE SEQUENCE s`, "relation public.s"},
		"function":     {`CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`, "function public.f"},
		"type":         {`CREATE TYPE mood AS ENUM ('good')`, "type public.mood"},
		"schema":       {`CREATE SCHEMA "My app"`, `schema "My app"`},
		"large object": {`SELECT lo_from_bytea(0, 'x'::bytea)`, "large object"},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			target := pgtest.Database(t, tt.statement)
			before := relations(t, target)
			for _, dry := range []bool{true, false} {
				if _, err := restoreTo(t.Context(), b, a, target, jobs.Hooks{DryRun: dry}); !refused(err) || !strings.Contains(err.Error(), tt.want) || jobs.HintOf(err) == "" {
					t.Errorf("dry run %v: %v", dry, err)
				}
			}
			if after := relations(t, target); after != before {
				t.Errorf("%d relations instead of %d", after, before)
			}
		})
	}
	t.Run("another database of the backup", func(t *testing.T) {
		t.Parallel()
		if _, err := restoreTo(t.Context(), b, a, pgtest.Database(t), jobs.Hooks{}, "nope"); err == nil || !strings.Contains(jobs.HintOf(err), b.name) {
			t.Errorf("%v, hint %q", err, jobs.HintOf(err))
		}
	})
	t.Run("a missing role", func(t *testing.T) {
		pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, b.name)), "DROP TABLE a")
		pgtest.Exec(t, admin, "DROP ROLE "+role)
		if _, err := restoreTo(t.Context(), b, a, pgtest.Database(t), jobs.Hooks{}); !refused(err) || !strings.Contains(err.Error(), "it lacks roles: "+role) {
			t.Errorf("%v", err)
		}
	})
}

// However a dump is damaged, nothing of it is committed. UPKEEP_SOAK=1 tries
// every compression with every format.
func TestRestoreDamaged(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"none", "zstd"} {
		for _, number := range []int{1, 2} {
			if os.Getenv("UPKEEP_SOAK") == "" && (number == 1) != (compression == "zstd") {
				continue
			}
			t.Run(fmt.Sprintf("%s %d", compression, number), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, `CREATE TABLE a (id int, v text)`, `INSERT INTO a SELECT i, repeat('x', i % 90) FROM generate_series(1, 3000) i`)
				memory := objecttest.NewMemory("s")
				b.store, b.options.Compression, b.options.Jobs = memory, compression, number
				if _, err := b.run(t.Context()); err != nil {
					t.Fatal(err)
				}
				a, d := b.one()
				stream, _ := a.Manifest.Stream(d.Databases[0].Stream)
				target := pgtest.Database(t)
				key := a.Dir() + "/" + stream.Parts[0].Name
				var whole []byte
				memory.Change(key, func(body []byte) []byte { whole = slices.Clone(body); return body })
				last := len(whole) - 1
				for _, at := range []int{0, 1, len(whole) / 7, len(whole) / 2, last - 5000, last - 100, last - 6, last} {
					at = max(at, 0)
					flipped := slices.Clone(whole)
					flipped[at] ^= 0x04
					for how, bad := range map[string][]byte{"flipped": flipped, "cut": whole[:at], "longer": append(slices.Clone(whole), 0)} {
						memory.Change(key, func([]byte) []byte { return bad })
						if _, err := restoreTo(t.Context(), b, a, target, jobs.Hooks{}); !errors.Is(err, object.ErrDamaged) {
							t.Errorf("%s at %d of %d: %v, want ErrDamaged", how, at, len(whole), err)
						}
						if n := relations(t, target); n != 0 {
							t.Fatalf("%s at %d of %d: %d relations were committed", how, at, len(whole), n)
						}
					}
				}
				memory.Change(key, func([]byte) []byte { return whole })
				if _, err := restoreTo(t.Context(), b, a, target, jobs.Hooks{}); err != nil {
					t.Errorf("undamaged: %v", err)
				}
			})
		}
	}
}

// A restore that is canceled while it loads leaves nothing.
func TestRestoreCanceled(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE a (id int, v text)`, `INSERT INTO a SELECT i, repeat('x', i % 90) FROM generate_series(1, 30000) i`)
	b.options.Compression = "none"
	memory := objecttest.NewMemory("s")
	b.store = memory
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, d := b.one()
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	fired := false
	faulty := objecttest.NewFaulty(t, memory, objecttest.Fault{Method: objecttest.Get, Key: d.Databases[0].Stream, Body: func(body []byte) []byte {
		fired = true
		cancel(stop)
		return body
	}})
	a, err := object.Load(t.Context(), faulty, a.Info.Key)
	if err != nil {
		t.Fatal(err)
	}
	target := pgtest.Database(t)
	if _, err := restoreTo(ctx, b, a, target, jobs.Hooks{}); !errors.Is(err, stop) || !fired {
		t.Errorf("%v, fired %v", err, fired)
	}
	if n := relations(t, target); n != 0 {
		t.Errorf("%d relations were committed", n)
	}
}
