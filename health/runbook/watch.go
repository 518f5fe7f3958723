package runbook

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// watch is what the answers of a check say about one runbook.
type watch struct {
	// trigger is what is watched for; another one begins anew.
	trigger string
	// since is the first answer of those without a break by which the trigger
	// held; zero when it does not hold.
	since  time.Time
	latest runner.CheckReport
	// first is the first answer; recalled tells that what was on record before it
	// has been looked at.
	first    runner.CheckReport
	recalled bool
	// ignore is until when answers do not count.
	ignore time.Time
}

// due tells whether the trigger has held for long enough.
func (w watch) due(t Trigger) bool {
	return !w.since.IsZero() && w.latest.At.Sub(w.since) >= t.For
}

// see takes in one answer.
func (e *Engine) see(b Runbook, r runner.CheckReport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.watchOf(b)
	w.latest = r
	if w.first.At.IsZero() {
		w.first = r
	}
	switch {
	case !b.Trigger.Holds(r) || !r.At.After(w.ignore):
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = r.At
	}
}

// watchOf returns the watch of a runbook. The caller holds mu.
func (e *Engine) watchOf(b Runbook) *watch {
	w := e.watches[b.Name]
	if trigger := b.Trigger.String(); w == nil || w.trigger != trigger {
		// A trigger that was changed begins anew.
		w = &watch{trigger: trigger, recalled: w != nil}
		e.watches[b.Name] = w
	}
	return w
}

// watched returns what the answers say about a runbook.
func (e *Engine) watched(b Runbook) watch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return *e.watchOf(b)
}

// ignore lets answers up to an instant not count any more: they may be those
// that an action is about to change.
func (e *Engine) ignore(b Runbook, until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.watchOf(b)
	if until.After(w.ignore) {
		w.ignore = until
	}
	if !w.since.After(w.ignore) {
		w.since = time.Time{}
	}
}

// forget drops what is known of a runbook that another node looks after.
func (e *Engine) forget(b Runbook) {
	delete(e.cases, b.Name)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.watches, b.Name)
}
