package pgvacuum_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// TestConnectionLost: when the way to the server breaks, the run fails, and the
// statement on the server ends although nobody is there to cancel it.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	b, _, c := twoTables(t, "ACCESS EXCLUSIVE")
	b.options.LockTimeout, b.options.SkipLocked = unit.Duration(time.Hour), false
	way := pgtest.NewProxy(t, b.url)
	b.url = way.URL
	done := b.begin(t.Context())
	b.worker(c)
	way.Close()
	o := <-done
	if o.err == nil || o.result.Values["tables_left"] != 2 || !strings.Contains(o.err.Error(), "lost") {
		t.Errorf("%v, values %v", o.err, o.result.Values)
	}
	b.noWork(c)
}

// TestPooler: a pooler that lends connections for one transaction is refused.
func TestPooler(t *testing.T) {
	t.Parallel()
	b := newBench(t, bloated("orders", "5000")...)
	before := world(t, b.url)
	b.url = pgtest.NewPooler(t, b.url, pgtest.ByTransaction)
	_, err := b.run(t.Context())
	if !refused(err) || !strings.Contains(err.Error(), "connection pooler") || !strings.Contains(jobs.HintOf(err), "direct address") {
		t.Errorf("%v", err)
	}
	if after := world(t, pgtest.URL(t, b.name)); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("before %q, after %q", before, after)
	}
}
