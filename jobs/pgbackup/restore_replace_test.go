package pgbackup_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
)

// restoring is one restore with demands.
type restoring struct {
	target   jobs.Target
	hooks    jobs.Hooks
	url      string
	database string
	out      *jobstest.Buffer
	undo     bool
}

// restoreWith restores into the database of that name, or undoes it.
func restoreWith(ctx context.Context, t testing.TB, a *object.Artifact, r restoring) (jobs.Restored, error) {
	t.Helper()
	if r.url == "" {
		r.url = pgtest.URL(t, r.database)
	}
	if r.out == nil {
		r.out = &jobstest.Buffer{}
	}
	env := jobs.NewEnv(jobs.Env{
		RunID: "restore", Workflow: "daily", Job: "backup", Attempt: 1, Node: "n", Version: "v1",
		WorkDir: t.TempDir(), KillGrace: 2 * time.Second, Out: r.out,
	}, r.hooks)
	r.target.To = "shop"
	r.target.Database = func(configured string) (jobs.Database, error) {
		return pgtest.Configured(configured, r.url), nil
	}
	kind := pgbackup.Kind().Artifacts
	var out jobs.Restored
	var err error
	if r.undo {
		out, err = kind.(jobs.Undoer).Undo(ctx, env, r.target)
	} else {
		out, err = kind.(jobs.Restorer).Restore(ctx, env, a, r.target)
	}
	if left := jobstest.Tree(t, env.WorkDir); len(left) != 1 {
		t.Errorf("left in the working directory: %v", left)
	}
	return out, err
}

// named lists the databases of which the names begin so.
func named(t testing.TB, prefix string) []string {
	t.Helper()
	return pgtest.Look[string](t, pgtest.URL(t, ""), "SELECT datname::text FROM pg_database WHERE left(datname::text, length($1)) = $1 ORDER BY 1", prefix)
}

