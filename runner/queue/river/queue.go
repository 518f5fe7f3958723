package river

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	riverqueue "github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/queue"
)

// errUsed reports a second call of Work.
var errUsed = errors.New("the queue works already, or has worked")

// Ledger is what the queue asks about runs.
type Ledger interface {
	runner.Backlog
	// Deliveries returns what a queue needs to know of those of the runs that
	// are open.
	Deliveries(ctx context.Context, ids ...runner.RunID) ([]runner.Delivery, error)
}

// Options configure a Queue. Ledger and Pool are required.
type Options struct {
	// Ledger tells which runs are open, under which epoch and for whom.
	Ledger Ledger
	// Pool are the ledger's connections; River's tables live in the schema that
	// its search_path names. It must outlive the queue.
	Pool *pgxpool.Pool
	// Node and Labels say which runs come here, besides those for any node.
	Node   string
	Labels []string
	// Slots is the most runs that are handled at once, at least 1.
	Slots int
	// Base is the parent of every handler's context. Ending it, with a cause,
	// forces all handlers to stop; nil means that nobody can.
	Base context.Context
	// Log is told how the work goes; nil for nobody.
	Log *slog.Logger
}

// Queue hands runs to a handler, about in the order in which they were
// delivered. It is safe for use by several goroutines.
type Queue struct {
	options Options
	// names are the River queues of this node.
	names  []string
	driver *driver
	client *riverqueue.Client[pgx.Tx]
	quiet  *quiet

	mu   sync.Mutex
	used bool
	held bool
	// closing tells that Work ends: nothing is taken any more.
	closing bool
	handler queue.Handler
	// handlers counts the running handlers.
	handlers sync.WaitGroup
	// active are the runs that handlers work on.
	active queue.Active
	// reserved is how many free slots fetches have taken that are under way, or
	// whose runs have not begun yet.
	reserved int
	// hungry are the queues in which there may be more than was fetched, the
	// one that waits longest first.
	hungry []string
	// returned are runs that were fetched and did not begin.
	returned []runner.RunID

	count waitingCount
}

var _ queue.Queue = (*Queue)(nil)

// New brings River's tables up to date, creating them where they are missing,
// and returns a queue that takes nothing yet.
func New(ctx context.Context, o Options) (*Queue, error) {
	o.Slots = max(o.Slots, 1)
	if o.Base == nil {
		o.Base = context.Background()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{options: o, names: queuesOf(o.Node, o.Labels)}
	q.quiet = newQuiet(o.Log.Handler())
	schema := o.Pool.Config().ConnConfig.RuntimeParams["search_path"]
	if err := migrate(ctx, o.Pool, schema, o.Log); err != nil {
		return nil, err
	}
	q.driver = &driver{Driver: riverpgxv5.New(o.Pool), queue: q, bell: newBell(q.names)}
	config := &riverqueue.Config{
		Schema: schema, Logger: slog.New(q.quiet), Queues: map[string]riverqueue.QueueConfig{}, Workers: riverqueue.NewWorkers(),
		FetchCooldown: fetchCooldown, FetchPollInterval: fetchPoll,
		JobTimeout: -1, MaxAttempts: 1, LeaderElectionDisabled: true,
	}
	for _, name := range q.names {
		// It only passes runs on; how many are fetched the driver decides.
		config.Queues[name] = riverqueue.QueueConfig{MaxWorkers: min(o.Slots+1, riverqueue.QueueNumWorkersMax)}
	}
	err := riverqueue.AddWorkerSafely(config.Workers, &worker{queue: q})
	if err == nil {
		q.client, err = riverqueue.NewClient(q.driver, config)
	}
	if err != nil {
		return nil, fmt.Errorf("set up the delivery of runs: %w", err)
	}
	return q, nil
}

const (
	// fetchCooldown is the least time between two fetches from one queue by
	// one node. It bounds throughput, and the wait of a run that comes just
	// after a fetch.
	fetchCooldown = 5 * time.Millisecond
	// fetchPoll is how often a queue is looked into unasked: what was delivered
	// rings, so this finds only what a lost notification left.
	fetchPoll = time.Minute
)

// queuesOf are the River queues of a node.
func queuesOf(node string, labels []string) []string {
	names := []string{queueOf(""), queueOf(runner.OnNode(node))}
	for _, label := range labels {
		names = append(names, queueOf(runner.OnLabel(label)))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Hold keeps the queue from taking runs until Resume: what is delivered
// meanwhile waits, or goes to other nodes, and what runs here goes on. It may
// be called when the queue is held already.
func (q *Queue) Hold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = true
}

// Resume lets the queue take runs again.
func (q *Queue) Resume() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = false
	q.driver.bell.ring(q.names...)
}

// Running returns how many runs handlers work on.
func (q *Queue) Running() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.active.Len()
}

// Interrupt implements queue.Queue.
func (q *Queue) Interrupt(id runner.RunID, cause error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.active.Interrupt(id, cause)
}
