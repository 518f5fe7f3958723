package pgbackup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
)

// restorerVariable tells a process of the test binary to restore; it is killed
// on the way.
const restorerVariable = "PGBACKUP_RESTORER"

// TestRestoreVictim is the process that is killed; among other tests it does
// nothing.
func TestRestoreVictim(t *testing.T) {
	text := os.Getenv(restorerVariable)
	if text == "" {
		return
	}
	var v struct {
		Store, ID, URL, Work string
		Replace, Create      bool
		Jobs                 int
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	disk, err := local.Open("s", local.Options{Path: unit.Path(v.Store)})
	if err != nil {
		t.Fatal(err)
	}
	a, err := object.Find(t.Context(), disk, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	env := jobs.NewEnv(jobs.Env{RunID: "killed", Workflow: "daily", Job: "backup", Attempt: 1, WorkDir: v.Work}, jobs.Hooks{})
	r, err := pgbackup.Kind().Artifacts.(jobs.Restorer).Restore(context.Background(), env, a, jobs.Target{
		To: "shop", Replace: v.Replace, Create: v.Create, Jobs: v.Jobs,
		Database: func(string) (jobs.Database, error) {
			return pgtest.Configured("shop", v.URL), nil
		},
	})
	t.Fatal("not killed:", r, err)
}

// newVictim starts that process.
func newVictim(t testing.TB, what map[string]any) (cmd *osexec.Cmd, said *bytes.Buffer) {
	t.Helper()
	text, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	cmd = osexec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRestoreVictim$")
	cmd.Env = append(os.Environ(), restorerVariable+"="+string(text))
	said = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, said
	return cmd, said
}

// The moments of a restore with --replace, by what is sent to the server then.
func moments(target string) map[string]string {
	return map[string]string{
		"making the new database": "CREATE DATABASE",
		"marking it":              "COMMENT ON DATABASE \"" + target + "_upkeep_new",
		"loading":                 "COPY public.",
		"counting":                "count(*) FROM ONLY",
		"analyzing":               "ANALYZE",
		"dressing":                "CONNECTION LIMIT 9",
		"the first rename":        "RENAME TO \"" + target + "_upkeep_old",
		"between the renames":     "RENAME TO \"" + target + "\"",
		"before the commit":       "commit",
		"late: the commit":        "commit",
		"late: making it":         "CREATE DATABASE",
		"parallel: loading":       "COPY public.",
	}
}

// Wherever upkeep is killed, the target is what it was or the new one, and the
// next call leaves nothing but the target and what was put aside.
func TestReplaceKilled(t *testing.T) {
	t.Parallel()
	_, a, store := stored(t)
	for moment := range moments("") {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			target := oldDatabase(t)
			pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "ALTER DATABASE "+target+" CONNECTION LIMIT 9")
			var victim atomic.Pointer[os.Process]
			way := pgtest.NewProxy(t, pgtest.URL(t, target))
			way.Trap(moments(target)[moment], strings.HasPrefix(moment, "late"), func() {
				if p := victim.Load(); p != nil {
					_ = p.Kill()
				}
			})
			cmd, said := newVictim(t, map[string]any{
				"Store": store, "ID": a.Manifest.ID, "URL": way.URL, "Work": t.TempDir(), "Replace": true, "Jobs": 2 * strings.Count(moment, "parallel"),
			})
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			victim.Store(cmd.Process)
			_ = cmd.Wait() // how it ended is judged below
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL || !way.Sprung() {
				t.Fatalf("it was not killed: %s", said)
			}
			swapped := moment == "late: the commit"
			if got := one(t, target, "SELECT count(*) FROM pg_class WHERE relname = 'precious'"); (got == "0") != swapped {
				t.Errorf("the target has %s tables of the old one", got)
			}
			r, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true}})
			if err != nil || len(r.Findings) > 0 {
				t.Errorf("the next restore: %+v, %v", r, err)
			}
			want := 2
			if swapped {
				want = 3
			}
			all := named(t, target)
			if len(all) != want || one(t, target, "SELECT count(*) FROM a") != "2000" || slices.ContainsFunc(all, func(name string) bool { return strings.Contains(name, "_new_") }) {
				t.Errorf("databases %q", all)
			}
		})
	}
}