// dropsAll drops, when the test ends, every database of which the name begins
// so.
func dropsAll(t testing.TB, prefix string) {
	t.Cleanup(func() {
		c := pgtest.Connect(t, pgtest.URL(t, ""))
		for _, name := range named(t, prefix) {
			pgtest.Exec(t, c, "ALTER DATABASE "+pgx.Identifier{name}.Sanitize()+" IS_TEMPLATE false", "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		}
	})
}

// freeName is the name of a database that does not exist, and of which nothing
// is left when the test ends.
func freeName(t testing.TB) string {
	name := "target_" + strings.ToLower(rand.Text()[:10])
	dropsAll(t, name)
	return name
}

// oldDatabase makes a target that holds something else.
func oldDatabase(t testing.TB, statements ...string) string {
	name := freeName(t)
	pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "CREATE DATABASE "+name+" TEMPLATE template0")
	c := pgtest.Connect(t, pgtest.URL(t, name))
	pgtest.Exec(t, c, append([]string{`CREATE TABLE precious (id int)`, `INSERT INTO precious VALUES (7)`}, statements...)...)
	if err := c.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	pgtest.Deserted(t, name)
	return name
}

// one returns what a query says in a database.
func one(t testing.TB, name, query string) string {
	t.Helper()
	return pgtest.Look[string](t, pgtest.URL(t, name), "SELECT coalesce(("+query+")::text, 'NULL')")[0]
}

// describe is what a database is, beside what it holds.
const describe = `SELECT jsonb_build_object('owner', pg_get_userbyid(datdba), 'encoding', encoding, 'collate', datcollate, 'ctype', datctype, 'limit', datconnlimit,
	'template', datistemplate, 'allow', datallowconn, 'comment', shobj_description(oid, 'pg_database'),
	'acl', (SELECT jsonb_agg(a::text ORDER BY a::text) FROM unnest(datacl) a),
	'settings', (SELECT jsonb_agg(jsonb_build_array(pg_get_userbyid(setrole), s) ORDER BY s) FROM pg_db_role_setting, unnest(setconfig) s WHERE setdatabase = d.oid))
	FROM pg_database d WHERE datname = current_database()`

func sold(t testing.TB) (*bench, *object.Artifact) {
	t.Helper()
	b := newBench(t, `CREATE TABLE a (id int PRIMARY KEY, v text)`, `INSERT INTO a SELECT i, repeat('x', i % 90) FROM generate_series(1, 2000) i`,
		`CREATE TABLE b (a_id int REFERENCES a)`, `INSERT INTO b SELECT id FROM a`)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	return b, a
}

func TestReplace(t *testing.T) {
	t.Parallel()
	_, a := sold(t)
	for label, demand := range map[string]jobs.Target{"one transaction": {}, "parallel": {Jobs: 3}} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			role := "owner_" + strings.ToLower(rand.Text()[:10])
			admin := pgtest.Connect(t, pgtest.URL(t, ""))
			pgtest.Exec(t, admin, "CREATE ROLE "+role)
			t.Cleanup(func() { pgtest.Exec(t, admin, "DROP ROLE "+role) })
			target := oldDatabase(t)
			dropsAll(t, target) // before the role
			pgtest.Exec(t, admin, `ALTER DATABASE `+target+` OWNER TO `+role, `COMMENT ON DATABASE `+target+` IS 'it''s \ theirs'`,
				`ALTER DATABASE `+target+` SET search_path TO "$user", public, "odd, ""schema"`, `ALTER DATABASE `+target+` SET app.secret TO 'hunter2\'`,
				`ALTER DATABASE `+target+` SET work_mem TO '5MB'`, `ALTER ROLE `+role+` IN DATABASE `+target+` SET statement_timeout TO '7s'`,
				`REVOKE TEMPORARY ON DATABASE `+target+` FROM PUBLIC`, `GRANT CREATE ON DATABASE `+target+` TO pg_monitor WITH GRANT OPTION`,
				`ALTER DATABASE `+target+` CONNECTION LIMIT 17`, `ALTER DATABASE `+target+` IS_TEMPLATE true`)
			before := one(t, target, describe)
			if !strings.Contains(before, "hunter2") || !strings.Contains(before, `"limit": 17`) {
				t.Fatal(before)
			}
			demand.Replace = true

			out := &jobstest.Buffer{}
			r, err := restoreWith(t.Context(), t, a, restoring{database: target, target: demand, hooks: jobs.Hooks{DryRun: true}, out: out})
			if err != nil || one(t, target, "SELECT id FROM precious") != "7" || len(named(t, target)) != 1 {
				t.Fatalf("dry run: %+v, %v, %v", r, err, named(t, target))
			}
			for _, want := range []string{
				"would run CREATE DATABASE", "would restore 4,000 rows in 2 tables", "OWNER TO", "app", "would run BEGIN; ALTER DATABASE \"" + target + "\" RENAME TO", "; COMMIT",
			} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the dry run does not say %q:\n%s", want, out)
				}
			}
			if strings.Contains(out.String(), "hunter2") {
				t.Errorf("a setting is shown:\n%s", out)
			}

			r, err = restoreWith(t.Context(), t, a, restoring{database: target, target: demand})
			if err != nil || len(r.Findings) > 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			if diff := cmp.Diff(before, one(t, target, describe)); diff != "" {
				t.Errorf("the database is another one (-before +after):\n%s", diff)
			}
			if n := one(t, target, "SELECT count(*) FROM a JOIN b ON b.a_id = a.id"); n != "2000" {
				t.Errorf("%s rows", n)
			}
			if n := one(t, target, "SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'public'"); n != "true" {
				t.Error("it was not analyzed")
			}
			all := named(t, target)
			if len(all) != 2 || !regexp.MustCompile(`^`+target+`_upkeep_old_\d{8}t\d{6}z$`).MatchString(all[1]) {
				t.Fatalf("databases %q", all)
			}
			if !strings.Contains(r.Summary, `DROP DATABASE "`+all[1]+`"`) || !strings.Contains(r.Summary, "--undo shop") {
				t.Errorf("the summary does not name the old database: %s", r.Summary)
			}
			if one(t, all[1], "SELECT id FROM precious") != "7" || one(t, all[1], describe) != before {
				t.Error("the old database was changed")
			}

			undo := restoring{database: target, undo: true, hooks: jobs.Hooks{DryRun: true}}
			if r, err := restoreWith(t.Context(), t, nil, undo); err != nil || len(named(t, target)) != 2 || one(t, target, "SELECT count(*) FROM a") != "2000" {
				t.Errorf("dry run of undo: %+v, %v", r, err)
			}
			undo.hooks.DryRun = false
			r, err = restoreWith(t.Context(), t, nil, undo)
			if err != nil || one(t, target, "SELECT id FROM precious") != "7" || one(t, target, describe) != before || len(named(t, target)) != 2 {
				t.Errorf("undo: %+v, %v, %q", r, err, named(t, target))
			}
			if r, err = restoreWith(t.Context(), t, nil, undo); err != nil || one(t, target, "SELECT count(*) FROM a") != "2000" {
				t.Errorf("undo of undo: %+v, %v", r, err)
			}
		})
	}
}

