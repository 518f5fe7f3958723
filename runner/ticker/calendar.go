package ticker

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// setBack is how far a cursor may lie in the future before the clock is held to
// have been wrong when it was written.
const setBack = 24 * time.Hour

// rule is a workflow as it was configured for some time.
type rule struct {
	Workflow
	// words is what cursors call its schedule.
	words string
	// delay is its jitter on this node.
	delay time.Duration
	// until ends its time; zero for the rule in force.
	until time.Time
	// removed tells that no other rule followed at until.
	removed bool
}

// calendar is one line of slots and how far they are decided.
type calendar struct {
	// rule is the one in force.
	rule
	// past are rules before it that may have slots which are not decided,
	// oldest first.
	past []rule
	// through is the instant through which slots are decided; zero until the
	// ledger was asked.
	through time.Time
	// since is when the calendar was first seen by anybody, seen when by this
	// ticker.
	since, seen time.Time
	// adopts tells that the ledger's cursor is to be taken over whatever it is.
	adopts bool
	// unrecorded tells that the ledger does not have this cursor.
	unrecorded bool
	// success is the latest success that is known of; zero for none.
	success time.Time
	// came is when the first slot came due that is left to other nodes; zero when
	// none is.
	came time.Time
	// wake is when to look at it; at is its place in the agenda.
	wake time.Time
	at   int
}

// never is later than all slots.
func never() time.Time { return time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }

// atOnce is before all instants.
func atOnce() time.Time { return time.Time{} }

// arm computes when c is to be looked at.
func (c *calendar) arm() {
	c.came = time.Time{}
	if c.unrecorded || len(c.past) > 0 {
		c.wake = atOnce()
		return
	}
	c.wake = c.following(time.Time{})
}

// following returns the first start after an instant, of slots that are not
// decided; never when there is none.
func (c *calendar) following(after time.Time) time.Time {
	from := c.through
	if !after.IsZero() {
		if slot := after.Add(-c.delay); slot.After(from) {
			from = slot
		}
	}
	slot, ok := c.Schedule.Next(from)
	if !ok {
		return never()
	}
	return slot.Add(c.delay)
}

// adopt takes over what the ledger says about c, as far as that is further
// than what c knows. It repairs the memory after writes whose outcome is not
// known.
func (c *calendar) adopt(cursor runner.Cursor) {
	through := cursor.Through.UTC()
	head := &c.rule
	if len(c.past) > 0 {
		head = &c.past[0]
	}
	switch {
	case c.adopts:
		c.adopts, c.since = false, cursor.Since.UTC()
		if cursor.Schedule == head.words {
			c.through, c.unrecorded = through, len(c.past) > 0
		} else {
			c.through, c.unrecorded = c.seen, true
		}
	case len(c.past) > 0 && cursor.Schedule == c.words && !through.Before(c.past[len(c.past)-1].until):
		c.past, c.through, c.unrecorded = nil, through, false
	case cursor.Schedule == head.words && through.After(c.through):
		c.through, c.unrecorded = through, len(c.past) > 0
	}
}

// begin is for a calendar that the ledger does not know.
func (c *calendar) begin() {
	if c.adopts {
		c.adopts, c.through, c.since, c.unrecorded = false, c.seen, c.seen, true
	}
}

// change puts another rule in force from now on.
func (c *calendar) change(next rule, now time.Time) {
	if next.words != c.words {
		last := c.rule
		last.until, last.removed = now, next.words == noRule
		c.past = append(c.past, last)
	}
	// A calendar that only waited for a success leaves by being recorded.
	c.unrecorded = c.unrecorded || next.words != c.words || next.idle()
	c.rule = next
}

// debt is what became of the slots of one rule.
type debt struct {
	rule    *rule
	account schedule.Account
}

// owed decides about all slots that came due, and says through which instant.
func (c *calendar) owed(now time.Time) (debts []debt, through time.Time) {
	from := c.through
	add := func(r *rule, through time.Time) {
		if !through.After(from) {
			return
		}
		if a := account(r, from, through, now); len(a.Decisions) > 0 {
			debts = append(debts, debt{r, a})
		}
		from = through
	}
	for i := range c.past {
		add(&c.past[i], c.past[i].until)
	}
	add(&c.rule, now.Add(-c.delay))
	// Slots lie on whole seconds, and so do cursors.
	return debts, from.Truncate(time.Second)
}

// account decides about the slots of r after last through an instant that may
// lie before now.
func account(r *rule, last, through, now time.Time) schedule.Account {
	policy := r.Policy
	behind := now.Add(-r.delay).Sub(through)
	if behind != 0 {
		// Due counts lateness from through. The end of its second has the same
		// slots before it and keeps the lateness of each above zero.
		end := through.Truncate(time.Second).Add(time.Second - 1)
		behind -= end.Sub(through)
		through = end
		if policy.StartDeadline <= 0 {
			policy.StartDeadline = schedule.DefaultStartDeadline
		}
		policy.StartDeadline = max(policy.StartDeadline-behind, 1)
		if policy.CatchUp.Within > 0 {
			policy.CatchUp.Within = max(policy.CatchUp.Within-behind, 1)
		}
	}
	return schedule.Due(r.Schedule, last, through, policy)
}

// cursor is what the ledger is told when the slots through an instant are
// decided.
func (c *calendar) cursor(through time.Time) runner.Cursor {
	return runner.Cursor{CalendarKey: c.key(), Schedule: c.words, Through: through, Since: c.since}
}
