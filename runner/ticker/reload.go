package ticker

import (
	"context"
	"time"
)

// Replace puts another set of workflows in force, all or, when its error says
// that the set is wrong, none. Calendars whose schedule stays keep everything.
// Where it changed, the slots of the old one through now are still decided and
// the new one begins now; workflows that went are started no more, and those
// that came begin now. It takes effect between two rounds, and it waits for Run
// to have begun. A ledger that is away does not matter: what is owed is
// recorded when it is back.
func (t *Ticker) Replace(ctx context.Context, workflows []Workflow) error {
	if err := checkWorkflows(workflows, t.options.Node); err != nil {
		return err
	}
	return t.order(ctx, func(context.Context) error {
		t.replace(workflows)
		ask(t.looks)
		return nil
	})
}

func (t *Ticker) replace(workflows []Workflow) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	stays := make(map[*calendar]bool, len(workflows))
	for _, w := range workflows {
		if w.idle() {
			continue
		}
		c := t.agenda.byKey[w.key()]
		if c == nil {
			c = &calendar{rule: t.rule(w), seen: now, since: now, through: now.Truncate(time.Second), unrecorded: true}
			t.agenda.add(c)
		} else {
			c.change(t.rule(w), now)
		}
		stays[c] = true
	}
	for _, c := range t.agenda.heap {
		if !stays[c] {
			c.change(t.rule(Workflow{Name: c.Name, Host: c.Host}), now)
		}
	}
	t.agenda.arm()
}
