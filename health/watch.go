package health

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// spread bounds how long after its start a monitor asks for the first time.
const spread = 5 * time.Second

// watch is one check of a running monitor. What has no comment of its own is
// guarded by the monitor's mutex.
type watch struct {
	check    Check
	standing standing
	last     Outcome
	// recorded is the open incident as it was last put on record, nil for none;
	// cause is the check on which this one's failure is blamed.
	recorded *recorded
	cause    string
	// orphaned counts the bad answers since that one is well again; heldSince is
	// since when an incident waits for another check to be decided.
	orphaned  int
	heldSince time.Time
	// askedAt is when it was asked last.
	askedAt time.Time
	// waiters wait for the next answer.
	waiters []chan struct{}
	pings   pings
	// seen is what stands on record of a check that another node asks.
	seen runner.CheckReport
	// doubt is until when somebody else may put an incident on record, because
	// this node has just taken the check over; zero for never.
	doubt time.Time

	// wake rings when it has to be asked at once. began is when its phase
	// within the interval is counted from. gone belongs to a probe that was
	// left behind. All belong to its goroutine.
	wake  chan struct{}
	began time.Time
	gone  <-chan struct{}
	stop  context.CancelCauseFunc
	done  chan struct{}
}

func newWatch(c Check) *watch {
	return &watch{check: c, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// ring wakes a watch that is awake already at most once more.
func (w *watch) ring() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run asks a check until ctx ends.
func (m *Monitor) run(ctx context.Context, w *watch) {
	defer close(w.done)
	w.began = time.Now()
	first := schedule.Jitter(min(spread, w.check.Every), w.check.Name, m.o.Env.Node)
	if w.check.Kind == KindHeartbeat {
		first = 0 // it costs nobody anything
	}
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.wake:
		}
		timer.Reset(m.turn(ctx, w))
	}
}

// turn asks once and returns how long to wait.
func (m *Monitor) turn(ctx context.Context, w *watch) time.Duration {
	m.mu.Lock()
	w.askedAt = time.Now()
	m.mu.Unlock()
	defer m.release(w)
	if w.check.Kind == KindHeartbeat {
		return m.turnHeartbeat(ctx, w)
	}
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	o := m.ask(ctx, w)
	<-m.slots
	if ctx.Err() != nil {
		return 0 // an answer to somebody who has gone says nothing
	}
	if o.unreached() && !m.gate.open(ctx) {
		o = Outcome{Void: true, Health: runner.HealthUnknown, At: o.At, Took: o.Took, Message: "this machine's own network is down"}
	}
	if ctx.Err() == nil {
		m.answered(ctx, w, o)
	}
	return m.wait(w)
}

// release tells those who wait for an answer that it is there. Who came while
// the probe was under way shares its answer.
func (m *Monitor) release(w *watch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, waiter := range w.waiters {
		close(waiter)
	}
	if len(w.waiters) > 0 && w.check.Kind != KindHeartbeat {
		select {
		case <-w.wake:
		default:
		}
	}
	w.waiters = nil
}

// wait is how long a watch of a probe sleeps: until retry_every after it was
// asked while its level may change, and else until its place in the interval,
// so that checks stay spread.
func (m *Monitor) wait(w *watch) time.Duration {
	m.mu.Lock()
	restless, asked, c := w.standing.restless() || w.held(), w.askedAt, w.check
	m.mu.Unlock()
	if restless {
		return max(0, time.Until(asked.Add(c.RetryEvery)))
	}
	offset := schedule.Jitter(c.Every, c.Name, m.o.Env.Node)
	into := (time.Since(w.began) - offset) % c.Every
	if into < 0 {
		into += c.Every
	}
	return c.Every - into
}

// held tells whether an incident waits for another check.
func (w *watch) held() bool { return !w.heldSince.IsZero() }

// ask asks the probe of a check once.
func (m *Monitor) ask(ctx context.Context, w *watch) Outcome {
	c := w.check
	if w.gone != nil {
		select {
		case <-w.gone:
			w.gone = nil
		default:
			// One probe left behind is enough: it would leave another one.
			err := fmt.Errorf("the probe was asked before and has not come back since")
			return Judge(c, jobs.Answer{Err: err, Late: true}, time.Now(), "", same)
		}
	}
	a, said, scrub := m.o.ask(ctx, c)
	if a.Gone != nil {
		select {
		case <-a.Gone:
		default:
			w.gone = a.Gone
		}
	}
	return Judge(c, a, time.Now(), said.take(scrub), scrub)
}

func same(text string) string { return text }

// ask makes the probe of a check and asks it in an environment of its own.
func (o *Options) ask(ctx context.Context, c Check) (a jobs.Answer, said *output, scrub func(string) string) {
	said = &output{}
	probe, secrets, err := o.Prober.Open(c.Name)
	scrub = secret.NewRedactor(secrets).Scrub
	if err != nil {
		return jobs.Answer{Err: err}, said, scrub
	}
	env := o.Env
	env.Job, env.Attempt, env.Trigger, env.Slot, env.Out = c.Name, 1, string(runner.ByCheck), time.Now().UTC(), said
	env.RunID, env.Workflow = "check-"+c.Name, "checks"
	dir, err := os.MkdirTemp(o.Env.WorkDir, c.Name+"-")
	if err != nil {
		return jobs.Answer{Err: fmt.Errorf("make a folder for the probe: %w", err)}, said, scrub
	}
	env.WorkDir = dir
	a = jobs.Ask(ctx, jobs.NewEnv(env, jobs.Hooks{Scrub: scrub}), probe, c.Timeout)
	if err := os.RemoveAll(dir); err != nil && a.Err == nil {
		a.Err = fmt.Errorf("remove the folder of the probe: %w", err)
	}
	return a, said, scrub
}

// Once asks a check once, without a monitor. The outcome is that one answer's.
func Once(ctx context.Context, o Options, c Check) (Outcome, error) {
	if c.Kind == KindHeartbeat {
		return Outcome{}, errors.New("a heartbeat is told, not asked")
	}
	a, said, scrub := o.ask(ctx, c)
	if err := context.Cause(ctx); err != nil {
		return Outcome{}, err
	}
	return Judge(c, a, time.Now(), said.take(scrub), scrub), nil
}
