package pgbackup_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	_, a := sold(t)
	long := "target_" + strings.ToLower(rand.Text()[:10]) + "_" + strings.Repeat("ü", 22)
	dropsAll(t, long[:20])
	for label, name := range map[string]string{"plain": freeName(t), "odd": freeName(t) + ` "x' \ %s`, "long": long} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			address := pgtest.URL(t, strings.ReplaceAll(name, "%", "%"))
			out := &jobstest.Buffer{}
			r, err := restoreWith(t.Context(), t, a, restoring{url: address, target: jobs.Target{Create: true}, hooks: jobs.Hooks{DryRun: true}, out: out})
			if err != nil || !strings.Contains(out.String(), "would run CREATE DATABASE") || slices.Contains(named(t, name[:17]), name) {
				t.Fatalf("dry run: %+v, %v: %s", r, err, out)
			}
			r, err = restoreWith(t.Context(), t, a, restoring{url: address, target: jobs.Target{Create: true}})
			if err != nil {
				t.Fatalf("%+v, %v", r, err)
			}
			if all := named(t, name[:17]); len(all) != 1 || all[0] != name {
				t.Errorf("databases %q", all)
			}
			if got := one(t, name, "SELECT count(*) FROM a"); got != "2000" {
				t.Errorf("%s rows", got)
			}
			if got := one(t, name, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"); got != "NULL" {
				t.Errorf("the mark stays: %s", got)
			}
			if _, err := restoreWith(t.Context(), t, a, restoring{url: address, target: jobs.Target{Create: true}}); !refused(err) {
				t.Errorf("created again: %v", err)
			}
			// And in its place, also when the names get too long.
			if r, err = restoreWith(t.Context(), t, a, restoring{url: address, target: jobs.Target{Replace: true}}); err != nil || !strings.Contains(r.Summary, "_upkeep_old_") {
				t.Errorf("replace: %+v, %v", r, err)
			}
			if _, err = restoreWith(t.Context(), t, nil, restoring{url: address, undo: true}); err != nil {
				t.Errorf("undo: %v", err)
			}
		})
	}
}

// Who looks at the database that was put aside is in the way of an undo, and is
// named.
func TestUndoInUse(t *testing.T) {
	t.Parallel()
	_, a := sold(t)
	target := oldDatabase(t)
	if _, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true}}); err != nil {
		t.Fatal(err)
	}
	aside := named(t, target)[1]
	other, err := pgx.Connect(t.Context(), pgtest.URL(t, aside)+"&application_name=onlooker")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := restoreWith(t.Context(), t, nil, restoring{database: target, undo: true}); !refused(err) || !strings.Contains(err.Error(), "onlooker") || !strings.Contains(err.Error(), aside) {
		t.Errorf("%v", err)
	}
	if one(t, target, "SELECT count(*) FROM a") != "2000" || len(named(t, target)) != 2 {
		t.Errorf("databases %q", named(t, target))
	}
	if _, err := restoreWith(t.Context(), t, nil, restoring{database: target, undo: true, target: jobs.Target{Disconnect: true}}); err != nil || other.Ping(t.Context()) == nil {
		t.Errorf("%v", err)
	}
	if one(t, target, "SELECT id FROM precious") != "7" {
		t.Error("the old one is not back")
	}
}

// A restore that is canceled at any step leaves the target as it was, and
// nothing beside it.
func TestReplaceCanceled(t *testing.T) {
	t.Parallel()
	_, a := sold(t)
	for _, at := range []string{"run CREATE", "run COMMENT", "restore ", "run ALTER DATABASE", "run BEGIN"} {
		for _, after := range []bool{false, true} {
			if after != (at == "restore ") {
				continue // the one before, or it has happened then
			}
			t.Run(fmt.Sprint(at, after), func(t *testing.T) {
				t.Parallel()
				target := oldDatabase(t)
				pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "ALTER DATABASE "+target+" CONNECTION LIMIT 9")
				stop := errors.New("stop")
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				fired := false
				strike := func(what string) {
					if strings.HasPrefix(what, at) && !fired {
						fired = true
						cancel(stop)
					}
				}
				h := jobs.Hooks{Effect: strike}
				if after {
					h = jobs.Hooks{Effected: func(what string, _ error) { strike(what) }}
				}
				_, err := restoreWith(ctx, t, a, restoring{database: target, target: jobs.Target{Replace: true}, hooks: h})
				if err == nil || !fired {
					t.Errorf("%v, fired %v", err, fired)
				}
				if all := named(t, target); len(all) != 1 || one(t, target, "SELECT id FROM precious") != "7" {
					t.Errorf("databases %q", all)
				}
			})
		}
	}
}

// Everything awkward comes back through every way to restore.
func TestReplaceRoundTrip(t *testing.T) {
	t.Parallel()
	b := newBench(t, awkward...)
	before := logical(t, b.name)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	for label, demand := range map[string]jobs.Target{"one transaction": {}, "parallel": {Jobs: 4}} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			target := oldDatabase(t)
			demand.Replace = true
			if _, err := restoreWith(t.Context(), t, a, restoring{database: target, target: demand}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, logical(t, target)); diff != "" {
				t.Errorf("the restored database differs (-saved +restored):\n%s", diff)
			}
		})
	}
}

func TestReplaceDamagedOrClosed(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE a (id int, v text)`, `INSERT INTO a SELECT i, repeat('x', i % 90) FROM generate_series(1, 3000) i`)
	file, public := identity(t)
	wrong, _ := identity(t)
	b.options.EncryptTo, b.options.Identity = unit.Names{public}, unit.Path(file)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	for label, demand := range map[string]jobs.Target{"replace": {Replace: true}, "replace, parallel": {Replace: true, Jobs: 2}, "plain, parallel": {Jobs: 2}} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			target := oldDatabase(t)
			if !demand.Replace {
				pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, target)), "DROP TABLE precious")
			}
			for _, keys := range [][]string{nil, {wrong}} {
				demand.Identities = keys
				if _, err := restoreWith(t.Context(), t, a, restoring{database: target, target: demand}); err == nil || errors.Is(err, object.ErrDamaged) || jobs.HintOf(err) == "" {
					t.Errorf("%v: %v", keys, err)
				}
			}
			if all := named(t, target); len(all) != 1 || one(t, target, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()") != "NULL" {
				t.Errorf("databases %q", all)
			}
			demand.Identities = []string{file}
			if _, err := restoreWith(t.Context(), t, a, restoring{database: target, target: demand}); err != nil {
				t.Error(err)
			}
		})
	}
}
