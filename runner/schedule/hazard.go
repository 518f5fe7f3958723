package schedule

import (
	"fmt"
	"math"
	"time"
)

// HazardKind is what may surprise somebody about a schedule.
type HazardKind string

// The kinds.
const (
	HazardGap     HazardKind = "gap"     // a clock change removes a time of the schedule
	HazardDoubled HazardKind = "doubled" // a clock change lets a time occur twice
	HazardNoDay   HazardKind = "no_day"  // a month has no day of the schedule
)

// Hazard is one date at which a schedule does not do what its text seems to say.
type Hazard struct {
	// At is the instant of the clock change, or the first of the month, in UTC.
	At   time.Time
	Kind HazardKind
	// Text says in words what happens.
	Text string
}

// Hazards lists, in order of their kind and time, the hazards of s after one
// instant up to and including another. The work grows with the number of
// months in between. Schedules without a time on the wall clock (every, and
// cron rules of all hours) have no hazards of the clock.
func (s Schedule) Hazards(after, through time.Time) []Hazard {
	if s.p == nil || s.p.every > 0 || !after.Before(through) {
		return nil
	}
	from, to := max(after.Unix(), firstInstant-1)+1, min(through.Unix(), lastInstant)
	var found []Hazard
	if !s.p.clock.everyHour() {
		found = s.p.clockHazards(from, to)
	}
	return append(found, s.p.monthHazards(from, to)...)
}

func (p *plan) clockHazards(from, to int64) []Hazard {
	var found []Hazard
	for s := stretchAt(p.zone, from); s.from <= to; s = s.following(p.zone) {
		if s.opening && s.from >= from {
			if w, ok := p.nextWall(s.highest); ok && w < s.begin() {
				found = append(found, p.gapHazard(s, w))
			}
			if w, ok := p.nextWall(s.begin()); ok && w < s.highest {
				found = append(found, p.doubledHazard(s, w))
			}
		}
		if s.to == math.MaxInt64 {
			break
		}
	}
	return found
}

func (p *plan) gapHazard(s stretch, w wall) Hazard {
	text := fmt.Sprintf("%s does not exist in %s", w, p.zone)
	if p.makesUp() {
		text += fmt.Sprintf("; it runs at %s instead", s.begin().clock())
	} else {
		text += "; it is left out (dst: skip)"
	}
	return Hazard{At: time.Unix(s.from, 0).UTC(), Kind: HazardGap, Text: text}
}

func (p *plan) doubledHazard(s stretch, w wall) Hazard {
	text := fmt.Sprintf("%s occurs twice in %s", w, p.zone)
	if p.repeats() {
		text += "; it runs both times (dst: both)"
	} else {
		text += "; it runs the first time"
	}
	return Hazard{At: time.Unix(s.from, 0).UTC(), Kind: HazardDoubled, Text: text}
}

// monthHazards finds the months that the rule names and that have none of its
// days. A date and a weekday that must coincide are rare by intention.
func (p *plan) monthHazards(from, to int64) []Hazard {
	d := &p.days
	if !d.either && d.weekdays != allWeekdays && (d.dates != allDates || d.fromLast != 0) {
		return nil
	}
	_, offset := time.Unix(from, 0).In(p.zone).Zone()
	var found []Hazard
	m, _ := monthOf(dayOf(from + int64(offset)))
	for ; ; m = m.next() {
		first := time.Date(m.year, m.number, 1, 0, 0, 0, 0, p.zone)
		if first.Unix() > to {
			return found
		}
		if first.Unix() >= from && d.months&(1<<m.number) != 0 && d.in(m) == 0 {
			found = append(found, Hazard{
				At: first.UTC(), Kind: HazardNoDay,
				Text: fmt.Sprintf("%s %d has no such day: %s", m.number, m.year, p.describeDays()),
			})
		}
	}
}

// String writes a wall time as 2026-03-29 02:30.
func (w wall) String() string {
	return time.Unix(int64(w), 0).UTC().Format(time.DateOnly) + " " + w.clock()
}

// clock writes the time of day of a wall time.
func (w wall) clock() string { return formatTime(int(w - dayOf(int64(w)).begin())) }
