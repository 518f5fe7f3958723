package pgbackup_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
)

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
	var once sync.Once
	fixture := func(name string, change func(o *pgbackup.Options)) jobstest.Fixture {
		return jobstest.Fixture{
			Name: name, Effects: true, Secrets: []string{pgtest.Password(t)},
			Arrange: func(t *testing.T, root string, options any, deps *jobstest.Deps) {
				once.Do(func() {
					pgtest.SharedDatabase(t, "upkeep_contract", awkward...)
				})
				disk, err := local.Open("s", local.Options{Path: unit.Path(filepath.Join(root, "store"))})
				if err != nil {
					t.Fatal(err)
				}
				deps.AddStore("s", disk)
				pgtest.AddDatabase(deps, pgtest.Main, pgtest.URL(t, "upkeep_contract"))
				o := jobstest.Options[pgbackup.Options](t, options)
				o.Database, o.Store = unit.Names{pgtest.Main}, unit.Names{"s"}
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
	old := fixture("an old client", func(o *pgbackup.Options) { o.Client = unit.Path(oldClient(t)) })
	old.Fails, old.Refuses, old.Effects, old.Judge, old.Settled = "an older one cannot read it", true, false, nil, nil
	single := fixture("one connection", nil)
	fixtures := []jobstest.Fixture{
		single,
		fixture("two connections, with retention", func(o *pgbackup.Options) { o.Jobs, o.Keep.Last = 2, 1 }),
		pgtest.WrongPassword(single),
		old,
	}
	if os.Getenv("UPKEEP_SOAK") != "" { // else TestDrill_InARun and TestDrill_Killed do
		fixtures = append(fixtures, fixture("with a drill", func(o *pgbackup.Options) {
			o.Verify.Weekly, o.Drill.Assert = object.L3, []string{"SELECT count(*) > 0 FROM users"}
		}))
	}
	jobstest.Exercise(t, pgbackup.Kind(), fixtures...)
}
