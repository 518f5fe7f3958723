package ticker

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/go-co-op/gocron/v2"
)

// reach is how far ahead the clock is set at most.
const reach = 6 * time.Hour

// clock is gocron: one job for the next start of all calendars, one for the
// sweep and one for each chore. Its functions only ask.
type clock struct {
	ticker    *Ticker
	scheduler gocron.Scheduler
	// starts is the job of the calendars.
	starts gocron.Job
}

func (t *Ticker) newClock() (*clock, error) {
	options := append([]gocron.SchedulerOption{gocron.WithLocation(time.UTC), gocron.WithStopTimeout(5 * time.Second)}, t.options.gocron...)
	scheduler, err := gocron.NewScheduler(options...)
	if err != nil {
		return nil, fmt.Errorf("make the clock: %w", err)
	}
	return &clock{ticker: t, scheduler: scheduler}, nil
}

// start begins to ask; chores get ctx.
func (k *clock) start(ctx context.Context) error {
	k.scheduler.Start()
	if err := k.arm(); err != nil {
		return err
	}
	t := k.ticker
	if err := k.every(t.options.Sweep, t.options.Sweep, func() { ask(t.sweeps) }); err != nil {
		return fmt.Errorf("set the clock for the sweep: %w", err)
	}
	for _, chore := range t.options.Chores {
		if err := k.every(chore.Every, chore.First, t.turn(ctx, chore)); err != nil {
			return fmt.Errorf("set the clock for %s: %w", chore.Name, err)
		}
	}
	return nil
}

// every asks again and again. The interval counts from the end of a turn: from
// its nominal time, a clock that is set back would keep gocron silent for just
// as long.
func (k *clock) every(interval, first time.Duration, do func()) error {
	at := gocron.WithStartImmediately()
	if first > 0 {
		at = gocron.WithStartDateTime(k.ticker.options.Now().Add(first))
	}
	_, err := k.scheduler.NewJob(gocron.DurationJob(interval), gocron.NewTask(do),
		gocron.WithIntervalFromCompletion(),
		gocron.WithStartAt(at))
	return err
}

// arm sets the clock anew for the next start of all calendars. It is another
// job each time: gocron may still be about to schedule the old one again.
func (k *clock) arm() error {
	if k.starts != nil {
		if err := k.scheduler.RemoveJob(k.starts.ID()); err != nil {
			return fmt.Errorf("set the clock: %w", err)
		}
	}
	job, err := k.scheduler.NewJob(gocron.CronJob("next start", false),
		gocron.NewTask(func() { ask(k.ticker.looks) }), gocron.WithCronImplementation(dial{k.ticker}))
	if err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	k.starts = job
	return nil
}

func (k *clock) stop() error {
	if err := k.scheduler.Shutdown(); err != nil {
		return fmt.Errorf("stop the clock: %w", err)
	}
	return nil
}

// ask leaves a request that one round will answer, however many there are.
func ask(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// dial is what gocron asks for the next start.
type dial struct{ ticker *Ticker }

// IsValid implements gocron.Cron.
func (dial) IsValid(string, *time.Location, time.Time) error { return nil }

// Next implements gocron.Cron: it returns the earliest start of all calendars
// that is later than last and than now. It never returns the zero time nor one
// that has passed, which would let gocron spin.
func (d dial) Next(last time.Time) time.Time {
	t := d.ticker
	from := last
	if now := t.now(); now.After(from) {
		from = now
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next := t.agenda.after(from)
	if limit := from.Add(reach); next.After(limit) {
		next = limit
	}
	t.armed = next
	return next
}

// turn returns a function that does a chore in its own goroutine, unless it is
// being done.
func (t *Ticker) turn(ctx context.Context, chore Chore) func() {
	var busy atomic.Bool
	return func() {
		if ctx.Err() != nil || !busy.CompareAndSwap(false, true) {
			return
		}
		t.turns.Go(func() {
			defer busy.Store(false)
			if err := guard(func() error { return chore.Do(ctx) }); err != nil && ctx.Err() == nil {
				t.log.ErrorContext(ctx, "a chore failed", "chore", chore.Name, "error", err)
			}
		})
	}
}

// guard turns a panic of do into an error.
func guard(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return do()
}
