package pgbackup_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// findingsOf returns the ids of what is worse than Info.
func findingsOf(r jobs.Drilled) []string {
	var ids []string
	for _, f := range r.Findings {
		if f.Severity != jobs.Info {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// TestCluster_Roles: a throwaway server gets the roles of the backup, or makes
// them up, and tablespaces of its own.
func TestCluster_Roles(t *testing.T) {
	t.Parallel()
	// A standby of the shared server would make the tablespace in this one's folder.
	primary := pgtest.NewCluster(t)
	role, space := `Drill; 'role\ `+strings.ToLower(rand.Text()[:8]), "drill_space"
	quoted := `"` + role + `"`
	b := benchOn(t, "drilled")
	b.url = pgtest.DatabaseAt(t, primary.URL, b.name, `CREATE TABLE plain (id int)`)
	pgtest.Exec(t, pgtest.Connect(t, primary.URL), "CREATE ROLE "+quoted+" LOGIN PASSWORD 'x;y' VALID UNTIL 'infinity'", "COMMENT ON ROLE "+quoted+" IS E'two\nlines; and '' a quote'",
		"ALTER ROLE "+quoted+" SET search_path = 'a;b', public", "CREATE TABLESPACE "+space+" LOCATION '"+tablespaceDir(t)+"'")
	pgtest.Exec(t, pgtest.Connect(t, b.url), "CREATE TABLE owned (id int) TABLESPACE "+space, "ALTER TABLE owned OWNER TO "+quoted, "INSERT INTO owned VALUES (1)")
	for _, globals := range []bool{true, false} {
		b.options.Globals = globals
		if _, err := b.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := b.artifacts()
		a := all[len(all)-1]
		r, err := drillAll(t.Context(), b, a, jobs.Drill{Level: object.L4, Assert: []string{
			`SELECT tableowner = E'` + strings.ReplaceAll(strings.ReplaceAll(role, `\`, `\\`), "'", "''") + `' AND tablespace = '` + space + `' FROM pg_tables WHERE tablename = 'owned'`,
			`SELECT pg_tablespace_location(oid) LIKE '%upkeep-drill-%' FROM pg_tablespace WHERE spcname = '` + space + `'`,
		}}, jobs.Hooks{})
		if err != nil {
			t.Fatalf("globals %v: %v", globals, err)
		}
		var want []string
		if !globals {
			want = []string{"drill-roles"}
		}
		got := slices.DeleteFunc(findingsOf(r), func(id string) bool { return id == "drill-globals" && globals })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("globals %v: findings %+v", globals, r.Findings)
		}
	}
}

// tablespaceDir returns a folder that the test server may use.
func tablespaceDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "upkeep-test-") //nolint:usetesting // the server must be able to walk there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	space := filepath.Join(dir, "space")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(space, 0o700)); err != nil {
		t.Fatal(err)
	}
	pgtest.GiveToServer(t, space)
	return space
}

// TestCluster_FullDisk: a disk that fills up says nothing about the backup, and
// holds nothing afterwards.
func TestCluster_FullDisk(t *testing.T) { //nolint:paralleltest // it sets TMPDIR
	b := newBench(t, `CREATE TABLE large (id int, v text)`, `ALTER TABLE large ALTER v SET STORAGE EXTERNAL`,
		`INSERT INTO large SELECT i, repeat(md5(i::text), 128) FROM generate_series(1, 30000) i`)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole, _ := b.one()
	small := changed(b, func(d *pgbackup.Details) { d.Databases[0].Bytes = 1 })
	objecttest.OnSmallDisk(t, 135<<20, func(dir string) {
		if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", dir)
		b.t = smallWork{TB: t, dir: dir}
		r, err := drillAll(t.Context(), b, whole, jobs.Drill{Level: object.L4}, jobs.Hooks{})
		// Inside a user namespace there is one user only, which PostgreSQL refuses.
		alone := os.Getenv("UPKEEP_TEST_NAMESPACE") != ""
		if err == nil || !alone && (!refused(err) || !strings.Contains(err.Error(), "free space")) {
			t.Errorf("too small: %+v, %v", r, err)
		}
		r, err = drillAll(t.Context(), b, small, jobs.Drill{Level: object.L4}, jobs.Hooks{})
		if err == nil || !alone && !strings.Contains(err.Error(), "No space left on device") || errors.Is(err, object.ErrDamaged) || !r.Proof.Time.IsZero() {
			t.Errorf("full: %+v, %v", r, err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "upkeep-drill-*")); err != nil || len(left) > 0 {
			t.Errorf("left on the disk: %q, %v", left, err)
		}
	})
}

// smallWork gives working directories that are on the small disk.
type smallWork struct {
	testing.TB

	dir string
}

// TempDir makes one.
func (s smallWork) TempDir() string {
	dir, err := os.MkdirTemp(s.dir, "work-")
	if err != nil {
		s.Fatal(err)
	}
	return dir
}

// TestDrill_InARun: a job drills what it has just published, and tells.
func TestDrill_InARun(t *testing.T) {
	t.Parallel()
	for label, tt := range map[string]struct {
		change func(o *pgbackup.Options)
		level  object.Level
		want   string
		fails  string
	}{
		"L3":          {func(o *pgbackup.Options) { o.Verify.Weekly = object.L3 }, object.L3, "proven L3 in s (restored in ", ""},
		"L4, sealed":  {func(o *pgbackup.Options) { o.Verify.Monthly, o.Drill.Local = object.L4, true }, object.L4, "proven L4 in s", ""},
		"elsewhere":   {func(o *pgbackup.Options) { o.Verify.Daily, o.Drill.Database = object.L3, "other" }, object.L3, "proven L3 in s", ""},
		"unmet":       {func(o *pgbackup.Options) { o.Verify.Daily, o.Drill.Assert = object.L3, []string{"SELECT false"} }, object.L2, "verified L2", ""},
		"unreachable": {func(o *pgbackup.Options) { o.Verify.Daily, o.Drill.Database = object.L3, "nowhere" }, object.L2, "verified L2", "did not come about"},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, shop...)
			b.dbs = map[string]string{"other": pgtest.URL(t, "postgres"), "nowhere": "postgres://127.0.0.1:1/x"}
			tt.change(&b.options)
			if strings.Contains(label, "sealed") {
				_, public := identity(t)
				b.options.EncryptTo = unit.Names{public}
			}
			if err := b.options.Validate(); err != nil {
				t.Fatal(err)
			}
			r, err := b.run(t.Context())
			if (err == nil) != (tt.fails == "") || err != nil && (!strings.Contains(err.Error(), tt.fails) || jobs.HintOf(err) == "") {
				t.Fatalf("%+v, %v", r, err)
			}
			a, _ := b.one()
			if a.Level() != tt.level || !strings.Contains(r.Summary, tt.want) {
				t.Errorf("level %s, summary %q", a.Level(), r.Summary)
			}
			if critical := r.Worst() == jobs.Critical; critical != (label == "unmet") {
				t.Errorf("findings %+v", r.Findings)
			}
			if tt.level.Rank() > object.L2.Rank() && (r.Values["restore_seconds"] <= 0 || r.Values["drill_seconds"] < r.Values["restore_seconds"]) {
				t.Errorf("values %v", r.Values)
			}
			noScratch(t, a)
		})
	}
}

