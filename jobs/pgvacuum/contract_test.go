package pgvacuum_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgvacuum"
)

// facts are what a vacuum or an analyze of a table changes.
const facts = `SELECT relname || ': ' || concat_ws(' ', relpages, reltuples, relallvisible, relfrozenxid, relminmxid,
	pg_stat_get_vacuum_count(oid), pg_stat_get_analyze_count(oid), pg_stat_get_dead_tuples(oid), pg_stat_get_live_tuples(oid), pg_relation_filenode(oid))
	FROM pg_class WHERE relkind IN ('r', 't') AND oid >= 16384 ORDER BY relname`

// world lists the facts of all tables of a database.
func world(t testing.TB, address string) []string {
	t.Helper()
	c := connect(t, address)
	rows, err := c.Query(context.Background(), facts)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// contractDatabase is where a run of the contract finds its world: one database
// for each root, also in the processes that the harness kills, which cannot
// drop theirs.
func contractDatabase(t testing.TB, root string) string {
	t.Helper()
	name := "vacuum_contract_" + strings.ToLower(strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '_'
	}, root[max(0, len(root)-40):]))
	admin := connect(t, serverURL(t, ""))
	t.Cleanup(func() {
		exec(t, connect(t, serverURL(t, "")), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	})
	if !ask[bool](t, admin, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name) {
		exec(t, admin, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'")
		c := connect(t, serverURL(t, name))
		for _, table := range []string{"one", "two", "three"} {
			load(t, c, bloated(table, "2000")...)
		}
	}
	return name
}

func TestContract(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(serverURL(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	var arranged sync.Map // the database of a test by the test's name
	fixture := func(name string, change func(o *pgvacuum.Options)) jobstest.Fixture {
		return jobstest.Fixture{
			Name: name, Effects: true, Secrets: []string{password},
			Arrange: func(t *testing.T, root string, options any, deps *jobstest.Deps) {
				name := contractDatabase(t, root)
				arranged.Store(t.Name(), name)
				deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(serverURL(t, name))})
				o := jobstest.Options[pgvacuum.Options](t, options)
				o.Database, o.ExcludeTables = unit.Names{"main"}, []string{"pg_catalog.*", "information_schema.*"}
				if change != nil {
					change(o)
				}
			},
			World: func(t *testing.T) any {
				name, ok := arranged.Load(t.Name())
				if !ok {
					t.Fatalf("%s has no database", t.Name())
				}
				return world(t, serverURL(t, fmt.Sprint(name)))
			},
			Settled: func(t *testing.T, root string) {
				for _, line := range world(t, serverURL(t, contractDatabase(t, root))) {
					if fields := strings.Fields(line); fields[8] != "0" { // dead rows
						t.Errorf("not vacuumed: %s", line)
					}
				}
			},
		}
	}
	failing := func(f jobstest.Fixture, with string) jobstest.Fixture {
		f.Fails, f.Effects, f.Settled = with, false, nil
		return f
	}
	wrong := fixture("wrong password", nil)
	arrange := wrong.Arrange
	wrong.Arrange = func(t *testing.T, root string, options any, deps *jobstest.Deps) {
		arrange(t, root, options, deps)
		deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(strings.Replace(serverURL(t, "postgres"), password, "wrong:p@ss", 1))})
	}
	wrong.Secrets = append(wrong.Secrets, "wrong:p@ss")
	analyzing := fixture("analyze", func(o *pgvacuum.Options) { o.Mode = "analyze" })
	analyzing.Settled = nil
	jobstest.Exercise(t, pgvacuum.Kind(),
		fixture("vacuum", nil),
		analyzing,
		failing(wrong, "password authentication failed"),
	)
}