// A plain restore does not leave anything either; one by several connections
// says what it left.
func TestRestoreKilled(t *testing.T) {
	t.Parallel()
	_, a, store := stored(t)
	for label, tt := range map[string]struct {
		at     string
		number int
	}{"one transaction": {"COPY public.b", 0}, "parallel": {"COPY public.b", 2}, "parallel, before anything": {"CREATE TABLE", 2}} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			target := pgtest.Database(t)
			pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "COMMENT ON DATABASE "+target+" IS 'theirs'")
			var victim atomic.Pointer[os.Process]
			way := pgtest.NewProxy(t, pgtest.URL(t, target))
			way.Trap(tt.at, false, func() {
				if p := victim.Load(); p != nil {
					_ = p.Kill()
				}
			})
			cmd, said := newVictim(t, map[string]any{"Store": store, "ID": a.Manifest.ID, "URL": way.URL, "Work": t.TempDir(), "Jobs": tt.number})
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			victim.Store(cmd.Process)
			if err := cmd.Wait(); err == nil || !way.Sprung() {
				t.Fatalf("it was not killed: %s", said)
			}
			_, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Jobs: tt.number}})
			if label == "parallel" {
				if !refused(err) || !strings.Contains(err.Error(), "left partial by a restore of") {
					t.Errorf("%v", err)
				}
				if _, err = restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true}}); err != nil {
					t.Error(err)
				}
				dropsAll(t, target+"_")
			}
			if err != nil && label != "parallel" {
				t.Error(err)
			}
			if got := one(t, target, "SELECT shobj_description(oid, 'pg_database') || (SELECT count(*) FROM b) FROM pg_database WHERE datname = current_database()"); got != "theirs2000" {
				t.Errorf("the target says %s", got)
			}
		})
	}
}

// stored is a backup in a store that other processes can read.
func stored(t testing.TB) (*bench, *object.Artifact, string) {
	t.Helper()
	b := newBench(t, `CREATE TABLE a (id int PRIMARY KEY, v text)`, `INSERT INTO a SELECT i, repeat('x', i % 90) FROM generate_series(1, 2000) i`,
		`CREATE TABLE b (a_id int REFERENCES a)`, `INSERT INTO b SELECT id FROM a`)
	path := filepath.Join(t.TempDir(), "store")
	disk, err := local.Open("s", local.Options{Path: unit.Path(path)})
	if err != nil {
		t.Fatal(err)
	}
	b.store = disk
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	return b, a, path
}

// A network that is cut, and sessions that are killed, at every moment: nothing
// is left, even without a next call.
func TestReplaceCut(t *testing.T) {
	t.Parallel()
	_, a := sold(t)
	for how, at := range map[string][]string{
		"cut":  {"loading", "counting", "between the renames", "before the commit", "late: the commit", "parallel: loading", "late: making it"},
		"kill": {"loading", "analyzing", "between the renames"},
	} {
		for _, moment := range at {
			t.Run(how+" "+moment, func(t *testing.T) {
				t.Parallel()
				target := oldDatabase(t)
				pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "ALTER DATABASE "+target+" CONNECTION LIMIT 9")
				admin := pgtest.Connect(t, pgtest.URL(t, ""))
				way := pgtest.NewProxy(t, pgtest.URL(t, target))
				way.Trap(moments(target)[moment], strings.HasPrefix(moment, "late"), func() {
					if how == "cut" {
						way.Cut()
						return
					}
					_, err := admin.Exec(context.Background(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE $1 OR query LIKE $2 AND pid <> pg_backend_pid()",
						target+"_upkeep_new%", "%"+target+"%")
					if err != nil {
						t.Error(err)
					}
				})
				r, err := restoreWith(t.Context(), t, a, restoring{
					url: way.URL, target: jobs.Target{Replace: true, Jobs: 2 * strings.Count(moment, "parallel")},
				})
				if !way.Sprung() {
					t.Fatalf("the network was not cut: %+v, %v", r, err)
				}
				swapped := err == nil
				if !swapped && moment == "late: the commit" || swapped && !strings.HasPrefix(moment, "late") {
					t.Errorf("%+v, %v", r, err)
				}
				if got := one(t, target, "SELECT count(*) FROM pg_class WHERE relname = 'precious'"); (got == "0") != swapped {
					t.Errorf("%v, but the target has %s tables of the old one", err, got)
				}
				if all := named(t, target); len(all) != 1+strings.Count(fmt.Sprint(swapped), "true") {
					t.Errorf("databases %q after %v", all, err)
				}
			})
		}
	}
}
