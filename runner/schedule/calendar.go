package schedule

import (
	"math/bits"
	"time"
)

// day counts days since 1970-01-01.
type day int64

func dayOf(unix int64) day { return day(floorDiv(unix, daySeconds)) }

func (d day) begin() wall { return wall(int64(d) * daySeconds) }

// cycleMonths is the length of the Gregorian calendar's cycle, 400 years: after
// it dates fall on the same weekdays again (146,097 days are 20,871 weeks). A
// set of days that is empty for so long is empty for ever.
const cycleMonths = 400 * 12

// Bit sets over a month: bit d stands for day d, 1 to 31.
const allDates = uint32(1<<32 - 2)

// lastOfMonth is the bit of days.nth that stands for "the last one".
const lastOfMonth = 6

// days is a set of dates: those in months whose date matches the dates and the
// weekdays, or either of them when both are restricted.
type days struct {
	months   uint16   // bit 1 to 12
	dates    uint32   // bit 1 to 31, counted from the first day
	fromLast uint32   // bit 1 to 31, counted from the last day, which is 1
	weekdays uint8    // bit 0 (Sunday) to 6
	nth      [7]uint8 // per weekday: bit 1 to 5, or lastOfMonth
	either   bool     // a date or a weekday is enough
}

const (
	allMonths   = uint16(1<<13 - 2)
	allWeekdays = uint8(1<<7 - 1)
)

func everyDay() days { return days{months: allMonths, dates: allDates, weekdays: allWeekdays} }

// month is one month of one year with what is needed to place its days.
type month struct {
	first  day // its first day
	length int
	number time.Month
	year   int
}

func monthOf(d day) (m month, date int) {
	year, number, date := time.Unix(int64(d)*daySeconds, 0).UTC().Date()
	return month{first: d - day(date-1), length: lengthOf(year, number), number: number, year: year}, date
}

func (m month) next() month {
	n := month{first: m.first + day(m.length), number: m.number + 1, year: m.year}
	if n.number > time.December {
		n.number, n.year = time.January, n.year+1
	}
	n.length = lengthOf(n.year, n.number)
	return n
}

func lengthOf(year int, number time.Month) int {
	switch number {
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case time.April, time.June, time.September, time.November:
		return 30
	default:
		return 31
	}
}

// weekday returns the weekday of d. 1970-01-01 was a Thursday.
func (d day) weekday() time.Weekday {
	w := (int64(d) + int64(time.Thursday)) % 7
	if w < 0 {
		w += 7
	}
	return time.Weekday(w)
}

// in returns the dates of m that belong to the set.
func (s *days) in(m month) uint32 {
	if s.months&(1<<m.number) == 0 {
		return 0
	}
	exist := uint32(1)<<(m.length+1) - 2
	byDate := s.dates
	if s.fromLast != 0 {
		// Day k from the end is date length+1-k: mirror the set, then shift.
		byDate |= uint32(uint64(bits.Reverse32(s.fromLast)) << 1 >> (31 - m.length))
	}
	byDate &= exist
	if !s.either && byDate == 0 {
		return 0
	}
	if s.weekdays == allWeekdays && !s.either {
		return byDate
	}
	byWeekday := s.byWeekday(m) & exist
	if s.either {
		return byDate | byWeekday
	}
	return byDate & byWeekday
}

// byWeekday returns the dates of m that fall on the set's weekdays.
func (s *days) byWeekday(m month) uint32 {
	const weekly = uint32(1<<1 | 1<<8 | 1<<15 | 1<<22 | 1<<29)
	var set uint32
	firstWeekday := m.first.weekday()
	for w := range 7 {
		first := (w-int(firstWeekday)+7)%7 + 1 // the first date with weekday w
		if s.weekdays&(1<<w) != 0 {
			set |= weekly << (first - 1)
		}
		for n := 1; n <= 5 && s.nth[w] != 0; n++ {
			if s.nth[w]&(1<<n) != 0 {
				set |= 1 << (first + 7*(n-1))
			}
		}
		if s.nth[w]&(1<<lastOfMonth) != 0 {
			set |= 1 << (first + 7*((m.length-first)/7))
		}
	}
	return set
}

// next returns the first day of the set that is not before from.
func (s *days) next(from day) (day, bool) {
	m, date := monthOf(from)
	set := s.in(m) &^ (1<<date - 1)
	for range cycleMonths + 1 {
		if set != 0 {
			return m.first + day(bits.TrailingZeros32(set)-1), true
		}
		m = m.next()
		set = s.in(m)
	}
	return 0, false
}

// has reports whether d belongs to the set.
func (s *days) has(d day) bool {
	m, date := monthOf(d)
	return s.in(m)&(1<<date) != 0
}

// count returns how many days of the set lie in [from, to).
func (s *days) count(from, to day) int64 {
	if to <= from {
		return 0
	}
	var n int64
	m, date := monthOf(from)
	set := s.in(m) &^ (1<<date - 1)
	for m.first+day(m.length) < to {
		n += int64(bits.OnesCount32(set))
		m = m.next()
		set = s.in(m)
	}
	// Of the last month only the dates before to count.
	return n + int64(bits.OnesCount32(set&(1<<(to-m.first+1)-1)))
}
