package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// atOnce is how many probes are under way at the same time.
const atOnce = 16

// errStopped ends what a monitor does.
var errStopped = errors.New("the check is no longer watched")

// Options are what a monitor needs. All are required but for those that have a
// default.
type Options struct {
	Checks []Check
	Prober Prober
	// Incidents puts on record what is wrong; Known tells what was when this
	// process began.
	Incidents runner.Incidents
	Known     runner.AlertReader
	// Samples keeps what was measured; Past tells of pings before this process.
	Samples runner.Sampler
	Past    runner.SampleReader
	// Fault makes the fault of a check that is not healthy.
	Fault func(report runner.CheckReport, evidence ...runner.Evidence) runner.Fault
	// Observers are told of every answer; none by default.
	Observers []runner.CheckObserver
	// Connectivity finds out whether this machine's own network is up; nil for
	// never.
	Connectivity *Connectivity
	// Env is the world of probes: Node, Version, Root, KillGrace, and as WorkDir
	// an existing folder in which each gets one of its own.
	Env jobs.Env
	// Shared tells that other nodes watch too, and that the checks of this one
	// may become theirs, and theirs this one's.
	Shared bool
	// Differ tells whether nodes that are there go by another configuration: what
	// is not in that of this one they may still watch, so that its incidents stay
	// open. The last that takes a configuration over resolves them. nil for never.
	Differ func(ctx context.Context) bool
	Log    *slog.Logger
}

// Monitor runs checks on their intervals. It is safe for use by several
// goroutines.
type Monitor struct {
	o       Options
	slots   chan struct{}
	samples *batch
	gate    *gate

	mu      sync.Mutex
	watches map[string]*watch
	order   []string
	// running is the context of watches; nil before Run.
	running context.Context //nolint:containedctx // of the goroutines that Replace starts
	// replacing lets one Replace end before the next begins.
	replacing sync.Mutex
}

var _ runner.CheckReader = (*Monitor)(nil)

// New makes a monitor that does nothing yet.
func New(o Options) *Monitor {
	if o.Differ == nil {
		o.Differ = func(context.Context) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &Monitor{o: o, slots: make(chan struct{}, atOnce), samples: newBatch(o.Samples, o.Log), watches: map[string]*watch{}}
	m.gate = newGate(o.Connectivity, o.Log)
	m.expect(o.Checks)
	return m
}

// expect takes the checks to begin with.
func (m *Monitor) expect(checks []Check) {
	for _, c := range checks {
		m.watches[c.Name] = newWatch(c)
		m.order = append(m.order, c.Name)
	}
}

// Run watches until ctx ends, and returns when what was measured is on record.
// Its error says why it could not begin. It is called once.
func (m *Monitor) Run(ctx context.Context) error {
	m.replacing.Lock()
	if err := m.remember(ctx); err != nil {
		m.replacing.Unlock()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was to end before it had begun
		}
		return err
	}
	recording, enough := context.WithCancelCause(context.WithoutCancel(ctx))
	var keeper, tender sync.WaitGroup
	keeper.Go(func() { m.samples.run(recording) })
	tender.Go(func() { m.tend(ctx) })

	m.mu.Lock()
	m.running = ctx
	for _, name := range m.order {
		m.start(m.watches[name]) //nolint:contextcheck // they live as long as Run, whoever starts them
	}
	m.mu.Unlock()
	m.replacing.Unlock()

	<-ctx.Done()
	m.replacing.Lock() // nothing starts any more
	defer m.replacing.Unlock()
	for _, w := range m.watches {
		<-w.done
	}
	tender.Wait()
	enough(errStopped)
	keeper.Wait()
	return nil
}

// start begins to watch what this node asks. The caller holds the mutex.
func (m *Monitor) start(w *watch) {
	if w.check.Node != "" {
		w.stop = func(error) {}
		close(w.done)
		return
	}
	ctx, stop := context.WithCancelCause(m.running)
	w.stop = stop
	go m.run(ctx, w)
}

