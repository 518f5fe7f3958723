package alerts

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// sendTimeout bounds one call of Send, whatever the channel does.
	sendTimeout = 30 * time.Second
	// lease is how long a notice is marked as being sent: a Send and its
	// record. Another node may take it after that.
	lease = sendTimeout + 30*time.Second
	// maxAge is how old an unsent notice may get. That of a fault that still
	// lasts may get older.
	maxAge = 24 * time.Hour
	// leastTries is how often a notice is tried before its age counts: one that
	// is old when it is first tried, because nothing ran for days or the clock was
	// wrong, is not given up for a refusal of the moment. That many take half an
	// hour.
	leastTries = 12
	// firstWait and longestWait bound the waits between attempts.
	firstWait   = 5 * time.Second
	longestWait = 15 * time.Minute
	// longestIdle is how long a worker sleeps at most before it looks again,
	// for notices of a node that died before it could wake this one, and for
	// machines that were suspended.
	longestIdle = 5 * time.Minute
	// recordTimeout bounds one attempt to record what became of a notice.
	recordTimeout = 10 * time.Second
	// defaultGrace is how long a message under way may take at the end.
	defaultGrace = 5 * time.Second
)

// ErrNoChannel reports that the configuration has no channel of a name.
var ErrNoChannel = errors.New("the configuration has no such channel")

// Records is what the dispatcher reads from the ledger. Its methods are those
// of runner.Reader and runner.AlertReader.
type Records interface {
	Incident(ctx context.Context, idOrPrefix string) (runner.Incident, error)
	Incidents(ctx context.Context, f runner.IncidentFilter) ([]runner.Incident, error)
	Notices(ctx context.Context, f runner.NoticeFilter) ([]runner.Notice, error)
	Run(ctx context.Context, idOrPrefix string) (runner.Run, error)
	Attempts(ctx context.Context, runs ...runner.RunID) ([]runner.Attempt, error)
	Output(ctx context.Context, key runner.AttemptKey) (runner.Output, error)
}

// Options are what a Dispatcher works with.
type Options struct {
	Outbox  runner.Outbox
	Records Records
	// Stories tells what belongs to a fault; nil for nothing.
	Stories Stories
	// Duties owes what follows from channels that fail and from the passing of
	// time, Incidents the digest of the week. Settler does what time does to
	// incidents; nil when somebody else sees to it.
	Duties    runner.Duties
	Incidents runner.Incidents
	Settler   runner.Settler
	// Policy returns the policy of the configuration in force, whose routes say
	// when faults that last are told again; nil, or a nil policy, for never.
	Policy func() *Policy
	// Settings returns how a channel wants to be told under the configuration in
	// force; nil means the zero Settings for all.
	Settings func(name string) Settings
	// Weekly returns the digest of the week that the configuration in force
	// asks for; nil, or a zero Weekly, for none.
	Weekly func() Weekly
	// Channels opens the channel of that name under the configuration in
	// force, with the secrets that must not be told, for each message anew: a
	// changed secret or option counts from then on. ErrNoChannel when there is
	// none.
	Channels func(name string) (channel Channel, secrets []string, err error)
	// Names returns the names of the channels of the configuration in force.
	Names func() []string
	// Origin is what messages say about where they come from.
	Origin Origin
	Log    *slog.Logger
	// Now is the clock; nil means time.Now. Random returns numbers in [0, 1);
	// nil means those of math/rand.
	Now    func() time.Time
	Random func() float64
	// Grace is how long a message under way may take when Run ends; 0 means
	// 5 s.
	Grace time.Duration
}

// Dispatcher sends what the outbox owes: one message at a time for each
// channel, so that a channel that hangs holds up no other. It does not poll:
// it sleeps until the next notice is due or Wake is called, at most five
// minutes.
type Dispatcher struct {
	o Options

	mu      sync.Mutex
	workers map[string]chan struct{} // each holds at most one wake
	wake    chan struct{}
	// moved wakes the duty, which alone uses what follows: the slot of the latest
	// digest of the week that is owed.
	moved chan struct{}
	week  time.Time
	// changed are the notices of changes that are owed, by their IDs.
	changed map[string]bool
}

// New returns a dispatcher of o.
func New(o Options) *Dispatcher {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	if o.Settings == nil {
		o.Settings = func(string) Settings { return Settings{} }
	}
	if o.Policy == nil {
		o.Policy = func() *Policy { return nil }
	}
	if o.Weekly == nil {
		o.Weekly = func() Weekly { return Weekly{} }
	}
	return &Dispatcher{o: o, workers: map[string]chan struct{}{}, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1)}
}

// Wake makes the dispatcher look at once, because notices are owed, incidents
// changed, or the configuration did. It never blocks.
func (d *Dispatcher) Wake() { signal(d.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends. Messages under way may then take Options.Grace
// more; what is not accepted by then is given back. It returns when all is
// recorded.
func (d *Dispatcher) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { d.duty(ctx) })
	idle := time.NewTimer(longestIdle)
	defer idle.Stop()
	for ctx.Err() == nil {
		for _, name := range d.channels(ctx) {
			wake, started := d.worker(name)
			if started {
				running.Go(func() { d.work(ctx, name, wake) })
			}
			signal(wake)
		}
		idle.Reset(longestIdle)
		select {
		case <-ctx.Done():
		case <-d.wake:
			signal(d.moved)
		case <-idle.C:
		}
	}
}

// worker returns how to wake the worker of a channel, and whether it has to be
// started.
func (d *Dispatcher) worker(name string) (wake chan struct{}, start bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	wake, ok := d.workers[name]
	if !ok {
		wake = make(chan struct{}, 1)
		d.workers[name] = wake
	}
	return wake, !ok
}

// retire ends the worker of a channel that is no longer configured, unless it
// was woken meanwhile.
func (d *Dispatcher) retire(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.workers[name]) > 0 {
		return false
	}
	delete(d.workers, name)
	return true
}

// channels returns the names of the channels of the configuration and of those
// that the outbox still owes something although they are gone.
func (d *Dispatcher) channels(ctx context.Context) []string {
	names := d.o.Names()
	owed, err := d.o.Outbox.Channels(ctx)
	if err != nil && ctx.Err() == nil {
		d.o.Log.WarnContext(ctx, "could not look which channels are owed messages", "error", err)
	}
	return appendNew(names, owed)
}
