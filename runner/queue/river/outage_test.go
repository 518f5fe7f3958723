package river_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/queue/river"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// The database goes away and comes back while runs are handled: the queue goes
// on by itself, and says so once.
func TestQueue_Outage(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	g, through := ledgertest.StartNetwork(t, secret.New(address))
	a := o.newPost(t, through.Reveal(), "a", 2)
	// In order to deliver while the way of a is shut.
	b := o.newPost(t, address, "b", 1)
	done := make(chan struct{})
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { close(done) }) })
	a.handle = func(_ context.Context, id runner.RunID) {
		if strings.HasPrefix(string(id), "long") {
			<-done
		}
	}
	a.work()
	a.deliver(o.record("long", 1, "")...)
	awaitBegun(t, 1, a)
	for outage := range 3 {
		g.Close()
		ids := o.record("away"+string(rune('0'+outage)), 5, "")
		if err := a.Deliver(t.Context(), ids...); err == nil {
			t.Error("a delivery succeeded without the database")
		}
		b.deliver(ids...)
		g.Open()
		// The listener connects again and looks into every queue.
		awaitBegun(t, 1+5*(outage+1), a)
	}
	// Sessions that the server ends are replaced as well.
	end, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end.Close(context.WithoutCancel(t.Context())) })
	for round := range 3 {
		exec(t, end, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		b.deliver(o.record("killed"+string(rune('0'+round)), 5, "")...)
		awaitBegun(t, 16+5*(round+1), a)
	}
	once.Do(func() { close(done) })
	a.end()
	if began, now := a.runs(); len(began) != 31 || now != 0 || a.twice {
		t.Errorf("%d runs, %d not ended, one twice at once: %t", len(began), now, a.twice)
	}
	warned := a.journal.of("WARN")
	if len(warned) == 0 || len(warned) > 3 {
		t.Errorf("six outages are told in %d lines: %s", len(warned), strings.Join(warned, ""))
	}
	t.Logf("told:\n%s", strings.Join(warned, ""))
}

// A queue begins to work when the database comes back.
func TestQueue_BeginsInAnOutage(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	g, through := ledgertest.StartNetwork(t, secret.New(address))
	a := o.newPost(t, through.Reveal(), "a", 2)
	o.record("run", 3, "")
	g.Close()
	a.work()
	await(t, "word of the outage", func() bool { return len(a.journal.of("WARN")) > 0 })
	g.Open()
	// Nothing delivers these runs but the pick-up at the beginning.
	awaitBegun(t, 3, a)
	a.end()
}

// What was taken by a statement whose answer is lost is delivered again.
func TestQueue_LostFetch(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	g, through := ledgertest.StartNetwork(t, secret.New(address))
	a := o.newPost(t, through.Reveal(), "a", 1).work()
	b := o.newPost(t, address, "b", 1)
	ids := o.record("run", 1, "")
	g.LoseInstead("DELETE 1\x00")
	b.deliver(ids...)
	await(t, "the answer to be lost", func() bool { return g.Lost.Load() == 1 })
	if n := waiting(t, b); n != 0 {
		t.Fatalf("%d pointers wait: the fetch was not made", n)
	}
	b.deliver(ids...) // as the sweep does
	awaitBegun(t, 1, a)
	a.end()
	if began, _ := a.runs(); len(began) != 1 {
		t.Errorf("%v began", began)
	}
}

// Nodes that start together on a new database make its tables once; one of a
// newer version does not disturb an older one.
func TestNew_Together(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	var starts sync.WaitGroup
	for range 6 {
		starts.Go(func() {
			_, err := river.New(t.Context(), river.Options{Ledger: o, Pool: pool(t, address), Node: "a", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Errorf("New: %v", err)
			}
		})
	}
	starts.Wait()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	if n := ask[int64](t, conn, "SELECT count(*) - count(DISTINCT version) FROM upkeep.river_migration"); n[0] != 0 {
		t.Errorf("%d migrations were applied twice", n[0])
	}
	if n := ask[int64](t, conn, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'river%' AND schemaname <> 'upkeep'"); n[0] != 0 {
		t.Errorf("%d tables of River are outside the schema", n[0])
	}
	exec(t, conn, "INSERT INTO upkeep.river_migration (line, version) VALUES ('main', 999)")
	a := o.newPost(t, address, "a", 1).work()
	a.deliver(o.record("run", 1, "")...)
	awaitBegun(t, 1, a)
}

// What leads nowhere is removed, also what no upkeep wrote.
func TestQueue_Tidy(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	a := o.newPost(t, address, "a", 1)
	ids := append(o.record("old", 2, runner.OnNode("gone")), o.record("new", 1, runner.OnNode("gone"))...)
	a.deliver(ids...)
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	exec(t, conn,
		"UPDATE upkeep.river_job SET created_at = now() - interval '25 hours' WHERE args->>'run' LIKE 'old%'",
		`INSERT INTO upkeep.river_job (kind, args, max_attempts, queue) VALUES ('run', '{"run": 7}', 1, 'any')`,
		"INSERT INTO upkeep.river_queue (name, updated_at) VALUES ('node-older', now() - interval '8 days'), ('node-newer', now())",
	)
	for _, id := range ids[:2] {
		o.end(id)
	}
	a.work()
	await(t, "old pointers to go", func() bool { return waiting(t, a) == 1 })
	await(t, "old queues to go", func() bool {
		return ask[int64](t, conn, "SELECT count(*) FROM upkeep.river_queue WHERE name = 'node-older'")[0] == 0
	})
	if n := ask[int64](t, conn, "SELECT count(*) FROM upkeep.river_queue WHERE name = 'node-newer'"); n[0] != 1 {
		t.Error("a queue in use is gone")
	}
	// The broken pointer took no slot with it.
	a.deliver(o.record("run", 1, "")...)
	awaitBegun(t, 1, a)
}