// remember takes over what is on record: open incidents, pings, and the latest
// answers.
func (m *Monitor) remember(ctx context.Context) error {
	open, err := m.o.Known.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: mostOpen})
	if err != nil {
		return fmt.Errorf("read which checks failed before: %w", err)
	}
	differ := m.o.Differ(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range open {
		switch i.Fingerprint {
		case m.networkFault():
			m.gate.fell(true)
			continue
		case FingerprintConnectivity: // of a time when there was one node only
			if _, err := m.o.Incidents.Clear(ctx, i.Fingerprint, time.Now().UTC()); err != nil {
				m.o.Log.WarnContext(ctx, "resolve the incident of a machine's network that was the only one", "error", err)
			}
			continue
		}
		name, ours := checkOf(i.Fingerprint)
		if !ours {
			continue
		}
		w, configured := m.watches[name]
		if !configured && (differ || strings.Contains(name, "@") && asked(m.watches, name)) {
			continue // that of a node that this one does not know yet, or others watch it
		}
		if configured && w.check.Quiet && differ {
			continue
		}
		if !configured || w.check.Quiet {
			_, err := m.o.Incidents.Clear(ctx, i.Fingerprint, time.Now().UTC())
			if err != nil {
				m.o.Log.WarnContext(ctx, "resolve the incident of a check that is no longer configured", "check", name, "error", err)
			}
			continue
		}
		w.restore(i)
	}
	for _, w := range m.watches {
		if w.check.Node != "" {
			continue
		}
		if err := m.rememberPings(ctx, w); err != nil {
			return err
		}
		if err := m.rememberAnswers(ctx, w, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// mostOpen is how many open incidents are looked at.
const mostOpen = 1000

// Replace takes over another set of checks. What did not change goes on as it
// is; what changed keeps its state and is asked anew at once; the incidents of
// what is gone are cleared.
func (m *Monitor) Replace(ctx context.Context, checks []Check, connectivity *Connectivity) {
	m.replacing.Lock()
	defer m.replacing.Unlock()
	m.gate.replace(connectivity)
	var gone []*watch
	m.mu.Lock()
	if m.running == nil {
		m.watches, m.order = map[string]*watch{}, nil
		m.expect(checks)
		m.mu.Unlock()
		return
	}
	if m.running.Err() != nil {
		m.mu.Unlock()
		return
	}
	next, order := make(map[string]*watch, len(checks)), make([]string, 0, len(checks))
	var fresh, taken []*watch
	for _, c := range checks {
		order = append(order, c.Name)
		old := m.watches[c.Name]
		if old != nil && old.check.Digest == c.Digest && old.check.Node == c.Node {
			next[c.Name] = old
			continue
		}
		w := newWatch(c)
		if old != nil && old.check.Node != "" && c.Node == "" {
			taken = append(taken, w)
		}
		if old != nil {
			gone = append(gone, old)
		}
		next[c.Name], fresh = w, append(fresh, w)
	}
	for name, old := range m.watches {
		if next[name] == nil {
			gone = append(gone, old)
		}
	}
	m.mu.Unlock()
	for _, w := range gone {
		w.stop(errStopped)
		<-w.done
	}
	m.mu.Lock()
	for _, w := range fresh {
		if old := m.watches[w.check.Name]; old != nil && !slices.Contains(taken, w) {
			w.inherit(old)
		}
	}
	m.watches, m.order = next, order
	m.mu.Unlock()
	m.takeOver(ctx, taken)
	for _, w := range fresh {
		m.awaitFirst(ctx, w)
	}
	m.mu.Lock()
	for _, w := range fresh {
		m.start(w) //nolint:contextcheck // they live as long as Run, whoever starts them
	}
	m.mu.Unlock()
	m.drop(ctx, gone, next)
}

// inherit takes over the state of an earlier definition.
func (w *watch) inherit(old *watch) {
	w.standing, w.last, w.recorded, w.cause, w.gone = old.standing, old.last, old.recorded, old.cause, old.gone
	w.standing.forget()
	if w.check.Slug == old.check.Slug {
		w.pings = old.pings
	}
}

// answered judges an answer: for incidents, for samples, for whoever asked.
func (m *Monitor) answered(ctx context.Context, w *watch, o Outcome) {
	m.mu.Lock()
	before := w.standing.phase()
	w.last = o
	w.standing.take(o, w.check.FailAfter, w.check.OKAfter)
	m.blame(w, o)
	phase := w.standing.phase()
	m.mu.Unlock()
	if before != phase {
		m.o.Log.InfoContext(ctx, "a check is in another phase", "check", w.check.Name, "phase", string(phase), "answer", string(o.Health), "message", o.Message, "error_kind", o.ErrorKind)
	}
	m.samples.add(samplesOf(w.check.Name, o)...)
	m.record(ctx, w)
	m.mu.Lock()
	for _, other := range m.hurried(w, phase) {
		other.ring()
	}
	report := m.report(w, time.Now())
	m.mu.Unlock()
	for _, observer := range m.o.Observers {
		observer.Checked(ctx, report)
	}
}

// Reports implements runner.CheckReader.
func (m *Monitor) Reports(context.Context) []runner.CheckReport {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]runner.CheckReport, 0, len(m.order))
	for _, name := range m.order {
		list = append(list, m.report(m.watches[name], now))
	}
	return list
}

// report says how a check is. The caller holds the mutex.
func (m *Monitor) report(w *watch, now time.Time) runner.CheckReport {
	c, s := w.check, &w.standing
	r := runner.CheckReport{
		Name: c.Name, Kind: c.Kind, Impact: c.Impact, Health: s.health, Answer: w.last.Health, Phase: s.phase(),
		Message: w.last.Message, ErrorKind: w.last.ErrorKind, Values: w.last.Values, At: w.last.At.UTC(), Took: w.last.Took,
		Since: s.since.UTC(), LastGood: s.lastGood.UTC(), FirstBad: s.firstBad.UTC(), Every: c.Every, Cause: w.cause,
	}
	switch {
	case c.Node != "":
		return w.asSeen()
	case w.last.At.IsZero():
		r.Health, r.Answer, r.At, r.Message = runner.HealthUnknown, runner.HealthUnknown, time.Time{}, "it was not asked yet"
	case c.Kind != KindHeartbeat && now.Sub(w.last.At) > 2*c.Every:
		r.Health = runner.HealthUnknown
	}
	for _, t := range []*time.Time{&r.At, &r.Since, &r.LastGood, &r.FirstBad} {
		if t.IsZero() {
			*t = time.Time{}
		}
	}
	return r
}

// WorstDetection returns how long a fault of a check can last before it is on
// record; ok is false when there is no such check.
func (m *Monitor) WorstDetection(check string) (_ time.Duration, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, ok := m.watches[check]
	if !ok {
		return 0, false
	}
	return w.check.WorstDetection(), true
}

// Fresh asks the checks of the names, or all when there are none, and returns
// when each has answered; who asks at the same time shares the answers. It
// returns an *UnknownError for a name that is not configured, and
// context.Cause(ctx) when ctx ends first.
func (m *Monitor) Fresh(ctx context.Context, names ...string) error {
	var waiting []chan struct{}
	m.mu.Lock()
	if len(names) == 0 {
		names = m.order
	}
	for _, name := range names {
		w, ok := m.watches[name]
		if ok && w.check.Node != "" {
			continue // another node asks it
		}
		if !ok {
			known := slices.Clone(m.order)
			m.mu.Unlock()
			return &UnknownError{What: "check", Name: name, Known: known}
		}
		waiter := make(chan struct{})
		w.waiters, waiting = append(w.waiters, waiter), append(waiting, waiter)
		w.ring()
	}
	m.mu.Unlock()
	for _, waiter := range waiting {
		select {
		case <-waiter:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
