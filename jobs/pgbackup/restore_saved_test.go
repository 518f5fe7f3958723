package pgbackup_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
)

// dressed is what a database and roles in it have set, beside what is secret,
// and who may do what with it.
const dressed = `SELECT jsonb_build_object(
	'settings', (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT format('%s %s', setrole::regrole, v) FROM pg_db_role_setting, unnest(setconfig) v
		WHERE setdatabase = d.oid AND v NOT LIKE 'app.%') s(x)),
	'grants', (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT format('%s %s %s', grantee::regrole, privilege_type, is_grantable) FROM aclexplode(d.datacl)) s(x)))
	FROM pg_database d WHERE datname = current_database()`

// A database that is made anew gets what a dump does not hold: its settings,
// those of roles in it, and who may connect; what the manifest or the server
// lacks is named.
func TestCreateAsSaved(t *testing.T) {
	t.Parallel()
	role := "saved_" + strings.ToLower(rand.Text()[:10])
	odd := pgx.Identifier{role + ` ": work_mem=1`}.Sanitize()
	drop := "DROP ROLE IF EXISTS " + role + ", " + odd
	t.Cleanup(func() { // after the databases
		if _, err := pgtest.Connect(t, pgtest.URL(t, "")).Exec(context.Background(), drop); err != nil {
			t.Error(err)
		}
	})
	b := newBench(t, `CREATE TABLE t (id int)`)
	admin := pgtest.Connect(t, pgtest.URL(t, ""))
	source, target := b.name, freeName(t)
	pgtest.Exec(t, admin, "CREATE ROLE "+role, "CREATE ROLE "+odd,
		"ALTER DATABASE "+source+" SET work_mem = '5MB'", "ALTER DATABASE "+source+` SET search_path = public, "a, ""b"`,
		"ALTER DATABASE "+source+" SET app.secret = 'hunter2'", "ALTER ROLE "+odd+" IN DATABASE "+source+" SET DateStyle = 'SQL, DMY'",
		"REVOKE ALL ON DATABASE "+source+" FROM PUBLIC", "GRANT CONNECT ON DATABASE "+source+" TO "+odd, "GRANT TEMPORARY ON DATABASE "+source+" TO "+role+" WITH GRANT OPTION")
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	restored := func(want ...string) {
		t.Helper()
		r, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Create: true}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range r.Findings {
			got = append(got, f.Text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	const byHand = "settings of the database are not part of a dump, set them by ALTER DATABASE: "
	restored(byHand + "app.secret=…")
	if diff := cmp.Diff(one(t, source, dressed), one(t, target, dressed)); diff != "" {
		t.Error(diff)
	}
	pgtest.Exec(t, admin, "DROP DATABASE "+target, "ALTER ROLE "+odd+" IN DATABASE "+source+" RESET ALL",
		"REVOKE ALL ON DATABASE "+source+" FROM "+odd, "DROP ROLE "+odd)
	restored(byHand+odd+": DateStyle=SQL, DMY; app.secret=…", "privileges on the database were not granted, because the server lacks the roles: "+odd+": CONNECT")
	// What the server refuses to set is told, and no reason to give nothing back.
	pgtest.Exec(t, admin, "DROP DATABASE "+target)
	a = otherwise(t, a, func(d *pgbackup.Details) {
		d.Databases[0].Settings = []string{"search_path=public", "work_mem=lots", "no_such_setting=1"}
	})
	r, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Create: true, NoPrivileges: true}})
	if err != nil || len(r.Findings) != 2 || r.Findings[0].ID != "setting:work_mem" || r.Findings[1].ID != "setting:no_such_setting" {
		t.Errorf("%+v, %v", r, err)
	}
	if got := one(t, target, "SELECT datacl FROM pg_database WHERE datname = current_database()"); got != "NULL" {
		t.Errorf("without privileges: %s", got)
	}
	// An existing database keeps what it has, and is not asked for more than it
	// was given.
	r, err = restoreWith(t.Context(), t, a, restoring{database: pgtest.Database(t)})
	if err != nil || len(r.Findings) != 2 || r.Findings[1].Severity != jobs.Info || !strings.Contains(r.Findings[1].Text, role+`": TEMPORARY`) {
		t.Errorf("%+v, %v", r, err)
	}
}
