package river

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// driver is River's driver for pgx with three differences: a fetch takes no
// more than this node has free slots for, over all its queues; it takes the
// jobs out of the table; and this process can ring for its own queues.
type driver struct {
	*riverpgxv5.Driver

	queue *Queue
	bell  *bell
}

// GetExecutor implements riverdriver.Driver.
func (d *driver) GetExecutor() riverdriver.Executor {
	return &executor{Executor: d.Driver.GetExecutor(), queue: d.queue}
}

// GetListener implements riverdriver.Driver.
func (d *driver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	return &listener{inner: d.Driver.GetListener(params), queue: d.queue, bell: d.bell}
}

// executor are the statements of River's producers.
type executor struct {
	riverdriver.Executor

	queue *Queue
}

// JobGetAvailable takes jobs out of a queue, the oldest first.
func (e *executor) JobGetAvailable(ctx context.Context, params *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	free := e.queue.reserve(params.Queue, params.MaxToLock)
	if free == 0 {
		return &riverdriver.JobGetAvailableResult{}, nil
	}
	jobs, err := e.queue.take(ctx, params.Queue, free)
	e.queue.settle(params.Queue, free, len(jobs))
	if err != nil {
		e.queue.refresh(err)
		// River would not look again before its next regular look.
		time.AfterFunc(againAfter, func() { e.queue.driver.bell.ring(params.Queue) })
	}
	return &riverdriver.JobGetAvailableResult{Jobs: jobs}, err
}

// refresh closes the idle connections after an error that did not come from the
// server: when one is dead, others will be, and each would cost another try.
func (q *Queue) refresh(err error) {
	if _, said := errors.AsType[*pgconn.PgError](err); !said {
		q.options.Pool.Reset()
	}
}

// againAfter is after how long a fetch that failed is made again.
const againAfter = 250 * time.Millisecond

// JobSetStateIfRunningMany has nothing to write: the job is no longer in the
// table.
func (e *executor) JobSetStateIfRunningMany(context.Context, *riverdriver.JobSetStateIfRunningManyParams) ([]*rivertype.JobRow, error) {
	return nil, nil
}

// takeTimeout bounds a fetch. Its context never ends by itself.
const takeTimeout = 10 * time.Second

// take removes up to most of the oldest jobs of a queue from the table and
// returns them.
func (q *Queue) take(ctx context.Context, name string, most int) ([]*rivertype.JobRow, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, takeTimeout, fmt.Errorf("the database did not answer for %s", takeTimeout))
	defer cancel()
	// Everything here is due: scheduled_at is by the clock of the node that put it
	// there, which may be ahead of the database's.
	const statement = `DELETE FROM river_job WHERE id IN (
			SELECT id FROM river_job WHERE state = 'available' AND queue = $1
			ORDER BY priority, scheduled_at, id LIMIT $2 FOR UPDATE SKIP LOCKED)
		RETURNING id, args, created_at`
	rows, err := q.options.Pool.Query(ctx, statement, name, most)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*rivertype.JobRow, error) {
		job := &rivertype.JobRow{
			Kind: pointerKind, Queue: name, State: rivertype.JobStateRunning, Attempt: 1, MaxAttempts: 1, Priority: 1,
			AttemptedAt: &now, ScheduledAt: now, Metadata: []byte("{}"),
		}
		return job, row.Scan(&job.ID, &job.EncodedArgs, &job.CreatedAt)
	})
	slices.SortFunc(jobs, func(a, b *rivertype.JobRow) int { return cmp.Compare(a.ID, b.ID) })
	return slices.DeleteFunc(jobs, func(job *rivertype.JobRow) bool {
		var p pointer
		broken := json.Unmarshal(job.EncodedArgs, &p) != nil
		if broken {
			q.options.Log.WarnContext(ctx, "the queue held what is no run; it is gone", "queue", name, "job", job.ID)
		}
		return broken
	}), err
}