// TestDrill_Locale: a server that does not know the locale still proves the
// rest, and says so.
func TestDrill_Locale(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE t (id int)`)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := changed(b, func(d *pgbackup.Details) { d.Databases[0].Collate, d.Databases[0].CType = "xx_XX.utf8", "xx_XX.utf8" })
	r, err := drillAll(t.Context(), b, a, jobs.Drill{}, jobs.Hooks{})
	if err != nil || !slices.Equal(findingsOf(r), []string{"drill-locale"}) {
		t.Errorf("%+v, %v", r, err)
	}
	noScratch(t, a)
}

func TestStatements(t *testing.T) {
	t.Parallel()
	text := "--\n-- a; comment\n--\n\n\\restrict abc;\n\\! touch /tmp/x\nCREATE ROLE a;\nALTER ROLE \"a;\"\"b\" SET x TO 'c;''d';\n" +
		"COMMENT ON ROLE a IS E'two\\n\\';lines\n\\\\still';\nSET y = 'back\\'; -- end\nGRANT a TO b -- why;\n;\nrest"
	want := []string{
		"CREATE ROLE a", `ALTER ROLE "a;""b" SET x TO 'c;''d'`, "COMMENT ON ROLE a IS E'two\\n\\';lines\n\\\\still'", `SET y = 'back\'`, "GRANT a TO b", "rest",
	}
	got, err := json.MarshalIndent(pgbackup.Statements(text), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := json.MarshalIndent(want, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(wanted), string(got)); diff != "" {
		t.Error(diff)
	}
}

func FuzzStatements(f *testing.F) {
	f.Add("CREATE ROLE \"a;b\";\n-- c\nSET x = E'\\'';")
	f.Fuzz(func(t *testing.T, text string) {
		total := 0
		for _, s := range pgbackup.Statements(text) {
			total += len(s)
		}
		if total > len(text) {
			t.Errorf("%d bytes out of %d", total, len(text))
		}
	})
}
