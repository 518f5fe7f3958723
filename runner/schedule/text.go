package schedule

import (
	"slices"
	"strconv"
	"strings"
)

// word is a piece of a text with its place in it.
type word struct {
	text  string
	at    int
	comma bool // a comma stands in front of it
}

// words splits text at blanks and commas. Two commas without a word between
// them, or one at an end, are a fault.
func words(text string) ([]word, *fault) {
	var found []word
	comma := -1
	for i := 0; i < len(text); {
		switch text[i] {
		case ' ', '\t':
			i++
		case ',':
			if comma >= 0 || len(found) == 0 {
				return nil, faultf(i, "", "a comma without something before it")
			}
			comma = i
			i++
		default:
			end := i
			for end < len(text) && text[end] != ' ' && text[end] != '\t' && text[end] != ',' {
				end++
			}
			found = append(found, word{text: text[i:end], at: i, comma: comma >= 0})
			comma, i = -1, end
		}
	}
	if comma >= 0 {
		return nil, faultf(comma, "", "a comma without something after it")
	}
	return found, nil
}

// timeOfDay reads "02:30" or "02:30:15" into a second of the day.
func timeOfDay(w word) (int, *fault) {
	const hint = "write hours and minutes with 24 hours a day, such as 02:30 or 14:30:15"
	parts := strings.Split(w.text, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, faultf(w.at, hint, "%q is not a time of day", w.text)
	}
	limits := [3]struct {
		name string
		most int
	}{{"hour", 23}, {"minute", 59}, {"second", 59}}
	var values [3]int
	at := w.at
	for i, part := range parts {
		n, ok := digits(part)
		if !ok || len(part) > 2 || len(part) < 2 && i > 0 {
			return 0, faultf(at, hint, "%q is not a time of day", w.text)
		}
		if n > limits[i].most {
			if w.text == "24:00" {
				hint := "write 00:00 of the next day"
				return 0, faultf(at, hint, "24:00 is not a time of day")
			}
			return 0, faultf(at, hint, "%s is not a value for the %s (0-%d)", part, limits[i].name, limits[i].most)
		}
		values[i] = n
		at += len(part) + 1
	}
	return values[0]*3600 + values[1]*60 + values[2], nil
}

