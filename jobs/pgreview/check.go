package pgreview

import (
	"context"
	"strings"
)

// check is one question that a review asks.
type check struct {
	// name is its word in options, and the beginning of the ids of its
	// findings; doc says what it finds.
	name, doc string
	// since is the number of the first version that can answer it.
	since int
	// primary tells that a standby does not know the answer.
	primary bool
	// counts tells that the answer comes from the server's counters.
	counts bool
	// ask finds, inside a transaction that can only read. An error leaves the
	// check unseen, beside what it found until then.
	ask func(ctx context.Context, r *review) error
}

// checks are all checks in the order in which they are asked: first what ends
// in an outage.
func checks() []check {
	return []check{
		{name: "wraparound", doc: "databases and tables whose oldest transaction id is too old", ask: askWraparound},
		{name: "sequences", doc: "sequences near their end, or near that of the column that they feed", since: 100000, ask: askSequences},
		{name: "integer_keys", doc: "indexed smallint and integer keys near the end of their type, and narrower than the key that they refer to", primary: false, ask: askIntegerKeys},
		{name: "settings", doc: "settings that endanger the data, and those that wait for a restart", ask: askSettings},
		{name: "checksums", doc: "pages that were read with a wrong checksum", since: 120000, ask: askChecksums},
		{name: "archiver", doc: "write-ahead log that could not be archived", primary: true, ask: askArchiver},
		{name: "replication_slots", doc: "slots that nobody uses or that retain much write-ahead log", ask: askSlots},
		{name: "connections", doc: "connections against the limits of server, database and role", ask: askConnections},
		{name: "pools", doc: "configured pools against what the server allows", ask: askPools},
		{name: "transactions", doc: "old transactions, sessions idle in one, prepared transactions, sessions without work", ask: askTransactions},
		{name: "collations", doc: "collations whose version has changed, so that indexes may be in the wrong order", since: 100000, ask: askCollations},
		{name: "invalid_indexes", doc: "indexes that are not valid", ask: askInvalid},
		{name: "duplicate_indexes", doc: "indexes that equal another one", ask: askDuplicates},
		{name: "prefix_indexes", doc: "indexes that another one begins with", ask: askPrefixes},
		{name: "unused_indexes", doc: "indexes that nothing reads", counts: true, ask: askUnused},
		{name: "foreign_keys", doc: "foreign keys without an index on the referring side", ask: askForeignKeys},
		{name: "never_analyzed", doc: "tables without statistics", primary: true, ask: askNeverAnalyzed},
		{name: "bloat", doc: "tables and B-tree indexes with much estimated empty room", ask: askBloat},
		{name: "sequential_scans", doc: "large tables that are often read as a whole", counts: true, ask: askSequentialScans},
		{name: "statements", doc: "statements that take most time, are slow, or have become slower", ask: askStatements},
		{name: "cache_hit", doc: "the share of blocks found in the server's own memory", counts: true, ask: askCacheHit},
		{name: "temp_files", doc: "temporary files of sorts and joins that did not fit into work_mem", counts: true, ask: askTemporaryFiles},
		{name: "deadlocks", doc: "deadlocks since the run before", counts: true, ask: askDeadlocks},
		{name: "checkpoints", doc: "checkpoints that the amount of writing forced", primary: true, ask: askCheckpoints},
	}
}

// checkNames lists the words for checks.
func checkNames() []string {
	var names []string
	for _, c := range checks() {
		names = append(names, c.name)
	}
	return names
}

// documentation is doc with the list of checks.
func documentation() string {
	var list strings.Builder
	for _, c := range checks() {
		list.WriteString("\n- `" + c.name + "`: " + c.doc)
	}
	return strings.Replace(doc, " CHECKS", "\n"+list.String(), 1)
}
