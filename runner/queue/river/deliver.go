package river

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	riverqueue "github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// insertAtOnce bounds the runs of one transaction.
	insertAtOnce = 1000
	// insertTopic is where River's producers listen for new jobs.
	insertTopic = "river_insert"
)

// pointer is a River job: the run that is to be looked at, and the epoch that it
// had when somebody said so.
type pointer struct {
	Run   runner.RunID `json:"run"`
	Epoch int64        `json:"epoch"`
}

// Kind implements River's JobArgs.
func (pointer) Kind() string { return pointerKind }

const pointerKind = "run"

// insertOptions say where a pointer goes. There is at most one of each in a
// queue: one that was taken is no longer in the table. What waits for its node
// in vain may wait in another queue as well.
func insertOptions(t runner.Target) *riverqueue.InsertOpts {
	return &riverqueue.InsertOpts{
		Queue: queueOf(t), MaxAttempts: 1,
		UniqueOpts: riverqueue.UniqueOpts{ByArgs: true, ByQueue: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateScheduled, rivertype.JobStateRunning, rivertype.JobStateRetryable,
		}},
	}
}

// Deliver implements queue.Queue: it inserts a pointer to each of the runs that
// is open into the queue of its target, unless there is one, and tells the
// nodes that work on these queues. An error that wraps runner.ErrUnavailable may
// pass: the same call may be repeated.
func (q *Queue) Deliver(ctx context.Context, ids ...runner.RunID) error {
	for some := range slices.Chunk(ids, insertAtOnce) {
		list, err := q.options.Ledger.Deliveries(ctx, some...)
		if err != nil {
			return err
		}
		if err := q.insertSurely(ctx, list); err != nil {
			if !refused(err) {
				err = errors.Join(err, runner.ErrUnavailable)
			}
			return fmt.Errorf("deliver %d runs: %w", len(list), err)
		}
	}
	return nil
}

// refused tells whether the server will refuse the same statement again, because
// tables, columns or rights are missing: class 42 of
// https://www.postgresql.org/docs/current/errcodes-appendix.html.
func refused(err error) bool {
	said, is := errors.AsType[*pgconn.PgError](err)
	return is && strings.HasPrefix(said.Code, "42")
}

const (
	// insertTries is how often an insert is tried, and insertAgain the time
	// between: the connections may have died with the server's last restart.
	insertTries = 3
	insertAgain = 50 * time.Millisecond
)

// insertSurely is insert, made again where that can help.
func (q *Queue) insertSurely(ctx context.Context, list []runner.Delivery) error {
	for try := 1; ; try++ {
		err := q.insert(ctx, list)
		if err == nil || try == insertTries || ctx.Err() != nil {
			return err
		}
		q.refresh(err)
		select {
		case <-time.After(insertAgain):
		case <-ctx.Done():
		}
	}
}

// insert adds pointers in one statement, and rings for their queues in the same
// transaction. River rings too, but not twice within its cooldown, which would
// leave the second of two to the next look.
func (q *Queue) insert(ctx context.Context, list []runner.Delivery) error {
	if len(list) == 0 {
		return nil
	}
	list = once(list)
	return pgx.BeginFunc(ctx, q.options.Pool, func(tx pgx.Tx) error {
		missing, err := missingOf(ctx, tx, list)
		if err != nil {
			return err
		}
		var jobs []riverqueue.InsertManyParams
		for _, d := range missing {
			jobs = append(jobs, riverqueue.InsertManyParams{Args: pointer{Run: d.Run, Epoch: d.Epoch}, InsertOpts: insertOptions(d.Target)})
		}
		if len(jobs) > 0 {
			if _, err := q.client.InsertManyTx(ctx, tx, jobs); err != nil {
				return err
			}
		}
		var rings []string
		for _, d := range list {
			rings = append(rings, insertNotification(queueOf(d.Target)))
		}
		slices.Sort(rings)
		return q.driver.UnwrapExecutor(tx).NotifyMany(ctx, &riverdriver.NotifyManyParams{
			Topic: insertTopic, Payload: slices.Compact(rings), Schema: q.client.Schema(),
		})
	})
}

// once leaves out what list has said before: one statement must not insert a
// pointer twice.
func once(list []runner.Delivery) []runner.Delivery {
	seen := make(map[runner.Delivery]bool, len(list))
	return slices.DeleteFunc(slices.Clone(list), func(d runner.Delivery) bool {
		again := seen[d]
		seen[d] = true
		return again
	})
}

// insertNotification is what River's producers are told of a queue, written as
// River writes it so that PostgreSQL sends it once.
func insertNotification(name string) string { return fmt.Sprintf("{\"queue\": %q}", name) }

// placed is a pointer in a queue.
type placed struct {
	Run   runner.RunID
	Epoch int64
	Queue string
}

// fewRuns is up to how many runs are inserted without looking first.
const fewRuns = 4

// missingOf leaves out what has a pointer already: River's insert would rewrite
// the row of each, and a sweep names all that waits, again and again.
func missingOf(ctx context.Context, tx pgx.Tx, list []runner.Delivery) ([]runner.Delivery, error) {
	if len(list) <= fewRuns {
		return list, nil
	}
	ids := make([]string, len(list))
	for i, d := range list {
		ids[i] = string(d.Run)
	}
	// IDs come in their order, a page of them at a time, so their range holds
	// little else; a comparison with each of them would take longer.
	const query = `SELECT args->>'run', CAST(args->>'epoch' AS bigint), queue FROM river_job
		WHERE kind = $1 AND state = 'available' AND (args->>'run') COLLATE "C" BETWEEN $2 AND $3`
	rows, err := tx.Query(ctx, query, pointerKind, slices.Min(ids), slices.Max(ids))
	if err != nil {
		return nil, err
	}
	present, err := pgx.CollectRows(rows, pgx.RowToStructByPos[placed])
	if err != nil {
		return nil, err
	}
	there := make(map[placed]bool, len(present))
	for _, p := range present {
		there[p] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(d runner.Delivery) bool {
		return there[placed{Run: d.Run, Epoch: d.Epoch, Queue: queueOf(d.Target)}]
	}), nil
}
