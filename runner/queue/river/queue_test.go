package river_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/runner"
)

// No run waits on a node that has no free slot while another one is idle.
func TestQueue_Share(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	a, b := o.newPost(t, address, "a", 1), o.newPost(t, address, "b", 1)
	held := make(chan struct{})
	var once sync.Once
	for _, p := range []*post{a, b} {
		p.handle = func(context.Context, runner.RunID) { <-held }
		p.work()
	}
	release := func() { once.Do(func() { close(held) }) }
	t.Cleanup(release)
	// Each of the two can only begin where the other is not.
	a.deliver(o.record("first", 2, "")...)
	awaitBegun(t, 2, a, b)
	release()
	for _, p := range []*post{a, b} {
		if began, _ := p.runs(); len(began) != 1 {
			t.Errorf("%s began %v, want one run each", p.name, began)
		}
		p.mu.Lock()
		p.handle = func(context.Context, runner.RunID) { time.Sleep(100 * time.Millisecond) }
		p.mu.Unlock()
	}
	began := time.Now()
	a.deliver(o.record("second", 20, "")...)
	awaitBegun(t, 22, a, b)
	await(t, "the end", func() bool { _, x := a.runs(); _, y := b.runs(); return x+y == 0 })
	took := time.Since(began)
	var all []runner.RunID
	for _, p := range []*post{a, b} {
		did, _ := p.runs()
		if p.most > 1 || len(did) == 1 {
			t.Errorf("%s did %d runs, %d at once", p.name, len(did), p.most)
		}
		all = append(all, did...)
		p.end()
	}
	slices.Sort(all)
	if len(all) != 22 || len(slices.Compact(all)) != 22 {
		t.Errorf("%d handovers of 22 runs", len(all))
	}
	t.Logf("20 runs of 100 ms on two nodes of one slot: %s, %.0f%% of the time at work", took.Round(time.Millisecond), 100*1000/float64(took.Milliseconds()))
}

// All queues of a node share its slots, and nothing in any of them is forgotten:
// nothing but the queue itself looks for runs here, and that once a minute.
func TestQueue_SlotsOfAllQueues(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	p := o.newPost(t, address, "a", 3, "db", "gpu")
	p.handle = func(context.Context, runner.RunID) { time.Sleep(time.Millisecond) }
	p.work()
	var deliveries sync.WaitGroup
	for i, target := range []runner.Target{"", runner.OnNode("a"), runner.OnLabel("db"), runner.OnLabel("gpu")} {
		ids := o.record(fmt.Sprint("q", i), 100, target)
		deliveries.Go(func() {
			for some := range slices.Chunk(ids, 1+i*10) {
				if err := p.Deliver(t.Context(), some...); err != nil {
					t.Errorf("deliver: %v", err)
				}
			}
		})
	}
	deliveries.Wait()
	distinct := func() int {
		// What is pending at the beginning may be delivered twice.
		began, _ := p.runs()
		slices.Sort(began)
		return len(slices.Compact(began))
	}
	await(t, "all runs", func() bool { return distinct() == 400 })
	p.end()
	if _, now := p.runs(); p.most > 3 || now != 0 || p.twice {
		t.Errorf("%d at once, %d not ended, one twice at once: %t", p.most, now, p.twice)
	}
}

func TestQueue_Targets(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	odd := "Größe/Ünï.example.com with spaces and more than forty bytes of name"
	a := o.newPost(t, address, "a", 4, "db").work()
	b := o.newPost(t, address, odd, 4, odd).work()
	want := map[runner.RunID]*post{}
	var ids []runner.RunID
	for i, f := range []struct {
		target runner.Target
		by     *post
	}{
		{runner.OnNode("a"), a},
		{runner.OnLabel("db"), a},
		{runner.OnNode(odd), b},
		{runner.OnLabel(odd), b},
		{runner.OnNode("db"), nil},
		{runner.OnLabel("a"), nil},
	} {
		id := o.record(fmt.Sprint("target", i), 1, f.target)[0]
		ids = append(ids, id)
		if f.by != nil {
			want[id] = f.by
		}
	}
	b.deliver(ids...)
	awaitBegun(t, len(want), a, b)
	for id, p := range want {
		if began, _ := p.runs(); !slices.Contains(began, id) {
			t.Errorf("%s did not begin %s", p.name, id)
		}
	}
	// What nobody may take waits for somebody.
	late := o.newPost(t, address, "db", 1, "a")
	if n := late.Waiting(); n != 2 {
		t.Errorf("%d runs wait for the absent node, want 2", n)
	}
	late.work()
	awaitBegun(t, 2, late)
}

