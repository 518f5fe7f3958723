package schedule

import (
	"iter"
	"math"
	"time"
)

// Instants outside the years 1 to 9999 have no slots: RFC 3339 cannot write
// them.
const (
	firstInstant = -62135596800 // 0001-01-01T00:00:00Z
	lastInstant  = 253402300799 // 9999-12-31T23:59:59Z
)

// cycleSeconds is the length of the Gregorian cycle, which bounds every search.
const cycleSeconds = 146_097 * daySeconds

// Schedule is a checked Rule. It is immutable, safe for concurrent use and
// cheap to copy. The zero Schedule has no slots; it stands for a workflow that
// is never started by the calendar.
type Schedule struct {
	p *plan
}

// plan is what a Rule compiles to. Either every is set, or days and clock are.
type plan struct {
	zone  *time.Location
	dst   DST
	field string // which form of Rule
	text  string // its text, normalized

	every int64 // seconds
	days  days
	clock clock

	// dayAt is the offset in text of what restricts the days most, for errors.
	dayAt int
}

// IsZero reports whether s is the zero Schedule.
func (s Schedule) IsZero() bool { return s.p == nil }

// Rule returns a rule that parses to a schedule equal to s: with normalized
// text, zone and policy filled in. The zero Schedule returns the zero Rule.
func (s Schedule) Rule() Rule {
	if s.p == nil {
		return Rule{}
	}
	rule := Rule{Zone: s.p.zone, DST: s.p.dst}
	switch s.p.field {
	case "daily":
		rule.Daily = s.p.text
	case "weekly":
		rule.Weekly = s.p.text
	case "monthly":
		rule.Monthly = s.p.text
	case "cron":
		rule.Cron = s.p.text
	case "every":
		rule.Every = time.Duration(s.p.every) * time.Second
	}
	return rule
}

// Equal reports whether s and other were written alike: same form, same
// normalized text, same name of the zone, same policy.
func (s Schedule) Equal(other Schedule) bool {
	if s.p == nil || other.p == nil {
		return s.p == other.p
	}
	a, b := s.p, other.p
	return a.field == b.field && a.text == b.text && a.zone.String() == b.zone.String() && a.dst == b.dst
}

// Zone returns the zone whose wall clock s follows, never nil.
func (s Schedule) Zone() *time.Location {
	if s.p == nil {
		return time.UTC
	}
	return s.p.zone
}

// Next returns the first slot after an instant, in UTC, and false when there
// is none. Slots of a chain of calls increase strictly. The work is bounded
// whatever the rule and the instant.
func (s Schedule) Next(after time.Time) (time.Time, bool) {
	if s.p == nil {
		return time.Time{}, false
	}
	unix := max(after.Unix(), firstInstant-1)
	if unix >= lastInstant {
		return time.Time{}, false
	}
	if s.p.every > 0 {
		unix = (floorDiv(unix, s.p.every) + 1) * s.p.every
	} else {
		var ok bool
		if unix, ok = s.p.nextInstant(unix + 1); !ok {
			return time.Time{}, false
		}
	}
	if unix > lastInstant {
		return time.Time{}, false
	}
	return time.Unix(unix, 0).UTC(), true
}

// Slots yields the slots after one instant up to and including another, in
// order. The caller bounds how many it takes.
func (s Schedule) Slots(after, through time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		slot, ok := s.Next(after)
		for ok && !slot.After(through) && yield(slot) {
			slot, ok = s.Next(slot)
		}
	}
}

// Count returns how many slots lie after one instant up to and including
// another. It does not enumerate them: a year of seconds costs microseconds.
func (s Schedule) Count(after, through time.Time) int64 {
	if s.p == nil || !after.Before(through) {
		return 0
	}
	return s.p.count(max(after.Unix(), firstInstant-1), min(through.Unix(), lastInstant))
}

// Prev returns the last slot that is not after an instant, in UTC, and false
// when there is none within the 400 years before it.
func (s Schedule) Prev(upTo time.Time) (time.Time, bool) {
	unix := min(upTo.Unix(), lastInstant)
	if s.p == nil || unix < firstInstant {
		return time.Time{}, false
	}
	for reach := int64(daySeconds); ; reach *= 4 {
		low := max(unix-min(reach, cycleSeconds), firstInstant-1)
		if s.p.count(low, unix) > 0 {
			return time.Unix(s.p.newest(low, unix, 0), 0).UTC(), true
		}
		if reach >= cycleSeconds {
			return time.Time{}, false
		}
	}
}

