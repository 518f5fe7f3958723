package schedule

import (
	"math"
	"strings"
	"time"
)

const (
	daySecs  = wall(daySeconds)
	weekSecs = 7 * daySecs
)

// span is one item of a window: moments of the week, days of one year, or days
// of every year.
type span struct {
	weekly []moments // may touch and overlap

	dated    bool
	from, to day // when dated: both included

	yearly       bool
	begins, ends yearDay // when yearly: both included
}

// moments is a part of the week: seconds since Sunday 00:00. It goes over the
// end of the week when from+length exceeds a week.
type moments struct {
	from, length wall
}

// yearDay is a date without its year.
type yearDay struct {
	month time.Month
	day   int
}

func (a yearDay) before(b yearDay) bool {
	return a.month < b.month || a.month == b.month && a.day < b.day
}

// passes reports whether the span belongs to one year and will not come again.
func (s span) passes() bool { return s.dated }

// weekBegin returns the Sunday 00:00 at or before at. 1970-01-04 was a Sunday.
func weekBegin(at wall) wall {
	const firstSunday = 3 * daySecs
	return wall(floorDiv(int64(at-firstSunday), int64(weekSecs)))*weekSecs + firstSunday
}

// holds reports whether the span contains a wall time.
func (s span) holds(at wall) bool {
	switch {
	case s.dated:
		d := dayOf(int64(at))
		return s.from <= d && d <= s.to
	case s.yearly:
		m, date := monthOf(dayOf(int64(at)))
		today := yearDay{m.number, date}
		afterBegin, beforeEnd := !today.before(s.begins), !s.ends.before(today)
		if s.ends.before(s.begins) { // over the turn of the year
			return afterBegin || beforeEnd
		}
		return afterBegin && beforeEnd
	}
	second := at - weekBegin(at)
	for _, m := range s.weekly {
		if since := (second - m.from + weekSecs) % weekSecs; since < m.length {
			return true
		}
	}
	return false
}

// nextEdge returns a wall time after at, not later than the first one after at
// where the span begins or ends.
func (s span) nextEdge(at wall) wall {
	switch {
	case s.dated:
		for _, edge := range []wall{s.from.begin(), (s.to + 1).begin()} {
			if edge > at {
				return edge
			}
		}
		return math.MaxInt64
	case s.yearly:
		// Every midnight will do: a year has few of them.
		return (dayOf(int64(at)) + 1).begin()
	}
	begin, next := weekBegin(at), wall(math.MaxInt64)
	for _, m := range s.weekly {
		for _, edge := range []wall{m.from, (m.from + m.length) % weekSecs} {
			edge += begin
			if edge <= at {
				edge += weekSecs
			}
			next = min(next, edge)
		}
	}
	return next
}

const spanHint = `write "22:00-05:00", "mon-fri 22:00-05:00", "sat,sun", "fri 22:00-mon 05:00", "2026-12-24..2027-01-02" or "12-24..01-02"`

// parseSpan reads one item of a WindowRule.
func parseSpan(text string) (span, *fault) {
	if len(text) > maxText {
		return span{}, faultf(maxText, "", "longer than %d bytes", maxText)
	}
	if low, high, ok := strings.Cut(text, ".."); ok {
		return parseDates(low, high)
	}
	list, f := words(text)
	if f != nil {
		return span{}, f
	}
	if len(list) == 0 {
		return span{}, faultf(0, spanHint, "it is empty")
	}
	if s, ok, f := parseCrossing(list); ok || f != nil {
		return s, f
	}
	var weekdays uint8
	for len(list) > 0 && !strings.Contains(list[0].text, ":") {
		bits, f := weekdayRange(list[0])
		if f != nil {
			f.hint = spanHint
			return span{}, f
		}
		weekdays |= bits
		list = list[1:]
		if len(list) > 0 && list[0].comma == strings.Contains(list[0].text, ":") {
			return span{}, faultf(list[0].at, "put commas between days and a blank before the time", "%q after a day", list[0].text)
		}
	}
	if weekdays == 0 {
		weekdays = allWeekdays
	}
	from, length := wall(0), daySecs
	if len(list) > 1 {
		return span{}, faultf(list[1].at, "make it an item of its own in the list", "%q after the times", list[1].text)
	}
	if len(list) == 1 {
		if from, length, f = parseTimes(list[0]); f != nil {
			return span{}, f
		}
	}
	var s span
	for d := range wall(7) {
		if weekdays&(1<<d) != 0 {
			s.weekly = append(s.weekly, moments{from: d*daySecs + from, length: length})
		}
	}
	return s, nil
}

