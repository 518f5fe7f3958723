package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// worker sends the notices of one channel, one after the other.
type worker struct {
	*Dispatcher
	name string
	wake <-chan struct{}
	log  *slog.Logger
	// complaints are what was last logged of each sort, so that it is logged
	// once while it lasts.
	complaints map[string]string
	// pace is when messages were accepted, opened when the latest one that told
	// of an opening was. Until alone, nothing is gathered.
	pace          pace
	opened, alone time.Time
	// diverted are the notices of which the fallback was told meanwhile.
	diverted map[string]bool
}

// What a worker complains of.
const (
	noLedger  = "could not look what is to be sent"
	noRecord  = "could not record what became of a message; trying again"
	noChannel = "the channel cannot be used; its messages wait"
	longOwed  = "a fault that still lasts is not told for more than a day; its message waits on"
)

func (d *Dispatcher) work(ctx context.Context, name string, wake <-chan struct{}) {
	w := &worker{
		Dispatcher: d, name: name, wake: wake, log: d.o.Log.With("channel", name), complaints: map[string]string{}, diverted: map[string]bool{},
	}
	failed := 0
	for ctx.Err() == nil {
		now := d.o.Now()
		s := d.o.Settings(name)
		turn, err := w.next(ctx, s, now)
		if err == nil && turn.wait > 0 {
			failed = 0
			w.sleep(ctx, min(turn.wait, longestIdle))
			continue
		}
		var taken []runner.Notice
		var due time.Time
		if err == nil {
			taken, due, err = d.o.Outbox.Take(ctx, name, now, lease, turn.most)
		}
		switch {
		case ctx.Err() != nil && len(taken) == 0:
			return
		case err != nil:
			failed++
			w.complain(ctx, noLedger, err)
			w.sleep(ctx, d.wait(failed, 0))
			continue
		case len(taken) == 0 && due.IsZero() && !slices.Contains(d.o.Names(), name) && d.retire(name):
			return
		}
		failed = 0
		delete(w.complaints, noLedger)
		switch {
		case len(taken) == 1:
			w.deliver(ctx, s, taken[0])
		case len(taken) > 1:
			w.digest(ctx, s, taken)
		case due.IsZero():
			w.sleep(ctx, longestIdle)
		default:
			w.sleep(ctx, min(longestIdle, max(0, due.Sub(now))))
		}
	}
}

// sleep ends early when the worker is woken or ctx ends.
func (w *worker) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w.wake:
	case <-timer.C:
	}
}

// complain logs what is wrong, once until it is something else.
func (w *worker) complain(ctx context.Context, sort string, err error) {
	if w.complaints[sort] == err.Error() {
		return
	}
	w.complaints[sort] = err.Error()
	w.log.With("complaint", sort).WarnContext(ctx, "delivery of alerts is held up", "error", err, "hint", jobs.HintOf(err))
}

// unusableError says that the channel could not be opened, which the worker
// has complained of.
type unusableError struct{ err error }

func (e *unusableError) Error() string { return e.err.Error() }
func (e *unusableError) Unwrap() error { return e.err }

// sending is the context of a message under way. What was taken is settled also
// when ctx ends meanwhile; the message itself may take Options.Grace more.
func (w *worker) sending(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	sending, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(w.o.Grace, func() { cancel(errEnding) })
	})
	return sending, func(cause error) {
		stop()
		cancel(cause)
	}
}

// errEnding is the cause of a message that the end of Run cut short.
var errEnding = errors.New("upkeep ends")

// ending marks what was cut short, whatever the channel calls it.
func (w *worker) ending(sending context.Context, err error) error {
	if errors.Is(context.Cause(sending), errEnding) {
		return fmt.Errorf("%w: %w", errEnding, err)
	}
	return err
}

// deliver tries one notice and records what became of it.
func (w *worker) deliver(ctx context.Context, s Settings, n runner.Notice) {
	settled := context.WithoutCancel(ctx)
	sending, cancel := w.sending(ctx)
	defer cancel(nil)
	receipt, redactor, err := w.attempt(sending, s, n)
	if errors.Is(err, errLeftOut) {
		w.leaveOut(ctx, n)
		return
	}
	if partial, ok := errors.AsType[*PartialError](err); ok {
		w.log.WarnContext(settled, "a message was accepted for some only", "notice", n.ID, "error", redactor.Scrub(partial.Err.Error()))
		receipt, err = partial.Receipt+"; not told: "+partial.Err.Error(), nil
	}
	if err != nil {
		w.refused(ctx, s, n, redactor, w.ending(sending, err))
		return
	}
	delete(w.complaints, longOwed)
	w.sent(n)
	receipt = jobs.OneLine(redactor.Scrub(receipt))
	w.log.InfoContext(settled, "message sent", "notice", n.ID, "action", n.Action, "attempt", n.Attempts, "receipt", receipt)
	w.record(ctx, n, func(ctx context.Context) error { return w.o.Outbox.Sent(ctx, n.ID, receipt) })
}

// errLeftOut says that the channel is not to be told of a notice.
var errLeftOut = errors.New("the channel is not to be told of this")

// leaveOut settles a notice that the channel is not to be told of.
func (w *worker) leaveOut(ctx context.Context, n runner.Notice) {
	w.record(ctx, n, func(ctx context.Context) error { return w.o.Duties.Supersede(ctx, n.ID, errLeftOut.Error()) })
}

