package configs

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// The bounds of what calendars is worth: the slots that it looks at of one
// schedule and of all of them. The second is reached by configurations of many
// hundred schedules only, and keeps them quick to load.
const (
	gapSteps  = 5_000
	gapBudget = 200_000
)

// calendars measures schedules for the lint, alike ones once.
type calendars struct {
	known map[schedule.Rule]time.Duration
	left  int
}

func newCalendars() *calendars {
	return &calendars{known: map[schedule.Rule]time.Duration{}, left: gapBudget}
}

// longestGap returns the longest time between two slots of s in the year after
// now, as far as it looks; 0 when it does not know.
func (c *calendars) longestGap(s schedule.Schedule, now time.Time) time.Duration {
	rule := s.Rule()
	if rule.Every > 0 {
		return rule.Every
	}
	if gap, ok := c.known[rule]; ok {
		return gap
	}
	end := now.AddDate(1, 0, 0)
	var longest time.Duration
	slot, ok := s.Next(now)
	for range min(gapSteps, c.left) {
		if !ok || slot.After(end) {
			break
		}
		next, more := s.Next(slot)
		if more {
			longest = max(longest, next.Sub(slot))
		}
		slot, ok = next, more
		c.left--
	}
	c.known[rule] = longest
	return longest
}

// lintFresh looks for a limit that a workflow exceeds although it always
// succeeds.
func (b *draft) lintFresh(c *calendars) {
	limit := b.out.FreshWithin
	if limit == 0 || b.out.Schedule.IsZero() {
		return
	}
	if gap := c.longestGap(b.out.Schedule, time.Now()); gap >= limit {
		b.d.Warn(at(b.node, "fresh_within", b.at), "never-fresh", b.child("fresh_within"),
			fmt.Sprintf("it would count as stale although it always succeeds: up to %s lie between two slots", unit.Duration(gap)),
			"make fresh_within longer than that and what a run takes")
	}
}

// lintOverlap looks for runs that may outlast the time to the next slot, which
// is left out then.
func (b *draft) lintOverlap(distance time.Duration) {
	if b.out.Timeout > distance && b.out.Overlap == runner.OverlapSkip {
		b.d.Warn(at(b.node, "timeout", b.at), "timeout-order", b.child("timeout"),
			fmt.Sprintf("a run may take %s, but the next slot may follow after %s and is left out while it runs", unit.Duration(b.out.Timeout), unit.Duration(distance)),
			"make timeout shorter, or choose overlap: queue")
	}
}
