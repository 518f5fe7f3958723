package service_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/secret"
)

// everySecond is a workflow of two jobs that is due each second; the first says
// what it did outside of the ledger.
const everySecond = `  tick:
    schedule: {every: 1s}
    overlap: allow
    catch_up: {run: all, within: 1h, max: 1000}
    jobs:
      one: {kind: script, with: {run: 'echo "$UPKEEP_RUN_ID one $UPKEEP_ATTEMPT" >> %[2]s/ticks'}}
      two: {kind: script, needs: [one], with: {run: 'sleep 0.3'}}
`

// TestNodes_Failover: the primary of the ledger is killed and its synchronous
// standby promoted. Both nodes go on by themselves; what was confirmed is there,
// each slot has one run, and no job is done again whose success was on record.
func TestNodes_Failover(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, until string }{
		{"before leases end", "the lease could not be renewed yet"},
		{"after leases have ended", "this node lost its lease"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			testFailover(t, tt.until)
		})
	}
}

// testFailover promotes the standby when both nodes have logged something.
func testFailover(t *testing.T, until string) {
	primary := startPrimary(t)
	primary.exec("CREATE DATABASE upkeep ENCODING 'UTF8'")
	standby := startStandby(t, primary)
	dsn := secret.New("postgres://postgres@" + primary.address + "," + standby.address + "/upkeep?sslmode=disable&target_session_attrs=read-write")
	shared := t.TempDir()
	a, b := startNode(t, dsn, "a", shared, everySecond), startNode(t, dsn, "b", shared, everySecond)

	before := ticker{t, primary}
	eventually(t, "runs end on both nodes", func() bool { return before.ended(0) > 3 })
	confirmed := before.succeeded()
	primary.kill()
	died := time.Now()
	for _, n := range []*node{a, b} {
		n.logs(until)
	}
	standby.must("pg_ctl", "promote", "-D", standby.data(), "-w")
	promoted := time.Now()
	after := ticker{t, standby}
	eventually(t, "both nodes go on", func() bool { return after.wellSince(promoted) == 2 })
	t.Logf("promoted %s after the death of the primary; both nodes had ended a new run %s after that", promoted.Sub(died).Round(time.Millisecond), time.Since(promoted).Round(time.Millisecond))
	began := promoted.UnixMicro()
	eventually(t, "what was due meanwhile has run", func() bool { return after.open(began) == 0 })

	if lost := missing(confirmed, after.succeeded()); len(lost) > 0 {
		t.Errorf("%d of %d successes that were confirmed are lost: %v", len(lost), len(confirmed), lost)
	}
	after.checkSlots()
	after.checkRepeats()
	for _, n := range []*node{a, b} {
		select {
		case <-n.ended:
			t.Errorf("%s has ended", n.name)
		default:
		}
	}
	t.Logf("%d successes were confirmed before, %d after; %d jobs began", len(confirmed), len(after.succeeded()), strings.Count(read(t, shared, "ticks"), "\n"))
}

// ticker looks at the runs of tick on a server.
type ticker struct {
	t *testing.T
	s *server
}

// ask answers a question with rows of text.
func ask[T any](k ticker, query string, args ...any) []T {
	k.t.Helper()
	ctx := context.WithoutCancel(k.t.Context())
	c, err := pgx.Connect(ctx, k.s.url("upkeep"))
	if err != nil {
		k.t.Fatal(err)
	}
	defer hangUp(c)
	rows, err := c.Query(ctx, query, args...)
	if err != nil {
		k.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		k.t.Fatal(err)
	}
	return list
}

// ended counts the runs that succeeded after an instant.
func (k ticker) ended(after int64) int {
	return ask[int](k, "SELECT count(*) FROM upkeep.runs WHERE state = 'succeeded' AND started_at > $1", after)[0]
}

// wellSince counts the nodes on which a run began after an instant and succeeded.
func (k ticker) wellSince(at time.Time) int {
	return ask[int](k, "SELECT count(DISTINCT node) FROM upkeep.runs WHERE state = 'succeeded' AND started_at > $1", at.UnixMicro())[0]
}

// open counts the runs of slots up to an instant that have not ended.
func (k ticker) open(until int64) int {
	return ask[int](k, "SELECT count(*) FROM upkeep.runs WHERE state IN ('queued', 'running') AND slot <= $1", until)[0]
}

// succeeded names the attempts that are on record as succeeded.
func (k ticker) succeeded() []string {
	return ask[string](k, "SELECT run || ' ' || job || ' ' || number FROM upkeep.attempts WHERE state = 'succeeded' ORDER BY 1")
}

// checkSlots looks that each second has one run.
func (k ticker) checkSlots() {
	k.t.Helper()
	slots := ask[int64](k, "SELECT slot FROM upkeep.runs ORDER BY slot")
	if len(slots) < 5 {
		k.t.Errorf("%d slots", len(slots))
	}
	for i := 1; i < len(slots); i++ {
		if gap := time.Duration(slots[i]-slots[i-1]) * time.Microsecond; gap != time.Second {
			k.t.Errorf("between the slots %s and the one before are %s", time.UnixMicro(slots[i]).UTC(), gap)
		}
	}
}

// checkRepeats looks that no job began again after a success.
func (k ticker) checkRepeats() {
	k.t.Helper()
	again := ask[string](k, `SELECT a.run || ' ' || a.job || ' ' || a.number FROM upkeep.attempts a
		WHERE EXISTS (SELECT 1 FROM upkeep.attempts s WHERE s.run = a.run AND s.job = a.job AND s.state = 'succeeded' AND s.number < a.number)`)
	if len(again) > 0 {
		k.t.Errorf("jobs were done again after a success: %v", again)
	}
}

// missing is what of want is not in got.
func missing(want, got []string) (lost []string) {
	there := map[string]bool{}
	for _, g := range got {
		there[g] = true
	}
	for _, w := range want {
		if !there[w] {
			lost = append(lost, w)
		}
	}
	return lost
}

// read is a file that jobs wrote to.
func read(t *testing.T, shared, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(shared, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
