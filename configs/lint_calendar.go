package configs

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// lintFresh looks for a limit that a workflow exceeds although it always
// succeeds.
func (b *draft) lintFresh() {
	limit := b.out.FreshWithin
	if limit == 0 || b.out.Schedule.IsZero() {
		return
	}
	gap := longestGap(b.out.Schedule, limit, time.Now())
	if gap == 0 {
		return
	}
	b.d.Warn(at(b.node, "fresh_within", b.at), "never-fresh", b.child("fresh_within"),
		fmt.Sprintf("it would count as stale although it always succeeds: up to %s lie between two slots", unit.Duration(gap)),
		"make fresh_within longer than that and what a run takes")
}

// longestGap returns the longest time between two slots in the year after from,
// when it is not shorter than least, else 0. It looks at no more than gapSteps
// places of the calendar.
//
// From each slot it goes to the last one that is not least later. It cannot
// leap over a gap that long: the slot before the gap is one that it stops at.
func longestGap(s schedule.Schedule, least time.Duration, from time.Time) (longest time.Duration) {
	end := from.AddDate(1, 0, 0)
	slot, ok := s.Next(from)
	for range gapSteps {
		if !ok || slot.After(end) {
			break
		}
		last, found := s.Prev(slot.Add(least - time.Nanosecond))
		if found && last.After(slot) {
			slot = last
			continue
		}
		next, more := s.Next(slot)
		if more {
			longest = max(longest, next.Sub(slot))
		}
		slot, ok = next, more
	}
	return longest
}

// gapSteps bounds longestGap.
const gapSteps = 1000

// lintOverlap looks for runs that may outlast the time to the next slot, which
// is left out then.
func (b *draft) lintOverlap(distance time.Duration) {
	if b.out.Timeout > distance && b.out.Overlap == runner.OverlapSkip {
		b.d.Warn(at(b.node, "timeout", b.at), "timeout-order", b.child("timeout"),
			fmt.Sprintf("a run may take %s, but the next slot may follow after %s and is left out while it runs", unit.Duration(b.out.Timeout), unit.Duration(distance)),
			"make timeout shorter, or choose overlap: queue")
	}
}
