package ticker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-co-op/gocron/v2"

	"github.com/ghosteam/upkeep/runner"
)

// ErrEnded reports that the ticker does not tick any more, or was started
// twice.
var ErrEnded = errors.New("the ticker has ended")

// longestWait is the most that a failed round waits to be repeated.
const longestWait = 30 * time.Second

// Ledger is what the ticker needs of the ledger.
type Ledger interface {
	runner.Calendars
	// CursorsOf returns the cursors that the ledger has of the calendars without
	// host of some workflows. It is asked only with Options.Turn.
	CursorsOf(ctx context.Context, workflows []string) ([]runner.Cursor, error)
	// Usual, Successes and Pauses are those of runner.SlotReader.
	Usual(ctx context.Context, workflows []string) (map[string]runner.Usual, error)
	Successes(ctx context.Context, workflows []string) (map[string]time.Time, error)
	Pauses(ctx context.Context) ([]runner.Pause, error)
}

// Deliverer is what the ticker needs of a queue.
type Deliverer interface {
	// Deliver is that of queue.Queue.
	Deliver(ctx context.Context, ids ...runner.RunID) error
}

// Options configure a Ticker. Ledger, Queue and Node are required.
type Options struct {
	Ledger Ledger
	Queue  Deliverer
	// Backlog finds runs that nobody works on, which the sweep delivers again;
	// nil for none.
	Backlog runner.Backlog
	// Node is this node's name.
	Node string
	// Workflows is what there is at the start.
	Workflows []Workflow
	// Turn says, where several nodes share the slots of the workflows without
	// Host, how long this node leaves a slot of one of them to the others after
	// its start: it decides at once for 0 and true. Otherwise it looks after wait,
	// or, without look, in its first sweep from then on, what is on record, and
	// decides what is not. It is a matter of work only: each slot is recorded
	// once whatever Turn says on however many nodes, and when it is wrong about
	// the others a slot starts later, by wait or by a sweep, as far as that is
	// still in time. So the nodes that are there should agree on their order, and
	// one that knows of no other should say 0 and true. It may answer otherwise
	// each time. It is asked while ticks wait, so it returns at once without
	// asking anybody, and calls no method of the Ticker. nil means 0 and true.
	Turn func(workflow string) (wait time.Duration, look bool)
	// Chores are done beside the sweep.
	Chores []Chore
	// Stale is called in each sweep for each workflow that has not succeeded
	// for longer than its FreshWithin; since is when it did last, or when it
	// was first seen. Paused is called in each sweep with the pauses in force,
	// if there are any. Failed is called with the error of every round that
	// could not do its work. All must return soon, since ticks wait for them;
	// all may be nil.
	Stale  func(ctx context.Context, w Workflow, since time.Time) error
	Paused func(ctx context.Context, pauses []runner.Pause) error
	Failed func(err error)
	// Sweep is how often everything is looked at again; 0 means 30 s.
	Sweep time.Duration
	// Patience bounds each call of the ledger, the queue, Stale and Paused; 0
	// means a minute.
	Patience time.Duration
	// Stall is how long the loop may go without a sign of life before Alive is
	// false; 0 means three sweeps, and a minute more than Patience at least,
	// so two minutes by default.
	Stall time.Duration
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Log is told how it goes; nil for nobody.
	Log *slog.Logger

	// gocron is what tests add to the clock, which has to follow Now.
	gocron []gocron.SchedulerOption
}