func TestReplaceRefuses(t *testing.T) {
	t.Parallel()
	_, a := sold(t)
	t.Run("sessions of others", func(t *testing.T) {
		t.Parallel()
		target := oldDatabase(t)
		other, err := pgx.Connect(t.Context(), pgtest.URL(t, target)+"&application_name=the-shop")
		if err != nil {
			t.Fatal(err)
		}
		for _, dry := range []bool{true, false} {
			_, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true}, hooks: jobs.Hooks{DryRun: dry}})
			if !refused(err) || !strings.Contains(err.Error(), "the-shop") || !strings.Contains(jobs.HintOf(err), "--disconnect") {
				t.Errorf("dry run %v: %v, hint %q", dry, err, jobs.HintOf(err))
			}
		}
		if err := other.Ping(t.Context()); err != nil || len(named(t, target)) != 1 {
			t.Fatalf("%v, %v", err, named(t, target))
		}
		// Programs that connect again and again do not keep it from happening.
		ended, stop, done := 0, make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := pgx.Connect(context.Background(), pgtest.URL(t, target)+"&application_name=the-shop")
				if err == nil {
					_, err = c.Exec(context.Background(), "SELECT pg_sleep(10)")
					_ = c.Close(context.Background())
				}
				if err != nil {
					ended++
				}
			}
		}()
		_, err = restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true, Disconnect: true}})
		if err != nil || len(named(t, target)) != 2 || other.Ping(t.Context()) == nil {
			t.Errorf("%v, %v", err, named(t, target))
		}
		close(stop)
		pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'the-shop' AND datname LIKE '"+target+"%'")
		<-done
		if ended == 0 {
			t.Error("no session was ended")
		}
	})
	t.Run("a second restore", func(t *testing.T) {
		t.Parallel()
		target := oldDatabase(t)
		var second error
		hooks := jobs.Hooks{Effect: func(what string) {
			if strings.HasPrefix(what, "restore ") {
				_, second = restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true}})
			}
		}}
		if _, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true}, hooks: hooks}); err != nil {
			t.Error(err)
		}
		if !refused(second) || !strings.Contains(second.Error(), "under way") {
			t.Errorf("%v", second)
		}
		if all := named(t, target); len(all) != 2 {
			t.Errorf("databases %q", all)
		}
	})
	t.Run("what is missing", func(t *testing.T) {
		t.Parallel()
		target := freeName(t)
		for label, demand := range map[string]jobs.Target{"plain": {}, "replace": {Replace: true}} {
			_, err := restoreWith(t.Context(), t, a, restoring{database: target, target: demand})
			if err == nil || !strings.Contains(err.Error(), "does not exist") || !strings.Contains(jobs.HintOf(err), "--create") {
				t.Errorf("%s: %v, hint %q", label, err, jobs.HintOf(err))
			}
		}
		if _, err := restoreWith(t.Context(), t, nil, restoring{database: target, undo: true}); !errors.Is(err, jobs.ErrNothingReplaced) {
			t.Errorf("undo: %v", err)
		}
	})
	t.Run("a user without rights", func(t *testing.T) {
		t.Parallel()
		target := oldDatabase(t)
		role := "weak_" + strings.ToLower(rand.Text()[:10])
		admin := pgtest.Connect(t, pgtest.URL(t, ""))
		pgtest.Exec(t, admin, "CREATE ROLE "+role+" LOGIN PASSWORD 'weak'")
		t.Cleanup(func() { pgtest.Exec(t, admin, "DROP ROLE "+role) })
		weak := pgtest.As(t, pgtest.URL(t, target), role, "weak")
		for _, want := range []string{"may not make databases", "no member of postgres"} {
			_, err := restoreWith(t.Context(), t, a, restoring{url: weak, target: jobs.Target{Replace: true}})
			if !refused(err) || !strings.Contains(err.Error(), want) || jobs.HintOf(err) == "" {
				t.Errorf("%v, want %s", err, want)
			}
			pgtest.Exec(t, admin, "ALTER ROLE "+role+" CREATEDB")
		}
		pgtest.Exec(t, admin, "ALTER ROLE "+role+" SET default_transaction_read_only TO on")
		if _, err := restoreWith(t.Context(), t, a, restoring{url: weak, target: jobs.Target{Replace: true}}); !refused(err) || !strings.Contains(err.Error(), "may only read") {
			t.Errorf("%v", err)
		}
		if len(named(t, target)) != 1 {
			t.Error(named(t, target))
		}
	})
	t.Run("a prepared transaction, another encoding", func(t *testing.T) {
		t.Parallel()
		target := freeName(t)
		pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "CREATE DATABASE "+target+" TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
		if _, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true}}); !refused(err) || !strings.Contains(err.Error(), "LATIN1") {
			t.Errorf("%v", err)
		}
	})
}

// What only looks like ours stays.
func TestLeftoversOfOthers(t *testing.T) {
	t.Parallel()
	_, a := sold(t)
	target := oldDatabase(t)
	admin := pgtest.Connect(t, pgtest.URL(t, ""))
	for i, comment := range []string{"", "'theirs'", fmt.Sprintf(`'upkeep restore {"target":"%s","id":"another","since":"2026-01-01T00:00:00Z"}'`, target)} {
		name := fmt.Sprintf("%s_upkeep_new_aaaaaaaaa%c", target, 'a'+i)
		pgtest.Exec(t, admin, "CREATE DATABASE "+name)
		pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, name)), "CREATE TABLE precious ()")
		if comment != "" {
			pgtest.Exec(t, admin, "COMMENT ON DATABASE "+name+" IS "+comment)
		}
	}
	pgtest.Exec(t, admin, "CREATE DATABASE "+target+"_upkeep_new_empty00000", "CREATE DATABASE "+target+"_upkeep_new_emptyempty")
	before := len(named(t, target))
	r, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true}})
	if err != nil || len(r.Findings) != 3 {
		t.Errorf("%+v, %v", r.Findings, err)
	}
	// Gone is the empty one of which the name is ours; the old one came.
	all := named(t, target)
	if len(all) != before || slices.Contains(all, target+"_upkeep_new_emptyempty") {
		t.Errorf("databases %q", all)
	}
}
