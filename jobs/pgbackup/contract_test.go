package pgbackup_test

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
)

// steady makes a database that every process of a test run shares, because
// those that the harness kills cannot drop theirs.
func steady(t testing.TB, name string, statements ...string) string {
	t.Helper()
	admin := connect(t, serverURL(t, ""))
	exec(t, admin, "SELECT pg_advisory_lock(hashtext('upkeep test databases'))")
	defer exec(t, admin, "SELECT pg_advisory_unlock(hashtext('upkeep test databases'))")
	var there bool
	if err := admin.QueryRow(context.Background(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
		t.Fatal(err)
	}
	if there {
		return name
	}
	exec(t, admin, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0 ENCODING 'UTF8'")
	c := connect(t, serverURL(t, name))
	exec(t, c, statements...)
	if err := c.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return name
}

// settled wants exactly whole artifacts in the store of the fixture, and no
// session of ours on the server.
func settled(t *testing.T, root string) {
	t.Helper()
	disk, err := local.Open("s", local.Options{Path: unit.Path(filepath.Join(root, "store"))})
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for a, err := range object.Artifacts(t.Context(), disk, "") {
		if err != nil {
			t.Fatal(err)
		}
		whole++
		env := jobs.NewEnv(jobs.Env{RunID: "verify", Job: "verify", WorkDir: t.TempDir()}, jobs.Hooks{})
		if proof, err := pgbackup.Kind().Artifacts.Verify(t.Context(), env, a, jobs.Proving{Level: object.L2}); err != nil || proof.Damage != "" {
			t.Errorf("artifact %s: %v, %v", a.Manifest.ID, proof, err)
		}
	}
	if whole == 0 {
		t.Error("there is no artifact")
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(serverURL(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	var once sync.Once
	fixture := func(name string, change func(o *pgbackup.Options)) jobstest.Fixture {
		return jobstest.Fixture{
			Name: name, Effects: true, Secrets: []string{password},
			Arrange: func(t *testing.T, root string, options any, deps *jobstest.Deps) {
				once.Do(func() {
					steady(t, "upkeep_contract", awkward...)
				})
				disk, err := local.Open("s", local.Options{Path: unit.Path(filepath.Join(root, "store"))})
				if err != nil {
					t.Fatal(err)
				}
				deps.AddStore("s", disk)
				deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(serverURL(t, "upkeep_contract"))})
				o := jobstest.Options[pgbackup.Options](t, options)
				o.Database, o.Store = unit.Names{"main"}, unit.Names{"s"}
				if change != nil {
					change(o)
				}
			},
			Judge: func(t *testing.T, _ string, r jobs.Result) {
				for _, name := range []string{"bytes", "stored_bytes", "ratio", "databases", "tables", "rows", "rows.users", "dump_seconds", "verify_seconds"} {
					if r.Values[name] <= 0 {
						t.Errorf("value %s is %v", name, r.Values[name])
					}
				}
				if !strings.Contains(r.Summary, "verified L2") {
					t.Errorf("summary %q", r.Summary)
				}
			},
			Settled: settled,
		}
	}
	failing := func(f jobstest.Fixture, with string, refuses bool) jobstest.Fixture {
		f.Fails, f.Refuses, f.Effects, f.Judge, f.Settled = with, refuses, false, nil, nil
		return f
	}
	wrong := fixture("wrong password", nil)
	arrange := wrong.Arrange
	wrong.Arrange = func(t *testing.T, root string, options any, deps *jobstest.Deps) {
		arrange(t, root, options, deps)
		deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(strings.Replace(serverURL(t, "upkeep_contract"), password, "wrong:p@ss", 1))})
	}
	wrong.Secrets = append(wrong.Secrets, "wrong:p@ss")
	jobstest.Exercise(t, pgbackup.Kind(),
		fixture("one connection", nil),
		fixture("two connections, with retention", func(o *pgbackup.Options) { o.Jobs, o.Keep.Last = 2, 1 }),
		fixture("with a drill", func(o *pgbackup.Options) {
			o.Verify.Weekly, o.Drill.Assert = object.L3, []string{"SELECT count(*) > 0 FROM users"}
		}),
		failing(wrong, "password authentication failed", false),
		failing(fixture("an old client", func(o *pgbackup.Options) { o.Client = unit.Path(oldClient(t)) }), "an older one cannot read it", true),
	)
}