func TestQueue_Hold(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	a, b := o.newPost(t, address, "a", 2), o.newPost(t, address, "b", 2)
	done := make(chan struct{})
	a.handle = func(context.Context, runner.RunID) { <-done }
	a.work()
	a.deliver(o.record("running", 1, "")...)
	awaitBegun(t, 1, a)
	a.hold()
	a.hold()
	own := o.record("own", 2, runner.OnNode("a"))
	a.deliver(slices.Concat(own, o.record("any", 2, ""))...)
	if a.Running() != 1 || a.Waiting() != 4 {
		t.Errorf("held: %d running, %d waiting, want 1 and 4", a.Running(), a.Waiting())
	}
	// A node that is not held takes what is for any.
	b.work()
	awaitBegun(t, 2, b)
	close(done)
	await(t, "the end of what ran", func() bool { return a.Running() == 0 })
	if began, _ := a.runs(); len(began) != 1 {
		t.Errorf("held, it began %v", began)
	}
	a.Resume()
	awaitBegun(t, 3, a)
	a.end()
	began, _ := a.runs()
	slices.Sort(began) // two began together
	if diff := cmp.Diff(slices.Concat(own, []runner.RunID{"running-0000"}), began); diff != "" {
		t.Errorf("after Resume (-want +got):\n%s", diff)
	}
}

func TestQueue_DeliveredAgain(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	a := o.newPost(t, address, "a", 2)
	id := o.record("run", 1, "")[0]
	// Twice before the work is one run.
	a.deliver(id, id)
	a.deliver(id)
	if n := waiting(t, a); n != 1 {
		t.Errorf("%d pointers wait, want one", n)
	}
	next := make(chan struct{})
	var calls, now atomic.Int32
	ctx, leave := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() {
		over <- a.Work(ctx, func(context.Context, runner.RunID) {
			if now.Add(1) > 1 {
				t.Error("the run is handled twice at the same time")
			}
			defer now.Add(-1)
			if calls.Add(1) == 2 {
				o.end(id)
			}
			<-next
		})
	}()
	await(t, "the run to begin", func() bool { return calls.Load() == 1 })
	// While it is handled it is taken once more, and handed over after that,
	// because it is still open.
	a.deliver(id)
	await(t, "the second pointer to be taken", func() bool { return waiting(t, a) == 0 })
	next <- struct{}{}
	await(t, "the second handover", func() bool { return calls.Load() == 2 })
	// A run that is not open any more is not delivered.
	a.deliver(id)
	close(next)
	leave()
	if err := <-over; err != nil {
		t.Errorf("Work: %v", err)
	}
	if n := waiting(t, a); n != 0 || calls.Load() != 2 {
		t.Errorf("%d pointers are left after %d handovers", n, calls.Load())
	}
	if err := a.Work(t.Context(), func(context.Context, runner.RunID) {}); err == nil {
		t.Error("Work was called twice without an error")
	}
}

