package pgvacuum_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
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
	return pgtest.Look[string](t, address, facts)
}

func TestContract(t *testing.T) {
	t.Parallel()
	worlds := pgtest.NewWorlds("vacuum_contract", slices.Concat(bloated("one", "2000"), bloated("two", "2000"), bloated("three", "2000"))...)
	vacuum := jobstest.Fixture{
		Name: "vacuum", Effects: true, Secrets: []string{pgtest.Password(t)},
		Arrange: func(t *testing.T, root string, options any, deps *jobstest.Deps) {
			worlds.Arrange(t, root, deps)
			o := jobstest.Options[pgvacuum.Options](t, options)
			o.Database, o.ExcludeTables = unit.Names{pgtest.Main}, []string{"pg_catalog.*", "information_schema.*"}
		},
		World: func(t *testing.T) any { return world(t, worlds.Of(t)) },
		Settled: func(t *testing.T, root string) {
			for _, line := range world(t, worlds.At(t, root)) {
				if fields := strings.Fields(line); fields[8] != "0" { // dead rows
					t.Errorf("not vacuumed: %s", line)
				}
			}
		},
	}
	analyze := vacuum
	analyze.Name, analyze.Settled = "analyze", nil
	analyze.Arrange = func(t *testing.T, root string, options any, deps *jobstest.Deps) {
		vacuum.Arrange(t, root, options, deps)
		jobstest.Options[pgvacuum.Options](t, options).Mode = "analyze"
	}
	jobstest.Exercise(t, pgvacuum.Kind(), vacuum, analyze, pgtest.WrongPassword(vacuum))
}
