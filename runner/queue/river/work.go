package river

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	riverqueue "github.com/riverqueue/river"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/queue"
)

// page is how many pending runs are read from the ledger at once.
const page = 500

const (
	// retryEvery is how often the beginning of Work is tried while the database
	// is away.
	retryEvery = time.Second
	// startTries is how often River may fail to start on a database that
	// answers.
	startTries = 3
	// stopTimeout bounds how long River may take to stop: it says goodbye to a
	// database that may be away.
	stopTimeout = 15 * time.Second
	// returnTimeout bounds the giving back of what was fetched and not begun.
	returnTimeout = 5 * time.Second
)

// Work implements queue.Queue. While the database is away it takes nothing, and
// goes on when it is back. Its error says that it was called twice, that the
// backlog could not be read for another reason, or that River did not start;
// nothing was handled then.
func (q *Queue) Work(ctx context.Context, h queue.Handler) error {
	if !q.use(h) {
		return errUsed
	}
	defer q.quiet.hush()
	switch err := q.start(ctx); {
	case err != nil && ctx.Err() != nil:
		return nil // the end came before the beginning
	case err != nil:
		return err
	}
	tidied := make(chan struct{})
	go func() {
		defer close(tidied)
		q.tidy(ctx)
	}()
	<-ctx.Done()
	q.stop(context.WithoutCancel(ctx))
	<-tidied
	q.handlers.Wait()
	return nil
}

func (q *Queue) use(h queue.Handler) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := !q.used
	q.used, q.handler = true, h
	return first
}

// start delivers what is pending and lets River fetch.
func (q *Queue) start(ctx context.Context) error {
	err := q.patiently(ctx, "pick up pending runs", q.pickUp, func(err error) bool { return errors.Is(err, runner.ErrUnavailable) })
	if err != nil {
		return err
	}
	tries := 0
	return q.patiently(ctx, "start the delivery of runs", func(ctx context.Context) error {
		tries++
		// River must outlive ctx: what it has fetched when ctx ends is given back.
		return q.client.Start(context.WithoutCancel(ctx))
	}, func(error) bool { return tries < startTries || q.options.Pool.Ping(ctx) != nil })
}

// patiently tries again while worth tells that it may help.
func (q *Queue) patiently(ctx context.Context, what string, try func(context.Context) error, worth func(error) bool) error {
	for {
		err := try(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || !worth(err):
			return fmt.Errorf("%s: %w", what, err)
		}
		q.quiet.problem(ctx, what, err)
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
		}
	}
}

// pickUp delivers what is pending in the ledger.
func (q *Queue) pickUp(ctx context.Context) error {
	found := 0
	for after := runner.RunID(""); ; {
		ids, err := q.options.Ledger.Pending(ctx, after, page)
		if err != nil {
			return fmt.Errorf("read the backlog: %w", err)
		}
		if err := q.Deliver(ctx, ids...); err != nil {
			return err
		}
		found += len(ids)
		if len(ids) < page {
			break
		}
		after = ids[len(ids)-1]
	}
	if found > 0 {
		q.options.Log.InfoContext(ctx, "picked up pending runs", "count", found)
	}
	return nil
}

// stop takes nothing new, waits until River is gone, and gives back what was
// fetched and did not begin.
func (q *Queue) stop(ctx context.Context) {
	q.mu.Lock()
	q.closing = true
	q.mu.Unlock()
	q.quiet.hush()
	ending, cancel := context.WithTimeoutCause(ctx, stopTimeout, fmt.Errorf("it did not end within %s", stopTimeout))
	defer cancel()
	if err := q.client.Stop(ending); err != nil {
		q.options.Log.WarnContext(ctx, "the delivery of runs did not end in good order", "error", err)
	}
	q.mu.Lock()
	ids := q.returned
	q.returned = nil
	q.mu.Unlock()
	q.giveBack(ctx, ids...)
}

// giveBack delivers runs again that were fetched here and that somebody should
// look at once more.
func (q *Queue) giveBack(ctx context.Context, ids ...runner.RunID) {
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, returnTimeout, fmt.Errorf("the database did not answer for %s", returnTimeout))
	defer cancel()
	if err := q.Deliver(ctx, ids...); err != nil {
		q.options.Log.WarnContext(ctx, "what was fetched could not be given back; the next sweep delivers it", "runs", len(ids), "error", err)
	}
}

// worker passes on what River fetched. It does not wait for the handler, so
// that River is done with a job as soon as it began.
type worker struct {
	riverqueue.WorkerDefaults[pointer]

	queue *Queue
}

// Work implements River's Worker.
func (w *worker) Work(_ context.Context, job *riverqueue.Job[pointer]) error {
	w.queue.begin(job.Args.Run) //nolint:contextcheck // a run outlives River's job
	return nil
}

// reserve returns how many runs a fetch from a queue may take, and keeps that
// many slots for it.
func (q *Queue) reserve(name string, most int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	free := q.free()
	if free <= 0 || most <= 0 {
		q.starve(name)
		return 0
	}
	q.hungry = slices.DeleteFunc(q.hungry, func(n string) bool { return n == name })
	free = min(free, most)
	q.reserved += free
	return free
}

// free is called with mu held.
func (q *Queue) free() int {
	if q.held || q.closing {
		return 0
	}
	return q.options.Slots - q.active.Len() - q.reserved
}

// starve notes that there may be more in a queue. It is called with mu held.
func (q *Queue) starve(name string) {
	if !slices.Contains(q.hungry, name) {
		q.hungry = append(q.hungry, name)
	}
}

// settle frees the slots that a fetch did not need.
func (q *Queue) settle(name string, reserved, fetched int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reserved -= reserved - fetched
	if fetched == reserved {
		q.starve(name)
	}
	q.feed()
}

// feed looks into the queues that may have more, if there is a slot for it. It
// is called with mu held.
func (q *Queue) feed() {
	if q.free() > 0 {
		q.driver.bell.ring(q.hungry...)
	}
}

// begin hands a fetched run to the handler, or keeps it to be given back.
func (q *Queue) begin(id runner.RunID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reserved--
	switch {
	case q.closing:
		q.returned = append(q.returned, id)
	case q.active.Again(id):
		q.feed()
	default:
		ctx := q.active.Begin(q.options.Base, id)
		q.handlers.Go(func() {
			q.handler(ctx, id)
			q.done(ctx, id)
		})
	}
}

// done takes a run back from its handler.
func (q *Queue) done(ctx context.Context, id runner.RunID) {
	q.mu.Lock()
	again := q.active.End(id)
	q.feed()
	q.mu.Unlock()
	if again {
		q.giveBack(context.WithoutCancel(ctx), id)
	}
}
