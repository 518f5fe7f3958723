package river

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
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
	return &listener{Listener: d.Driver.GetListener(params), bell: d.bell}
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
	return &riverdriver.JobGetAvailableResult{Jobs: jobs}, err
}

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
	const statement = `DELETE FROM river_job WHERE id IN (
			SELECT id FROM river_job WHERE state = 'available' AND queue = $1 AND scheduled_at <= now()
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

// bell tells River's producers of this process to look into their queues,
// without a message through the database.
type bell struct {
	all []string
	// rung has a value when names has some.
	rung chan struct{}

	mu    sync.Mutex
	names []string
}

func newBell(all []string) *bell { return &bell{all: all, rung: make(chan struct{}, 1)} }

func (b *bell) ring(names ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		if !slices.Contains(b.names, name) {
			b.names = append(b.names, name)
		}
	}
	b.signal()
}

// signal is called with mu held.
func (b *bell) signal() {
	if len(b.names) == 0 {
		return
	}
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// next returns a queue that was rung for; ok is false when there is none.
func (b *bell) next() (name string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.names) == 0 {
		return "", false
	}
	name, b.names = b.names[0], b.names[1:]
	b.signal()
	return name, true
}

// listener hears the database's notifications and the bell.
type listener struct {
	riverdriver.Listener

	bell *bell
}

// Connect connects to the database. What was said while nobody listened is
// made up for by a look into every queue.
func (l *listener) Connect(ctx context.Context) error {
	err := l.Listener.Connect(ctx)
	if err == nil {
		l.bell.ring(l.bell.all...)
	}
	return err
}

// WaitForNotification returns the next notification or ring.
func (l *listener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	for {
		if name, ok := l.bell.next(); ok {
			return &riverdriver.Notification{Topic: insertTopic, Payload: insertNotification(name)}, nil
		}
		waiting, stop := context.WithCancel(ctx)
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			select {
			case <-l.bell.rung:
				stop()
			case <-waiting.Done():
			}
		}()
		notification, err := l.Listener.WaitForNotification(waiting)
		rung := waiting.Err() != nil && ctx.Err() == nil
		stop()
		<-watched
		if err == nil || !rung {
			return notification, err
		}
	}
}
