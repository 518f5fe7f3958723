package local_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/queue/local"
)

// backlog is a list of pending runs.
type backlog struct {
	ids   []runner.RunID
	err   error
	reads int
}

func (b *backlog) Pending(_ context.Context, after runner.RunID, limit int) ([]runner.RunID, error) {
	b.reads++
	at := slices.Index(b.ids, after) + 1
	return b.ids[at:min(at+limit, len(b.ids))], b.err
}

func ids(from, to int) []runner.RunID {
	var out []runner.RunID
	for i := from; i < to; i++ {
		out = append(out, runner.RunID(fmt.Sprintf("run-%06d", i)))
	}
	return out
}

// diary is a handler that notes what it is handed.
type diary struct {
	mu    sync.Mutex
	began []runner.RunID
	now   map[runner.RunID]bool
	most  int
	take  time.Duration
	twice bool
}

func (d *diary) handle(ctx context.Context, id runner.RunID) {
	d.mu.Lock()
	d.began = append(d.began, id)
	if d.now == nil {
		d.now = map[runner.RunID]bool{}
	}
	d.twice = d.twice || d.now[id]
	d.now[id] = true
	d.most = max(d.most, len(d.now))
	d.mu.Unlock()
	select {
	case <-time.After(d.take):
	case <-ctx.Done():
	}
	d.mu.Lock()
	delete(d.now, id)
	d.mu.Unlock()
}

// start works until stop is called, which waits.
func start(t *testing.T, q *local.Queue, h func(context.Context, runner.RunID)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- q.Work(ctx, h) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Work: %v", err)
		}
	}
}

func deliver(t *testing.T, q *local.Queue, ids ...runner.RunID) {
	t.Helper()
	if err := q.Deliver(t.Context(), ids...); err != nil {
		t.Fatalf("Deliver: %v", err)
	}
}

func TestQueue_OrderAndSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backlog{ids: ids(0, 1200)}
		q := local.New(local.Options{Backlog: b, Slots: 1})
		d := &diary{}
		deliver(t, q, ids(1198, 1205)...)
		stop := start(t, q, d.handle)
		synctest.Wait()
		deliver(t, q, ids(1205, 1210)...)
		synctest.Wait()
		stop()
		if diff := cmp.Diff(ids(0, 1210), d.began); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		if d.most != 1 || b.reads != 3 {
			t.Errorf("%d at once, %d reads of the backlog", d.most, b.reads)
		}
	})
}

func TestQueue_ParallelAndNoPolling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backlog{}
		q := local.New(local.Options{Backlog: b, Slots: 4})
		d := &diary{take: time.Second}
		stop := start(t, q, d.handle)
		began := time.Now()
		deliver(t, q, ids(0, 20)...)
		time.Sleep(5*time.Second - time.Nanosecond)
		synctest.Wait()
		if len(d.began) != 20 || d.most != 4 {
			t.Errorf("%d runs, %d at once, after %s", len(d.began), d.most, time.Since(began))
		}
		time.Sleep(time.Hour)
		stop()
		if b.reads != 1 {
			t.Errorf("%d reads of the backlog: the queue polls", b.reads)
		}
	})
}

func TestQueue_DeliveredAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := local.New(local.Options{Backlog: &backlog{}, Slots: 4})
		d := &diary{take: time.Second}
		deliver(t, q, "a", "a")
		stop := start(t, q, d.handle)
		synctest.Wait()
		deliver(t, q, "a")
		deliver(t, q, "a", "b")
		time.Sleep(10 * time.Second)
		stop()
		// Twice before the work is one run; while it is handled, one more.
		if diff := cmp.Diff([]runner.RunID{"a", "b", "a"}, d.began); diff != "" || d.twice {
			t.Errorf("handled (-want +got), at the same time: %t\n%s", d.twice, diff)
		}
	})
}

func TestQueue_Drain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := local.New(local.Options{Backlog: &backlog{}, Slots: 2})
		d := &diary{take: time.Minute}
		stop := start(t, q, d.handle)
		deliver(t, q, ids(0, 5)...)
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took != 59*time.Second {
			t.Errorf("drained in %s, want the rest of the minute", took)
		}
		if len(d.began) != 2 {
			t.Errorf("%d runs were begun, want only the two that ran", len(d.began))
		}
		deliver(t, q, "late")
		if err := q.Work(t.Context(), d.handle); err == nil {
			t.Error("Work was called twice without an error")
		}
	})
}

func TestQueue_Hold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := local.New(local.Options{Backlog: &backlog{ids: ids(0, 3)}, Slots: 1})
		d := &diary{take: time.Minute}
		stop := start(t, q, d.handle)
		synctest.Wait()
		q.Hold()
		deliver(t, q, ids(3, 5)...)
		if q.Running() != 1 || q.Waiting() != 4 {
			t.Errorf("%d running, %d waiting; want 1 and 4", q.Running(), q.Waiting())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(d.began) != 1 || q.Running() != 0 || q.Waiting() != 4 {
			t.Errorf("held: %d begun, %d running, %d waiting", len(d.began), q.Running(), q.Waiting())
		}
		q.Hold()
		q.Resume()
		time.Sleep(time.Hour)
		stop()
		if diff := cmp.Diff(ids(0, 5), d.began); diff != "" || q.Waiting() != 0 {
			t.Errorf("after Resume, %d waiting (-want +got):\n%s", q.Waiting(), diff)
		}
	})
}

func TestQueue_Interrupt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		base, force := context.WithCancelCause(t.Context())
		q := local.New(local.Options{Backlog: &backlog{}, Slots: 8, Base: base})
		var mu sync.Mutex
		causes := map[runner.RunID]error{}
		stop := start(t, q, func(ctx context.Context, id runner.RunID) {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			causes[id] = context.Cause(ctx)
		})
		deliver(t, q, "a", "b")
		synctest.Wait()
		if !q.Interrupt("a", &runner.CanceledError{By: "anna"}) || q.Interrupt("c", runner.ErrShutdown) {
			t.Error("Interrupt does not know what is handled")
		}
		synctest.Wait()
		if q.Interrupt("a", runner.ErrShutdown) {
			t.Error("Interrupt found a run whose handler has returned")
		}
		force(runner.ErrShutdown)
		stop()
		if causes["a"].Error() != "canceled by anna" || !errors.Is(causes["b"], runner.ErrShutdown) {
			t.Errorf("causes: %v", causes)
		}
	})
}

func TestQueue_BacklogUnreadable(t *testing.T) {
	t.Parallel()
	away := errors.New("disk I/O error")
	q := local.New(local.Options{Backlog: &backlog{err: away}})
	err := q.Work(t.Context(), func(context.Context, runner.RunID) { t.Error("something was handled") })
	if !errors.Is(err, away) {
		t.Errorf("Work: %v, want the backlog's error", err)
	}
}

// Who is asked to end before the beginning ends well.
func TestQueue_EndsBeforeItBegan(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := local.New(local.Options{Backlog: &backlog{err: context.Canceled}})
	if err := q.Work(ctx, func(context.Context, runner.RunID) {}); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
