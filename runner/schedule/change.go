package schedule

import (
	"math"
	"time"
)

// Change is an instant at which the wall clock of a zone is set forward or
// back.
type Change struct {
	// At is the instant, in UTC: the first one under the new offset.
	At time.Time
	// Before and After are the offsets from UTC on its both sides.
	Before, After time.Duration
}

// Shift is by how much the clock is set forward, negative when it is set back.
func (c Change) Shift() time.Duration { return c.After - c.Before }

// Changes lists the clock changes of a zone after one instant up to and
// including another, in order. The work grows with the number of years.
func Changes(zone *time.Location, after, through time.Time) []Change {
	from, to := max(after.Unix(), firstInstant-1)+1, min(through.Unix(), lastInstant)
	if zone == nil || from > to {
		return nil
	}
	var found []Change
	s := stretchAt(zone, from-1)
	for s.to != math.MaxInt64 && s.to <= to {
		next := s.following(zone)
		if next.from >= from && next.offset != s.offset {
			found = append(found, Change{
				At: time.Unix(next.from, 0).UTC(), Before: time.Duration(s.offset) * time.Second, After: time.Duration(next.offset) * time.Second,
			})
		}
		s = next
	}
	return found
}