// newest returns the smallest instant after low from which on, exclusively, at
// most n slots lie up to and including through. When there are more than n
// after low, that instant is itself a slot: the one before the newest n.
func (p *plan) newest(low, through, n int64) int64 {
	high := through
	for low+1 < high {
		middle := low + (high-low)/2
		if p.count(middle, through) <= n {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// repeats reports whether p also runs at wall times shown for the second time.
func (p *plan) repeats() bool { return p.dst == DSTBoth || p.clock.everyHour() }

// makesUp reports whether wall times in a gap make a slot after it.
func (p *plan) makesUp() bool { return p.dst != DSTSkip && !p.clock.everyHour() }

// nextInstant returns the first slot of a wall-clock schedule at or after at.
func (p *plan) nextInstant(at int64) (int64, bool) {
	horizon := at + cycleSeconds
	for at <= min(horizon, lastInstant) {
		current := stretchAt(p.zone, at)
		if current.opening && current.from == at && p.madeUp(current) {
			return at, true
		}
		w, ok := p.nextWall(p.from(current, at))
		if !ok {
			return 0, false
		}
		if w < current.end() {
			return current.instant(w), true
		}
		at = current.to
		if !p.repeats() {
			// No new wall time before w is wanted, so no stretch that ends well
			// before w can hold a slot, nor can a gap in front of one. A rule that
			// repeats must visit each: after a change the clock can be behind.
			at = max(at, int64(w)-lookBack)
		}
	}
	return 0, false
}

// from returns the first wall time that counts from instant at on in a stretch.
func (p *plan) from(s stretch, at int64) wall {
	if p.repeats() {
		return wall(at + s.offset)
	}
	return s.firstNew(at)
}

// madeUp reports whether the gap in front of s swallowed a wall time that runs
// after it.
func (p *plan) madeUp(s stretch) bool {
	if !p.makesUp() || s.highest >= s.begin() {
		return false
	}
	w, ok := p.nextWall(s.highest)
	return ok && w < s.begin()
}

// nextWall returns the first wanted wall time that is not before w.
func (p *plan) nextWall(w wall) (wall, bool) {
	d := dayOf(int64(w))
	if p.days.has(d) {
		if sec, ok := p.clock.next(int(w - d.begin())); ok {
			return d.begin() + wall(sec), true
		}
	}
	d, ok := p.days.next(d + 1)
	if !ok {
		return 0, false
	}
	sec, _ := p.clock.next(0)
	return d.begin() + wall(sec), true
}

// count returns how many slots lie in (after, through].
func (p *plan) count(after, through int64) int64 {
	if through <= after {
		return 0
	}
	if p.every > 0 {
		return floorDiv(through, p.every) - floorDiv(after, p.every)
	}
	var n int64
	at := after + 1
	for current := stretchAt(p.zone, at); at <= through; current = current.following(p.zone) {
		if current.opening && current.from == at && p.madeUp(current) && !p.wants(current.begin()) {
			n++
		}
		last := through
		if current.to != math.MaxInt64 {
			last = min(through, current.to-1)
		}
		n += p.countWalls(p.from(current, at), wall(last+1+current.offset))
		at = last + 1
	}
	return n
}

// wants reports whether w is one of the plan's wall times.
func (p *plan) wants(w wall) bool {
	d := dayOf(int64(w))
	return p.days.has(d) && p.clock.has(int(w-d.begin()))
}

// countWalls returns how many wanted wall times lie in [from, to): whole days
// first, then the first and the last day corrected.
func (p *plan) countWalls(from, to wall) int64 {
	if to <= from {
		return 0
	}
	firstDay, lastDay := dayOf(int64(from)), dayOf(int64(to))
	n := p.days.count(firstDay, lastDay) * p.clock.count(daySeconds)
	if p.days.has(firstDay) {
		n -= p.clock.count(int(from - firstDay.begin()))
	}
	if p.days.has(lastDay) {
		n += p.clock.count(int(to - lastDay.begin()))
	}
	return n
}