// digits reads a number of up to 9 decimal digits without a sign.
func digits(text string) (int, bool) {
	if text == "" || len(text) > 9 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// times reads the list of times that ends a daily, weekly or monthly text.
// example is shown when there is none.
func times(list []word, end int, example string) (clock, *fault) {
	if len(list) == 0 {
		return clock{}, faultf(end, "write it after a blank, such as "+strconv.Quote(example), "the time of day is missing")
	}
	var c clock
	for i, w := range list {
		sec, f := timeOfDay(w)
		if f != nil {
			return clock{}, f
		}
		if i > 0 && !w.comma {
			return clock{}, faultf(w.at, "put a comma between two times", "a second time without a comma")
		}
		c.list = append(c.list, sec)
	}
	slices.Sort(c.list)
	c.list = slices.Compact(c.list)
	return c, nil
}

func compileDaily(text string) (clock, *fault) {
	list, f := words(text)
	if f != nil {
		return clock{}, f
	}
	return times(list, len(text), "02:30")
}

// daysAndTimes splits the words of a weekly or monthly text before its first
// time of day.
func daysAndTimes(text, example string) (dates []word, c clock, f *fault) {
	list, f := words(text)
	if f != nil {
		return nil, clock{}, f
	}
	split := slices.IndexFunc(list, func(w word) bool { return strings.Contains(w.text, ":") })
	if split < 0 {
		split = len(list)
	}
	if split == 0 {
		return nil, clock{}, faultf(0, "write "+strconv.Quote(example), "the day is missing")
	}
	if split < len(list) && list[split].comma {
		return nil, clock{}, faultf(list[split].at, "put a blank, not a comma, between the days and the time", "a time in the list of days")
	}
	c, f = times(list[split:], len(text), example)
	return list[:split], c, f
}

func compileWeekly(text string) (days, clock, *fault) {
	dates, c, f := daysAndTimes(text, "sun 03:30")
	if f != nil {
		return days{}, clock{}, f
	}
	set := days{months: allMonths, dates: allDates}
	for i, w := range dates {
		if i > 0 && !w.comma {
			return days{}, clock{}, faultf(w.at, "put a comma between two days, or - for a range", "%q after a day", w.text)
		}
		bits, f := weekdayRange(w)
		if f != nil {
			return days{}, clock{}, f
		}
		set.weekdays |= bits
	}
	return set, c, nil
}

// weekdayRange reads "mon", "mon-fri" or "fri-mon" into bits, Sunday being 0.
func weekdayRange(w word) (uint8, *fault) {
	low, high, ranged := strings.Cut(w.text, "-")
	first, f := weekday(word{text: low, at: w.at})
	if f != nil {
		return 0, f
	}
	last := first
	if ranged {
		if last, f = weekday(word{text: high, at: w.at + len(low) + 1}); f != nil {
			return 0, f
		}
	}
	var set uint8
	for d := first; ; d = (d + 1) % 7 {
		set |= 1 << d
		if d == last {
			return set, nil
		}
	}
}

func weekday(w word) (int, *fault) {
	if d, ok := nameIndex(weekdayNames(), w.text); ok {
		return d, nil
	}
	if w.text == "" {
		return 0, faultf(w.at, weekdayHint, "a day is missing")
	}
	return 0, faultf(w.at, weekdayHint, "%q is not a day of the week", w.text)
}

func compileMonthly(text string) (days, clock, *fault) {
	dates, c, f := daysAndTimes(text, "1 04:30")
	if f != nil {
		return days{}, clock{}, f
	}
	// A date or one of the ordinal weekdays is enough: "1, last fri 04:30".
	set := days{months: allMonths, either: true}
	for i := 0; i < len(dates); i++ {
		w := dates[i]
		if i > 0 && !w.comma {
			return days{}, clock{}, faultf(w.at, "put a comma between two days", "%q after a day", w.text)
		}
		if ordinal, ok := nameIndex(ordinalNames(), w.text); ok {
			if i+1 == len(dates) || dates[i+1].comma {
				return days{}, clock{}, faultf(w.at+len(w.text), `such as "last fri 22:00"; the last day is -1`, "%q needs a day of the week", w.text)
			}
			i++
			d, f := weekday(dates[i])
			if f != nil {
				return days{}, clock{}, f
			}
			set.nth[d] |= 1 << (ordinal + 1)
			continue
		}
		if f := set.addDate(w); f != nil {
			return days{}, clock{}, f
		}
	}
	return set, c, nil
}

// addDate reads "15", "8-14" or "-1" into the set.
func (s *days) addDate(w word) *fault {
	if number, fromLast := strings.CutPrefix(w.text, "-"); fromLast {
		n, f := date(word{text: number, at: w.at}, w.text)
		if f == nil {
			s.fromLast |= 1 << n
		}
		return f
	}
	low, high, ranged := strings.Cut(w.text, "-")
	first, f := date(word{text: low, at: w.at}, low)
	if f != nil {
		return f
	}
	last := first
	if ranged {
		if last, f = date(word{text: high, at: w.at + len(low) + 1}, high); f != nil {
			return f
		}
	}
	if last < first {
		return faultf(w.at, "write the smaller day first", "the range %s runs backward", w.text)
	}
	for n := first; n <= last; n++ {
		s.dates |= 1 << n
	}
	return nil
}

// date reads a number from 1 to 31; shown is how the text stands in the rule.
func date(w word, shown string) (int, *fault) {
	n, ok := digits(w.text)
	if !ok || n < 1 || n > 31 {
		return 0, faultf(w.at, "days are 1 to 31, or -1 for the last day, -2 for the one before", "%q is not a day of the month", shown)
	}
	return n, nil
}

// normalize writes a daily, weekly or monthly text in its shortest form.
func normalize(text string) string {
	list, f := words(text)
	if f != nil {
		return text
	}
	var b strings.Builder
	for i, w := range list {
		switch {
		case w.comma:
			b.WriteByte(',')
		case i > 0:
			b.WriteByte(' ')
		}
		b.WriteString(strings.ToLower(w.text))
	}
	return b.String()
}