// A sweep that names all that waits writes nothing for what has its pointer; a
// run under a new epoch gets a new one.
func TestQueue_DeliveredInBulk(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	a := o.newPost(t, address, "a", 1)
	ids := o.record("run", 1500, runner.OnNode("absent"))
	a.deliver(ids...)
	written := func() (rows, transactions int) {
		t.Helper()
		if err := a.pool.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT CAST(xmin AS text)) FROM river_job").Scan(&rows, &transactions); err != nil {
			t.Fatal(err)
		}
		return rows, transactions
	}
	if rows, transactions := written(); rows != 1500 || transactions != 2 {
		t.Fatalf("%d pointers of %d transactions, want 1500 of 2", rows, transactions)
	}
	slices.Reverse(ids)
	a.deliver(ids...)
	if rows, transactions := written(); rows != 1500 || transactions != 2 {
		t.Errorf("after a second delivery %d pointers of %d transactions", rows, transactions)
	}
	o.mu.Lock()
	o.open[ids[7]] = runner.Delivery{Run: ids[7], Epoch: 2, Target: runner.OnNode("absent")}
	o.mu.Unlock()
	a.deliver(append(ids, o.record("other", 1, "")...)...)
	if rows, transactions := written(); rows != 1502 || transactions != 4 {
		t.Errorf("after a third delivery %d pointers of %d transactions, want 1502 of 4", rows, transactions)
	}
}

// waiting counts the pointers that are in the table now.
func waiting(t *testing.T, p *post) int {
	t.Helper()
	var n int
	if err := p.pool.QueryRow(t.Context(), "SELECT count(*) FROM river_job").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestQueue_Interrupt(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	a := o.newPost(t, address, "a", 2)
	causes := make(chan error, 1)
	a.handle = func(ctx context.Context, _ runner.RunID) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
	}
	a.work()
	id := o.record("run", 1, "")[0]
	a.deliver(id)
	awaitBegun(t, 1, a)
	if !a.Interrupt(id, runner.ErrSuperseded) || a.Interrupt("other", runner.ErrShutdown) {
		t.Error("Interrupt does not know what is handled")
	}
	if cause := <-causes; !errors.Is(cause, runner.ErrSuperseded) {
		t.Errorf("cause: %v", cause)
	}
	a.end()
	if a.Interrupt(id, runner.ErrShutdown) {
		t.Error("Interrupt found a run whose handler has returned")
	}
}

// What ends takes nothing new, waits for what runs, and hands over what it
// fetched and did not begin.
func TestQueue_Drain(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	a, b := o.newPost(t, address, "a", 2), o.newPost(t, address, "b", 2)
	done := make(chan struct{})
	a.handle = func(context.Context, runner.RunID) { <-done }
	a.work()
	a.deliver(o.record("running", 1, "")...)
	awaitBegun(t, 1, a)

	// The fetch of the next one hangs in the database until the end has begun.
	a.hold()
	a.deliver(o.record("fetched", 1, "")...)
	lock, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close(context.WithoutCancel(t.Context())) })
	exec(t, lock, "BEGIN", "LOCK TABLE upkeep.river_job IN ACCESS EXCLUSIVE MODE")
	a.Resume()
	b.awaitFetch()
	a.leave()
	await(t, "the end to begin", a.Closing)
	exec(t, lock, "COMMIT")
	await(t, "the pointer to be given back", func() bool { return waiting(t, b) == 1 })
	select {
	case err := <-a.over:
		t.Fatalf("it ended with %v while a run was handled", err)
	default:
	}
	b.work()
	awaitBegun(t, 1, b)
	close(done)
	a.end()
	if began, _ := a.runs(); len(began) != 1 {
		t.Errorf("it began %v, want only what ran before the end", began)
	}
	// What is delivered to it now waits for others.
	a.deliver(o.record("late", 1, "")...)
	awaitBegun(t, 2, b)
}

// awaitFetch waits until a fetch from the database hangs at a lock.
func (p *post) awaitFetch() {
	p.t.Helper()
	const fetching = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM river_job WHERE id%' AND datname = current_database()"
	await(p.t, "the fetch", func() bool {
		var n int
		if err := p.pool.QueryRow(p.t.Context(), fetching).Scan(&n); err != nil {
			p.t.Fatal(err)
		}
		return n > 0
	})
}

func exec(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Who is asked to end before the beginning ends well.
func TestQueue_EndsBeforeItBegan(t *testing.T) {
	t.Parallel()
	address, o := database(t), newOffice()
	a := o.newPost(t, address, "a", 2)
	a.deliver(o.record("run", 1, "")...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Work(ctx, a.do); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if waiting(t, a) != 1 {
		t.Error("the pointer is gone")
	}
}
