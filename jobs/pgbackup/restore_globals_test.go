package pgbackup_test

import (
	"crypto/rand"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
)

// Roles that are missing are named, and made from the globals; those that exist
// keep what they have.
func TestRestoreGlobals(t *testing.T) {
	t.Parallel()
	suffix := strings.ToLower(rand.Text()[:8])
	lost, kept, odd := "lost_"+suffix, "kept_"+suffix, `odd "role's; \ `+suffix
	q := func(name string) string { return pgx.Identifier{name}.Sanitize() }
	admin := pgtest.Connect(t, pgtest.URL(t, ""))
	t.Cleanup(func() {
		for _, role := range []string{lost, kept, odd} {
			pgtest.Exec(t, admin, "DROP ROLE IF EXISTS "+q(role))
		}
	})
	pgtest.Exec(t, admin, "CREATE ROLE "+lost+" LOGIN PASSWORD 'lost-hunter2'", "CREATE ROLE "+kept+" PASSWORD 'kept-hunter2'", "CREATE ROLE "+q(odd)+" CONNECTION LIMIT 7",
		"COMMENT ON ROLE "+q(odd)+" IS E'two\nlines; ''quoted'' \\\\'", "GRANT "+kept+" TO "+lost, "GRANT pg_monitor TO "+kept,
		"ALTER ROLE "+lost+" SET app.token TO 'token-hunter2'")
	b := newBench(t, `CREATE TABLE a (id int)`, `INSERT INTO a VALUES (1)`, `ALTER TABLE a OWNER TO `+lost, `CREATE TABLE b ()`, `GRANT SELECT ON b TO `+q(odd))
	pgtest.Exec(t, admin, "ALTER DATABASE "+b.name+" OWNER TO "+kept)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	pgtest.Exec(t, admin, "ALTER DATABASE "+b.name+" OWNER TO postgres")
	pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, b.name)), "DROP TABLE a, b")
	// The rest of the roles on this server belong to other tests, and may go.
	pgtest.Exec(t, admin, "DROP ROLE "+lost, "DROP ROLE "+q(odd), "ALTER ROLE "+kept+" PASSWORD 'new-hunter2'", "REVOKE pg_monitor FROM "+kept)
	hash := one(t, "", "SELECT rolpassword FROM pg_authid WHERE rolname = '"+kept+"'")

	target := pgtest.Database(t)
	_, err := restoreWith(t.Context(), t, a, restoring{database: target})
	if !refused(err) || !strings.Contains(err.Error(), lost) || !strings.Contains(err.Error(), "odd") || !strings.Contains(jobs.HintOf(err), "--globals") {
		t.Fatalf("%v, hint %q", err, jobs.HintOf(err))
	}
	// Without owners and privileges they are not needed.
	r, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{NoOwner: true, NoPrivileges: true}})
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Severity != jobs.Info || one(t, target, "SELECT tableowner FROM pg_tables WHERE tablename = 'a'") != "postgres" {
		t.Errorf("%+v, %v", r, err)
	}
	// With one of them, what is needed nevertheless fails as a whole.
	target = pgtest.Database(t)
	if _, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{NoOwner: true}}); err == nil || relations(t, target) != 0 {
		t.Errorf("%v, %d relations", err, relations(t, target))
	}

	name := freeName(t)
	out := &jobstest.Buffer{}
	if _, err := restoreWith(t.Context(), t, a, restoring{database: name, target: jobs.Target{Globals: true, Create: true}, hooks: jobs.Hooks{DryRun: true}, out: out}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "CREATE ROLE "+lost) || strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), "SCRAM") || strings.Contains(out.String(), "ROLE "+kept+" ") {
		t.Errorf("the dry run says:\n%s", out)
	}
	if n := one(t, "", "SELECT count(*) FROM pg_roles WHERE rolname = '"+lost+"'"); n != "0" {
		t.Fatal("a dry run made roles")
	}
	if _, err := restoreWith(t.Context(), t, a, restoring{database: name, target: jobs.Target{Globals: true, Create: true}}); err != nil {
		t.Fatal(err)
	}
	got := texts(t, name, `SELECT format('%s %s', tablename, tableowner) FROM pg_tables WHERE schemaname = 'public'
		UNION ALL SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()
		UNION ALL SELECT format('%s in %s', member::regrole, roleid::regrole) FROM pg_auth_members WHERE member::regrole::text ~ '`+suffix+`' OR roleid::regrole::text ~ '`+suffix+`'
		UNION ALL SELECT shobj_description(oid, 'pg_authid') || rolconnlimit FROM pg_authid WHERE rolname ~ '^odd.*`+suffix+`'
		UNION ALL SELECT unnest(rolconfig) FROM pg_roles WHERE rolname ~ '`+suffix+`'`)
	want := []string{"a " + lost, "b postgres", kept, lost + " in " + kept, "two\nlines; 'quoted' \\7", "app.token=token-hunter2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if one(t, "", "SELECT rolpassword FROM pg_authid WHERE rolname = '"+kept+"'") != hash {
		t.Error("the password of a role that existed was changed")
	}
	// Its password works.
	c, err := pgx.Connect(t.Context(), regexp.MustCompile(`//.*@`).ReplaceAllString(pgtest.URL(t, name), "//"+lost+":lost-hunter2@"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "DROP DATABASE "+name+" WITH (FORCE)")
}

func FuzzGlobals(f *testing.F) {
	f.Add("CREATE ROLE a;\n-- c;\nCOMMENT ON ROLE \"b\"\"\" IS E'x\\\\'';';\n\\restrict x\nGRANT a TO \"b c\" GRANTED BY postgres;\n")
	f.Add("CREATE TABLESPACE t OWNER a LOCATION '/x';")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := pgbackup.SplitSQL(text)
		if err != nil {
			return
		}
		total := 0
		for _, s := range all {
			total += len(s)
			if strings.TrimSpace(s) == "" || len(pgbackup.WordsOf(s)) == 0 {
				t.Errorf("an empty statement of %q", text)
			}
		}
		if total > len(text) {
			t.Errorf("%q became longer: %q", text, all)
		}
	})
}