// parseTimes reads "22:00-05:00" into the second of the day at which it begins
// and its length. The end may be 24:00.
func parseTimes(w word) (from, length wall, wrong *fault) {
	low, high, ok := strings.Cut(w.text, "-")
	if !ok {
		return 0, 0, faultf(w.at, spanHint, "%q has no end", w.text)
	}
	begin, f := timeOfDay(word{text: low, at: w.at})
	if f != nil {
		return 0, 0, f
	}
	end, f := endOfSpan(word{text: high, at: w.at + len(low) + 1})
	if f != nil {
		return 0, 0, f
	}
	if begin == end {
		return 0, 0, faultf(w.at, "write 00:00-24:00 for the whole day", "it begins and ends at the same time")
	}
	if end < begin {
		end += daySeconds
	}
	return wall(begin), wall(end - begin), nil
}

func endOfSpan(w word) (int, *fault) {
	if w.text == "24:00" {
		return daySeconds, nil
	}
	return timeOfDay(w)
}

// parseCrossing reads "fri 22:00-mon 05:00"; ok is false for other forms.
func parseCrossing(list []word) (s span, ok bool, wrong *fault) {
	if len(list) != 3 || list[1].comma || list[2].comma {
		return span{}, false, nil
	}
	low, high, found := strings.Cut(list[1].text, "-")
	if !found || strings.Contains(high, ":") {
		return span{}, false, nil
	}
	var at [2]wall
	for i, end := range [2]struct{ day, time word }{
		{list[0], word{text: low, at: list[1].at}},
		{word{text: high, at: list[1].at + len(low) + 1}, list[2]},
	} {
		d, f := weekday(end.day)
		if f != nil {
			return span{}, false, f
		}
		read := timeOfDay
		if i == 1 {
			read = endOfSpan
		}
		second, f := read(end.time)
		if f != nil {
			return span{}, false, f
		}
		at[i] = wall(d)*daySecs + wall(second)
	}
	length := (at[1] - at[0] + weekSecs) % weekSecs
	if length == 0 {
		return span{}, false, faultf(list[0].at, "leave the window out if it never closes", "it begins and ends at the same time")
	}
	return span{weekly: []moments{{from: at[0], length: length}}}, true, nil
}

// parseDates reads what stands on both sides of "..".
func parseDates(low, high string) (span, *fault) {
	const hint = "write 2026-12-24..2027-01-02, or 12-24..01-02 for every year"
	lead := len(low) - len(strings.TrimLeft(low, " \t"))
	tail := len(low) + 2 + len(high) - len(strings.TrimLeft(high, " \t"))
	low, high = strings.TrimSpace(low), strings.TrimSpace(high)
	first, errFirst := time.Parse(time.DateOnly, low)
	last, errLast := time.Parse(time.DateOnly, high)
	if errFirst == nil && errLast == nil {
		if last.Before(first) {
			return span{}, faultf(tail, "write the earlier date first", "it ends before it begins")
		}
		return span{dated: true, from: dayOf(first.Unix()), to: dayOf(last.Unix())}, nil
	}
	// 2000 was a leap year, so that 02-29 is a date of every year.
	first, errYearly := time.Parse(time.DateOnly, "2000-"+low)
	last, errYearlyLast := time.Parse(time.DateOnly, "2000-"+high)
	switch {
	case errFirst != nil && errYearly != nil:
		return span{}, faultf(lead, hint, "%q is not a date", low)
	case errLast != nil && errYearlyLast != nil:
		return span{}, faultf(tail, hint, "%q is not a date", high)
	case errYearly != nil || errYearlyLast != nil:
		return span{}, faultf(tail, hint, "one date has a year and the other has not")
	}
	_, beginMonth, beginDay := first.Date()
	_, endMonth, endDay := last.Date()
	return span{yearly: true, begins: yearDay{beginMonth, beginDay}, ends: yearDay{endMonth, endDay}}, nil
}
