package schedule

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// mostTimes is how many times of day a description lists one by one.
const mostTimes = 6

// Describe says in words when s runs, such as "every day at 02:30
// Europe/Berlin". It names the policy for clock changes when it is not once.
func (s Schedule) Describe() string {
	if s.p == nil {
		return "never"
	}
	p := s.p
	if p.every > 0 {
		interval := time.Duration(p.every) * time.Second
		return "every " + spellInterval(interval)
	}
	text := p.describeDays() + " " + p.describeClock()
	if p.field == "cron" && p.days == everyDay() && !p.clock.few() {
		text = p.describeClock()
	}
	text += " " + p.zone.String()
	if p.dst != DSTOnce && !p.clock.everyHour() {
		text += fmt.Sprintf(" (clock changes: %s)", p.dst)
	}
	return text
}

// String returns the schedule as the configuration spells it, such as
// `daily "02:30" Europe/Berlin`; it is meant for logs.
func (s Schedule) String() string {
	switch {
	case s.p == nil:
		return "none"
	case s.p.every > 0:
		return "every " + s.p.text
	default:
		return fmt.Sprintf("%s %q %s", s.p.field, s.p.text, s.p.zone)
	}
}

// formatInterval writes d in its shortest form: "5m", "36h", "7d".
func formatInterval(d time.Duration) string {
	const oneDay = 24 * time.Hour
	if d >= oneDay && d%oneDay == 0 {
		return strconv.FormatInt(int64(d/oneDay), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// spellInterval writes "5 minutes", or the short form when no unit fits.
func spellInterval(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		switch {
		case d == unit.size:
			return unit.name
		case d > unit.size && d%unit.size == 0:
			return fmt.Sprintf("%d %ss", d/unit.size, unit.name)
		}
	}
	return formatInterval(d)
}

// few reports whether the times of day are few enough to be listed.
func (c *clock) few() bool { return c.count(daySeconds) <= mostTimes }

func (p *plan) describeClock() string {
	c := &p.clock
	if c.few() || c.list != nil {
		var times []string
		for sec, ok := c.next(0); ok; sec, ok = c.next(sec + 1) {
			times = append(times, formatTime(sec))
			if sec == daySeconds-1 {
				break
			}
		}
		return "at " + join(times, "and")
	}
	text := ""
	if c.seconds != 1 {
		text = describeUnit(c.seconds, 60, "second") + " of "
	}
	if c.minutes != 1<<60-1 || c.seconds == 1 {
		text += describeUnit(c.minutes, 60, "minute") + " of "
	}
	switch {
	case !c.everyHour():
		text += describeUnit(c.hours, 24, "hour")
	case c.minutes == 1<<60-1 || evenStep(c.minutes, 60) > 0 && c.minutes&1 != 0:
		text = strings.TrimSuffix(text, " of ")
	default:
		text += "every hour"
	}
	if !strings.HasPrefix(text, "every ") {
		text = "at " + text
	}
	return text
}

// describeUnit writes "every minute", "every 15 minutes", "minute 5" or
// "minutes 0, 7 and 20-25".
func describeUnit(set uint64, size int, name string) string {
	if set == 1<<size-1 {
		return "every " + name
	}
	if step := evenStep(set, size); step > 0 && set&1 != 0 {
		return fmt.Sprintf("every %d %ss", step, name)
	}
	if bits.OnesCount64(set) == 1 {
		return fmt.Sprintf("%s %d", name, bits.TrailingZeros64(set))
	}
	return name + "s " + join(ranges(set, "-", strconv.Itoa), "and")
}

// evenStep returns the step of a set such as {0,15,30,45}, which repeats
// evenly across the end of the unit; otherwise 0.
func evenStep(set uint64, size int) int {
	n := bits.OnesCount64(set)
	if n < 2 || size%n != 0 {
		return 0
	}
	step := size / n
	for v := 0; v < size; v += step {
		if set&(1<<v) == 0 {
			return 0
		}
	}
	return step
}

// ranges writes a set of numbers as "1", "3-5", …, or as one range with a step.
// to stands between the ends of a range.
func ranges(set uint64, to string, name func(int) string) []string {
	first, last := bits.TrailingZeros64(set), 63-bits.LeadingZeros64(set)
	if step := stepOf(set); step > 1 {
		return []string{fmt.Sprintf("%s%s%s in steps of %d", name(first), to, name(last), step)}
	}
	var list []string
	for v := first; v <= last; v++ {
		if set&(1<<v) == 0 {
			continue
		}
		end := v
		for end < last && set&(1<<(end+1)) != 0 {
			end++
		}
		if end > v+1 {
			list = append(list, name(v)+to+name(end))
			v = end
		} else {
			list = append(list, name(v))
		}
	}
	return list
}

// stepOf returns the distance of a set of at least four numbers that are
// equally far apart, otherwise 0.
func stepOf(set uint64) int {
	n := bits.OnesCount64(set)
	if n < 4 {
		return 0
	}
	first, last := bits.TrailingZeros64(set), 63-bits.LeadingZeros64(set)
	step := (last - first) / (n - 1)
	for v := first; v <= last; v += step {
		if set&(1<<v) == 0 {
			return 0
		}
		n--
	}
	if n != 0 {
		return 0
	}
	return step
}

// formatTime writes a second of the day as 02:30 or 02:30:15.
func formatTime(sec int) string {
	if sec%60 == 0 {
		return fmt.Sprintf("%02d:%02d", sec/3600, sec/60%60)
	}
	return fmt.Sprintf("%02d:%02d:%02d", sec/3600, sec/60%60, sec%60)
}

// join writes "a", "a and b" or "a, b and c".
func join(list []string, word string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " " + word + " " + list[len(list)-1]
}

// describeDays writes "every day", "every Monday and Thursday", "on the 1st of
// every month", and how dates and weekdays combine when both are restricted.
func (p *plan) describeDays() string {
	s := &p.days
	dates, weekdays := s.describeDates(), s.describeWeekdays()
	switch {
	case dates == "" && weekdays == "" && s.months == allMonths:
		return "every day"
	case dates == "" && weekdays == "":
		return "every day in " + s.describeMonths()
	case dates == "":
		return s.placeWeekdays(weekdays)
	case weekdays == "":
		return "on " + dates + " of " + s.describeMonths()
	case s.either && strings.HasPrefix(weekdays, "the "):
		return "on " + dates + " and on " + weekdays + " of " + s.describeMonths()
	case s.either:
		return "on " + dates + " of " + s.describeMonths() + " and " + s.placeWeekdays(weekdays)
	default:
		return "on " + dates + " of " + s.describeMonths() + " if it is " + weekdays
	}
}

func (s *days) describeMonths() string {
	if s.months == allMonths {
		return "every month"
	}
	return join(ranges(uint64(s.months), " to ", func(m int) string { return title(monthNames()[m-1]) }), "and")
}

// placeWeekdays writes weekdays with their months when no date restricts them.
func (s *days) placeWeekdays(weekdays string) string {
	switch {
	case s.nth != [7]uint8{}:
		return "on " + weekdays + " of " + s.describeMonths()
	case s.months == allMonths:
		return "every " + weekdays
	default:
		return "every " + weekdays + " in " + s.describeMonths()
	}
}

// describeDates returns "" when every date belongs to the set, or none does.
func (s *days) describeDates() string {
	if s.dates == allDates && !s.either || s.dates == 0 && s.fromLast == 0 {
		return ""
	}
	var list []string
	if s.dates != 0 {
		list = ranges(uint64(s.dates), "-", ordinal)
	}
	for k := 31; k >= 1; k-- {
		switch {
		case s.fromLast&(1<<k) == 0:
		case k == 1:
			list = append(list, "last day")
		default:
			list = append(list, ordinal(k)+" day from the end")
		}
	}
	return "the " + join(list, "and")
}

// describeWeekdays returns "" when every weekday belongs to the set, or none does.
func (s *days) describeWeekdays() string {
	if s.weekdays == allWeekdays && !s.either {
		return ""
	}
	name := func(d int) string { return title(weekdayNames()[d%7]) }
	var list []string
	if s.weekdays != 0 {
		// Sunday last, so that Saturday and Sunday stand together.
		shifted := uint64(s.weekdays&^1) | uint64(s.weekdays&1)<<7
		list = ranges(shifted, " to ", name)
	}
	for d := 1; d <= 7; d++ {
		for n := 1; n <= lastOfMonth; n++ {
			if s.nth[d%7]&(1<<n) != 0 {
				list = append(list, "the "+ordinalNames()[n-1]+" "+name(d))
			}
		}
	}
	return join(list, "and")
}

// ordinal writes "1st", "2nd", "3rd", "11th".
func ordinal(n int) string {
	switch {
	case n%10 == 1 && n != 11:
		return strconv.Itoa(n) + "st"
	case n%10 == 2 && n != 12:
		return strconv.Itoa(n) + "nd"
	case n%10 == 3 && n != 13:
		return strconv.Itoa(n) + "rd"
	default:
		return strconv.Itoa(n) + "th"
	}
}
