package schedule

import (
	"math"
	"time"
)

// wall is a time on the wall clock of some zone: seconds since 1970-01-01
// 00:00:00 as that clock showed them, without any zone.
type wall int64

const daySeconds = 24 * 60 * 60

// lookBack is how far before an instant a clock change can still matter to it.
// Offsets lie within ±26 h of UTC, and so does their difference: Samoa jumped
// 24 h in 2011, the largest change on record.
const lookBack = 2 * daySeconds

// stretch is a span of instants [from, to), in Unix seconds, with one offset
// from UTC. What the wall clock showed before it matters at its beginning:
// highest is the first wall time that had not been shown yet. So walls in
// [highest, from+offset) are the gap in front of the stretch, and walls in
// [from+offset, highest) are shown by it for the second time. (Times in a gap
// that three changes within two days would show later after all count as shown;
// no zone has had that.)
type stretch struct {
	from, to int64
	offset   int64
	highest  wall
	// opening is false when the stretch began too long ago for highest to be
	// known or to matter; from is then just some instant inside it.
	opening bool
}

func (s stretch) begin() wall { return wall(s.from + s.offset) }
func (s stretch) end() wall {
	if s.to == math.MaxInt64 {
		return math.MaxInt64
	}
	return wall(s.to + s.offset)
}

// instant returns when the stretch shows w.
func (s stretch) instant(w wall) int64 { return int64(w) - s.offset }

// firstNew returns the first wall time from instant at on that the stretch
// shows for the first time.
func (s stretch) firstNew(at int64) wall {
	now := wall(at + s.offset)
	if s.opening && s.highest > now {
		return s.highest
	}
	return now
}

// stretchAt returns the stretch that holds instant at.
func stretchAt(zone *time.Location, at int64) stretch {
	s := rawStretch(zone, at-lookBack)
	for s.to <= at {
		s = s.following(zone)
	}
	return s
}

// following returns the stretch that begins where s ends.
func (s stretch) following(zone *time.Location) stretch {
	next := rawStretch(zone, s.to)
	next.highest = s.end()
	if s.opening {
		// s may have been short: what came before it can still be ahead.
		next.highest = max(next.highest, s.highest)
	}
	next.opening = true
	return next
}

// rawStretch asks the zone for the offset at an instant and until when it
// holds. Only the end that time.Time.ZoneBounds returns is used: the start that
// it computes from a zone's rule for the future can lie before the change that
// introduced the rule. The end can be a turn of the year at which nothing
// changes, which makes a stretch followed by one with the same offset; and on
// the last day of a leap year it lies in the past, because the standard library
// counts 365 days there. Until the next midnight of UTC nothing changes then.
func rawStretch(zone *time.Location, at int64) stretch {
	t := time.Unix(at, 0).In(zone)
	_, offset := t.Zone()
	s := stretch{from: at, to: math.MaxInt64, offset: int64(offset)}
	if _, end := t.ZoneBounds(); !end.IsZero() {
		s.to = end.Unix()
		if s.to <= at {
			s.to = (floorDiv(at, daySeconds) + 1) * daySeconds
		}
	}
	return s
}

// floorDiv divides and rounds toward negative infinity; n is positive.
func floorDiv(a, n int64) int64 {
	q := a / n
	if a%n < 0 {
		q--
	}
	return q
}
