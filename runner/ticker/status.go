package ticker

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/runner/schedule"
)

// Status is how the ticker is doing.
type Status struct {
	// Ready tells that the calendars were read from the ledger.
	Ready bool
	// Calendars is how many it looks after.
	Calendars int
	// Next is when the next slot starts, its jitter included; zero for never.
	Next time.Time
	// Ticked is when slots were last recorded, Slots how many at once, and Lag
	// how long after its start the latest of them that was on time was on
	// record.
	Ticked time.Time
	Slots  int
	Lag    time.Duration
	// Err is why the last round failed and FailingSince when the first of them
	// in a row did; nil and zero when all is well.
	Err          error
	FailingSince time.Time
	// Held is why no run starts at present; empty when runs start.
	Held string
}

// Status returns how the ticker is doing.
func (t *Ticker) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.status
	s.Calendars, s.Held = len(t.agenda.heap), t.held
	if next := t.agenda.start(t.now()); s.Ready && next.Before(never()) {
		s.Next = next
	}
	if s.Next.IsZero() && s.Ready {
		if next := t.agenda.after(t.now()); next.Before(never()) {
			s.Next = next
		}
	}
	return s
}

// Alive tells whether the loop goes round: within Options.Stall it ended a
// round, or heard from the ledger. It is false while a write hangs for longer,
// and when gocron does not ask any more. A ledger that is away and says so does
// not matter. After Run it is true: there is nothing to prove.
func (t *Ticker) Alive() bool {
	select {
	case <-t.done:
		return true
	default:
		return time.Since(*t.beat.Load()) < t.options.Stall
	}
}

// Hold keeps runs from starting, as while the disk is full; why is for people.
// Slots that come due stay undecided, so that nothing is lost: after Resume
// they are decided by the normal path. Holding again changes the reason.
func (t *Ticker) Hold(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if why == "" {
		why = "starts are held back"
	}
	if t.held == "" {
		t.heldSince = t.now()
	}
	t.held = why
}

// Resume ends Hold and looks at once.
func (t *Ticker) Resume() {
	t.mu.Lock()
	held := t.held
	t.held = ""
	t.mu.Unlock()
	if held != "" {
		ask(t.sweeps)
	}
}

// holding tells whether runs are held back, and remembers it as what keeps
// slots from being decided.
func (t *Ticker) holding() bool {
	t.mu.Lock()
	why, since := t.held, t.heldSince
	t.mu.Unlock()
	if why != "" && t.trouble.since.IsZero() {
		t.trouble = trouble{since: since, why: why}
	}
	return why != ""
}

// Sweep looks at everything at once, as the ticker does by itself every
// Options.Sweep, and returns what went wrong. It waits for Run to have begun.
func (t *Ticker) Sweep(ctx context.Context) error { return t.order(ctx, t.sweep) }

// rule puts a workflow in force. Nodes that share its slots start them at the
// same instant, whoever it is that decides.
func (t *Ticker) rule(w Workflow) rule {
	host := t.options.Node
	if t.options.Turn != nil && w.Host == "" {
		host = ""
	}
	delay := schedule.Jitter(w.Jitter, w.Name, host).Truncate(time.Second)
	return rule{Workflow: w, words: RuleOf(w.Schedule), delay: delay}
}
