package schedule

import (
	"math/bits"
	"slices"
)

// clock is a set of times of day in whole seconds: either a short sorted list,
// or the product of three cron fields.
type clock struct {
	list                    []int // seconds of the day, ascending; used when not nil
	hours, minutes, seconds uint64
}

// has reports whether second sec of the day belongs to the set.
func (c *clock) has(sec int) bool {
	if c.list != nil {
		_, found := slices.BinarySearch(c.list, sec)
		return found
	}
	return c.hours&(1<<(sec/3600)) != 0 && c.minutes&(1<<(sec/60%60)) != 0 && c.seconds&(1<<(sec%60)) != 0
}

// next returns the first second of the set that is not before sec.
func (c *clock) next(sec int) (int, bool) {
	if c.list != nil {
		i, _ := slices.BinarySearch(c.list, sec)
		if i == len(c.list) {
			return 0, false
		}
		return c.list[i], true
	}
	hour, minute, second := sec/3600, sec/60%60, sec%60
	if c.hours&(1<<hour) != 0 {
		if c.minutes&(1<<minute) != 0 {
			if s, ok := nextBit(c.seconds, second); ok {
				return hour*3600 + minute*60 + s, true
			}
		}
		if m, ok := nextBit(c.minutes, minute+1); ok {
			return hour*3600 + m*60 + bits.TrailingZeros64(c.seconds), true
		}
	}
	h, ok := nextBit(c.hours, hour+1)
	if !ok {
		return 0, false
	}
	return h*3600 + bits.TrailingZeros64(c.minutes)*60 + bits.TrailingZeros64(c.seconds), true
}

// nextBit returns the lowest bit of set that is not below from.
func nextBit(set uint64, from int) (int, bool) {
	set &= ^uint64(0) << from
	return bits.TrailingZeros64(set), set != 0
}

// count returns how many seconds of the set lie before sec.
func (c *clock) count(sec int) int64 {
	if c.list != nil {
		i, _ := slices.BinarySearch(c.list, sec)
		return int64(i)
	}
	below := func(set uint64, n int) int64 { return int64(bits.OnesCount64(set & (1<<n - 1))) }
	seconds := int64(bits.OnesCount64(c.seconds))
	hour, minute := sec/3600, sec/60%60
	n := below(c.hours, hour) * int64(bits.OnesCount64(c.minutes)) * seconds
	if c.hours&(1<<hour) == 0 {
		return n
	}
	n += below(c.minutes, minute) * seconds
	if c.minutes&(1<<minute) != 0 {
		n += below(c.seconds, sec%60)
	}
	return n
}

// everyHour reports whether the set is the same in all 24 hours of a day, so
// that no hour of the wall clock is special to it. A list never is.
func (c *clock) everyHour() bool { return c.list == nil && c.hours == 1<<24-1 }