// attempt makes the message of a notice and hands it to the channel.
func (w *worker) attempt(ctx context.Context, s Settings, n runner.Notice) (string, *secret.Redactor, error) {
	if s.Disabled || !s.sends(n.Action) {
		return "", secret.NewRedactor(nil), errLeftOut
	}
	if s.Style == Recording && n.Action == runner.NoticeResolve && n.Combined {
		tried, err := w.tried(ctx, n)
		if err == nil && !tried {
			err = errLeftOut // nobody is called for what is over
		}
		if err != nil {
			return "", secret.NewRedactor(nil), err
		}
	}
	m, err := w.message(ctx, n)
	if err != nil {
		return "", secret.NewRedactor(nil), err
	}
	return w.hand(ctx, s, m)
}

// hand gives a message to the channel.
func (w *worker) hand(ctx context.Context, s Settings, m Message) (string, *secret.Redactor, error) {
	channel, secrets, err := w.o.Channels(w.name)
	redactor := secret.NewRedactor(secrets)
	if err != nil {
		w.complain(ctx, noChannel, jobs.WithHint(errors.New(redactor.Scrub(err.Error())), jobs.HintOf(err)))
		return "", redactor, &unusableError{fmt.Errorf("open channel %s: %w", w.name, err)}
	}
	delete(w.complaints, noChannel)
	if s.Template != nil {
		if written, err := s.Template.Apply(m); err == nil {
			m = written
		} else {
			// The message matters more than its form.
			w.log.WarnContext(ctx, "the template of the channel failed; the message goes out without it", "notice", m.ID, "error", err)
		}
	}
	receipt, err := Deliver(ctx, channel, m)
	return receipt, redactor, err
}

// refused decides what becomes of a notice that was not accepted.
func (w *worker) refused(ctx context.Context, s Settings, n runner.Notice, redactor *secret.Redactor, err error) {
	settled := context.WithoutCancel(ctx)
	now := w.o.Now()
	why := jobs.OneLine(redactor.Scrub(err.Error()))
	log := w.log.With("notice", n.ID, "action", n.Action, "attempt", n.Attempts, "error", why)
	if hint := redactor.Scrub(jobs.HintOf(err)); hint != "" {
		log = log.With("hint", hint)
	}
	if errors.Is(err, errEnding) {
		w.record(ctx, n, func(ctx context.Context) error { return w.o.Outbox.Retry(ctx, n.ID, why, now) })
		return
	}
	_, permanent := errors.AsType[*PermanentError](err)
	end := n.CreatedAt.Add(maxAge)
	old := !end.After(now) && n.Attempts >= leastTries
	if permanent || old && !w.lasts(settled, n) {
		log.ErrorContext(settled, "a message is given up", "fallback", s.Fallback)
		w.giveUp(ctx, s, n, why)
		return
	}
	var after time.Duration
	if temporary, ok := errors.AsType[*TemporaryError](err); ok {
		after = temporary.After
	}
	next := now.Add(w.wait(n.Attempts, after))
	switch {
	case old:
		w.complain(settled, longOwed, errors.New(why))
	case end.After(now) && next.After(end):
		next = end // the last attempt, unless the fault lasts
	}
	if due := w.insist(ctx, s, n, why, now); !due.IsZero() && next.After(due) {
		next = due // the fallback is told then, unless this succeeds
	}
	// The first failure is news, the others are in the outbox.
	level := slog.LevelDebug
	if _, complained := errors.AsType[*unusableError](err); n.Attempts <= 1 && !complained {
		level = slog.LevelWarn
	}
	log.Log(settled, level, "a message was not accepted and waits", "next", next)
	w.record(ctx, n, func(ctx context.Context) error { return w.o.Outbox.Retry(ctx, n.ID, why, next) })
}

// lasts tells whether n is to tell of a fault that has not ended: its workflow
// may fail for weeks without another notice, so somebody must hear of it as
// soon as the channel works again.
func (w *worker) lasts(ctx context.Context, n runner.Notice) bool {
	if n.Action != runner.NoticeOpen || n.Incident == "" {
		return false
	}
	reading, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	incident, err := w.o.Records.Incident(reading, n.Incident)
	switch {
	case errors.Is(err, runner.ErrNotFound):
		return false
	case err != nil:
		return true // the next attempt looks again
	}
	return incident.State == runner.IncidentOpen
}

// wait returns how long to wait after so many attempts: full jitter below a
// bound that doubles from 5 s to 15 m, at least a second, and not less than
// what the channel asks for.
func (d *Dispatcher) wait(attempts int, after time.Duration) time.Duration {
	bound := longestWait
	if doubled := attempts - 1; doubled < 16 {
		bound = min(bound, firstWait<<max(0, doubled))
	}
	return max(time.Second, time.Duration(d.o.Random()*float64(bound)), after)
}

// record writes what became of a notice, again and again while the ledger is
// not available: a message whose acceptance is not on record is sent twice.
func (w *worker) record(ctx context.Context, n runner.Notice, write func(context.Context) error) {
	for failed := 1; ; failed++ {
		err := func() error {
			writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
			defer cancel()
			return write(writing)
		}()
		switch {
		case err == nil:
			delete(w.complaints, noRecord)
			return
		case errors.Is(err, runner.ErrNoticeState):
			return // somebody else decided meanwhile
		case !errors.Is(err, runner.ErrUnavailable) || ctx.Err() != nil:
			w.log.ErrorContext(context.WithoutCancel(ctx), "could not record what became of a message; it may be sent again", "notice", n.ID, "error", err)
			return
		}
		w.complain(ctx, noRecord, err)
		pause := time.NewTimer(min(longestWait, time.Second<<min(failed, 5)))
		select {
		case <-ctx.Done(): // one more attempt
		case <-pause.C:
		}
		pause.Stop()
	}
}