func (o *Options) fill() error {
	switch {
	case o.Ledger == nil:
		return errors.New("the ticker has no ledger")
	case o.Queue == nil:
		return errors.New("the ticker has no queue")
	case o.Node == "":
		return errors.New("the ticker has no node")
	}
	if o.Sweep <= 0 {
		o.Sweep = 30 * time.Second
	}
	if o.Patience <= 0 {
		o.Patience = time.Minute
	}
	if o.Stall <= 0 {
		o.Stall = max(3*o.Sweep, o.Patience+time.Minute)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, c := range o.Chores {
		if c.Name == "" || c.Do == nil || c.Every <= 0 || c.First < 0 {
			return fmt.Errorf("chore %q needs a name, something to do and a positive interval", c.Name)
		}
	}
	return checkWorkflows(o.Workflows, o.Node)
}

// Ticker makes what is due known. Its methods may be called from several
// goroutines.
type Ticker struct {
	options Options
	log     *slog.Logger
	clock   *clock
	used    atomic.Bool
	// looks and sweeps hold what was asked for since the loop last looked;
	// orders are what others want done in the loop's goroutine.
	looks, sweeps chan struct{}
	orders        chan order
	// done is closed when the loop has ended.
	done chan struct{}
	// turns are the chores under way.
	turns sync.WaitGroup
	// beat is the monotonic instant of the loop's last sign of life.
	beat atomic.Pointer[time.Time]

	// The loop alone uses these.
	known      bool // the ledger's cursors were read, and no write failed since
	greeted    bool // they were read once
	uncertain  bool // a write may have happened that was not answered
	trouble    trouble
	failures   int
	batch      int       // about how many requests to write at once
	logged     time.Time // when a failure was logged last
	lastWall   time.Time
	lastSteady time.Time

	mu     sync.Mutex
	agenda *agenda
	// armed is what gocron waits for.
	armed     time.Time
	held      string
	heldSince time.Time
	status    Status
}

// order is something to be done in the loop's goroutine.
type order struct {
	do    func(context.Context) error
	reply chan error
}

// New returns a Ticker that knows its workflows and does nothing yet.
func New(o Options) (*Ticker, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	t := &Ticker{
		options: o, log: o.Log, agenda: newAgenda(), batch: batch,
		looks: make(chan struct{}, 1), sweeps: make(chan struct{}, 1),
		orders: make(chan order), done: make(chan struct{}),
	}
	now := t.now()
	for _, w := range o.Workflows {
		if !w.idle() {
			t.agenda.add(&calendar{rule: t.rule(w), seen: now, adopts: true})
		}
	}
	t.sign()
	return t, nil
}

// Run ticks until ctx ends. Then nothing new is submitted, the clock has
// stopped and all chores have returned. It is called once; its error says that
// it was called again or that the clock could not be made.
func (t *Ticker) Run(ctx context.Context) error {
	if !t.used.CompareAndSwap(false, true) {
		return ErrEnded
	}
	defer close(t.done)
	var err error
	if t.clock, err = t.newClock(); err != nil {
		return err
	}
	t.sign()
	// Chores end before Run returns, also when the clock could not be started.
	ctx, cancel := context.WithCancel(ctx)
	err = t.clock.start(ctx)
	if err == nil {
		t.loop(ctx)
	}
	cancel()
	err = errors.Join(err, t.clock.stop())
	t.turns.Wait()
	return err
}

// loop does one round after the other.
func (t *Ticker) loop(ctx context.Context) {
	retry, again := time.NewTimer(0), time.NewTimer(0)
	defer retry.Stop()
	defer again.Stop()
	<-retry.C
	<-again.C
	ask(t.sweeps)
	for ctx.Err() == nil {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-t.looks:
			err = t.look(ctx, false)
		case <-retry.C:
			err = t.look(ctx, false)
		case <-again.C:
			err = t.look(ctx, false)
		case <-t.sweeps:
			err = t.sweep(ctx)
		case o := <-t.orders:
			err = o.do(ctx)
			o.reply <- err
		}
		t.sign()
		t.settleClock(ctx)
		if wait := t.note(ctx, err); wait > 0 {
			retry.Reset(wait)
		}
		t.settleAgain(again)
	}
}

// sign leaves a sign of life.
func (t *Ticker) sign() {
	now := time.Now()
	t.beat.Store(&now)
}

// now is the wall clock, without its monotonic reading.
func (t *Ticker) now() time.Time { return t.options.Now().Round(0).UTC() }

// note keeps what a round came to, and says after which time to try again; 0
// for not before the next sweep or start.
func (t *Ticker) note(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	t.mu.Lock()
	t.status.Ready = t.greeted
	t.status.Err = err
	if err == nil {
		t.status.FailingSince = time.Time{}
	} else if t.status.FailingSince.IsZero() {
		t.status.FailingSince = t.now()
	}
	t.mu.Unlock()
	if err == nil {
		if t.failures > 0 {
			t.log.InfoContext(ctx, "slots are decided again", "failures", t.failures)
		}
		t.failures = 0
		return 0
	}
	t.failures++
	if now := time.Now(); t.failures == 1 || now.Sub(t.logged) >= longestWait {
		t.logged = now
		t.log.WarnContext(ctx, "a round of the ticker failed and is repeated", "error", err, "failures", t.failures)
	}
	if t.options.Failed != nil {
		t.options.Failed(err)
	}
	return min(time.Second<<min(t.failures-1, 10), longestWait)
}

// settleClock sets gocron's timer when it would ring too late.
func (t *Ticker) settleClock(ctx context.Context) {
	before := t.now()
	t.mu.Lock()
	late := t.agenda.after(before).Before(t.armed)
	t.mu.Unlock()
	if late {
		t.arm(ctx, before)
	}
}

// arm sets gocron's timer anew, and looks again when a start came meanwhile.
func (t *Ticker) arm(ctx context.Context, before time.Time) {
	if err := t.clock.arm(); err != nil {
		t.log.ErrorContext(ctx, "the clock of the ticker is broken; only the sweep goes on", "error", err)
		return
	}
	after := t.now()
	t.mu.Lock()
	came := !t.agenda.after(before).After(after)
	t.mu.Unlock()
	if came {
		ask(t.looks)
	}
}

// bounded gives a call of others the time that it may take.
func (t *Ticker) bounded(ctx context.Context, what string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.options.Patience,
		fmt.Errorf("no answer within %s: %w", t.options.Patience, context.DeadlineExceeded))
	defer cancel()
	err := guard(func() error { return call(ctx) })
	t.sign()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// order has something done in the loop's goroutine and waits for it.
func (t *Ticker) order(ctx context.Context, do func(context.Context) error) error {
	o := order{do: do, reply: make(chan error, 1)}
	select {
	case t.orders <- o:
	case <-t.done:
		return ErrEnded
	case <-ctx.Done():
		return fmt.Errorf("wait for the ticker: %w", context.Cause(ctx))
	}
	select {
	case err := <-o.reply:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the ticker: %w", context.Cause(ctx))
	}
}
