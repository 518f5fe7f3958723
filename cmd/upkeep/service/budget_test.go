package service_test

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// mostConnections is what docs/cluster.md promises of a service.
const mostConnections = 11

// budgets are workflows for TestNodes_Budget: many short runs at once, and one
// that writes a megabyte a second, in lines.
const budgets = `  many:
    overlap: allow
    jobs:
      one: {kind: script, with: {run: 'head -c 200000 /dev/urandom | base64; sleep 0.2'}}
      two: {kind: script, needs: [one], with: {run: 'sleep 0.1'}}
  loud:
    jobs:
      shout:
        kind: script
        with:
          run: |
            for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40; do
              head -c 75000 /dev/urandom | base64
              sleep 0.1
            done
max_running: 16
`

// TestNodes_Budget: a service under load takes no more connections of its server
// than it may, and what a loud job shows to other nodes is bounded in rows and
// bytes, and nearly nothing in the server's log.
func TestNodes_Budget(t *testing.T) {
	t.Parallel()
	s := startPrimary(t)
	s.exec("CREATE DATABASE upkeep ENCODING 'UTF8'")
	n := startNode(t, secret.New(s.url("upkeep")), "a", t.TempDir(), budgets)
	k := ticker{t, s}
	var ids []runner.RunID
	for range 60 {
		ids = append(ids, n.starts("many"))
	}
	most := 0
	eventually(t, "all runs end", func() bool {
		most = max(most, ask[int](k, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'upkeep/a'")[0])
		return ask[int](k, "SELECT count(*) FROM upkeep.runs WHERE state = 'succeeded'")[0] == len(ids)
	})
	t.Logf("under load the service had %d connections at most", most)
	if most > mostConnections || most < 4 {
		t.Errorf("%d connections, want 4 to %d", most, mostConnections)
	}

	before, began := ask[int64](k, "SELECT CAST(pg_current_wal_lsn() - '0/0' AS bigint)")[0], time.Now()
	loud := n.starts("loud")
	var rows, bytes int
	eventually(t, "the loud run ends", func() bool {
		rows = max(rows, ask[int](k, "SELECT count(*) FROM upkeep.live_outputs WHERE run = $1", loud)[0])
		bytes = max(bytes, ask[int](k, "SELECT CAST(coalesce(sum(length(bytes)), 0) AS int) FROM upkeep.live_outputs WHERE run = $1", loud)[0])
		return ask[int](k, "SELECT count(*) FROM upkeep.runs WHERE id = $1 AND state = 'succeeded'", loud)[0] == 1
	})
	took := time.Since(began).Seconds()
	wal := ask[int64](k, "SELECT CAST(pg_current_wal_lsn() - '0/0' AS bigint)")[0] - before
	wrote := ask[int64](k, "SELECT output_bytes FROM upkeep.attempts WHERE run = $1", loud)[0]
	t.Logf("a job wrote %.1f MB in %.1f s: at most %d rows with %d KiB were shown of it; the server logged %d KiB, %.0f KiB of it for what is kept",
		float64(wrote)/1e6, took, rows, bytes>>10, wal>>10, float64(ask[int64](k, "SELECT CAST(sum(pg_column_size(o.*)) AS bigint) FROM upkeep.outputs o WHERE run = $1", loud)[0])/1024)
	if bytes == 0 || bytes > 400<<10 || rows > 100 {
		t.Errorf("%d rows with %d bytes were shown", rows, bytes)
	}
	// Of all that it wrote at most 1 MiB is kept.
	if wal > wrote {
		t.Errorf("for %d bytes that a job wrote the server logged %d", wrote, wal)
	}
}
