package ticker

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// Absent decides, for a node that is not there, those slots of its share in a
// workflow that it could no longer run if it came back now: they are missed, and
// whoever finds that may record it. The others wait for the node, which decides
// them itself when it is back. w.Host names the node; known tells whether the
// ledger has a cursor of the calendar, which is cursor. ok is false when there
// is nothing to record. The newest slot alerts.
//
// A start that jitter delays counts with the longest delay, so that the slots of
// several nodes are missed at the same time.
func Absent(w Workflow, cursor runner.Cursor, known bool, now time.Time) (d runner.Decided, ok bool) {
	if w.Schedule.IsZero() || w.Host == "" {
		return d, false
	}
	now = now.Round(0).UTC()
	c := &calendar{rule: rule{Workflow: w, words: RuleOf(w.Schedule), delay: w.Jitter.Truncate(time.Second)}, seen: now.Truncate(time.Second)}
	if !known || cursor.Schedule != c.words {
		c.since = c.seen
		return runner.Decided{Cursor: c.cursor(c.seen)}, true
	}
	c.through, c.since = cursor.Through.UTC(), cursor.Since
	debts, _ := c.owed(now)
	m, through := moment{now: now}, time.Time{}
	for _, debt := range debts {
		if f := debt.account.Folded; f.Count > 0 {
			d.Requests, through = append(d.Requests, folded(debt.rule, f)), f.Last
		}
		for _, decision := range debt.account.Decisions {
			if decision.Verdict != schedule.VerdictMissed {
				break // those that are missed are the oldest
			}
			d.Requests, through = append(d.Requests, m.request(debt.rule, decision)), decision.Slot
		}
	}
	if len(d.Requests) == 0 {
		return d, false
	}
	for i := range d.Requests {
		d.Requests[i].Message = fmt.Sprintf("the node %s was not there: %s", w.Host, d.Requests[i].Message)
	}
	d.Requests[len(d.Requests)-1].Alert = true
	d.Cursor = c.cursor(through)
	return d, true
}
