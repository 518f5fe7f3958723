package schedule

import (
	"fmt"
	"strings"
)

// macroLine returns what a macro of crontab(5) stands for.
func macroLine(name string) (string, bool) {
	switch name {
	case "@yearly", "@annually":
		return "0 0 1 1 *", true
	case "@monthly":
		return "0 0 1 * *", true
	case "@weekly":
		return "0 0 * * 0", true
	case "@daily", "@midnight":
		return "0 0 * * *", true
	case "@hourly":
		return "0 * * * *", true
	}
	return "", false
}

// cronField is what one field of a cron line may hold.
type cronField struct {
	name     string
	lo, hi   int
	names    []string // name i stands for value lo+i
	hint     string   // what values there are
	question bool     // "?" means "*"
	week     bool     // values are weekdays: ranges wrap, 7 is 0
}

func timeField(name string, hi int) cronField { return cronField{name: name, hi: hi} }

func dateField() cronField {
	return cronField{
		name: "day of the month", lo: 1, hi: 31, question: true,
		hint: "days are 1 to 31, or -1 for the last day, -2 for the one before",
	}
}

func monthField() cronField {
	return cronField{name: "month", lo: 1, hi: 12, names: monthNames(), hint: monthHint}
}

func weekdayField() cronField {
	return cronField{
		name: "day of the week", hi: 7, names: weekdayNames(), question: true, week: true,
		hint: weekdayHint + ", or 0 to 7 with Sunday as 0 and 7",
	}
}

// compileCron reads p.text into p and normalizes it.
func (p *plan) compileCron() *fault {
	fields := blankWords(p.text)
	if len(fields) > 0 && strings.HasPrefix(fields[0].text, "@") {
		line, f := expandMacro(fields)
		if f != nil {
			return f
		}
		fields = blankWords(line)
	}
	if f := wrongShape(fields); f != nil {
		return f
	}
	texts := make([]string, len(fields))
	for i, w := range fields {
		texts[i] = strings.ToLower(w.text)
	}
	p.text = strings.Join(texts, " ")
	p.clock.seconds = 1
	if len(fields) == 6 {
		var f *fault
		if p.clock.seconds, f = timeField("second", 59).parse(fields[0]); f != nil {
			return f
		}
		fields = fields[1:]
	}
	var f *fault
	if p.clock.minutes, f = timeField("minute", 59).parse(fields[0]); f != nil {
		return f
	}
	if p.clock.hours, f = timeField("hour", 23).parse(fields[1]); f != nil {
		return f
	}
	p.dayAt = fields[2].at
	return p.days.parseCron(fields[2], fields[3], fields[4])
}

func blankWords(text string) []word {
	var found []word
	for i := 0; i < len(text); {
		if text[i] == ' ' || text[i] == '\t' {
			i++
			continue
		}
		end := i
		for end < len(text) && text[end] != ' ' && text[end] != '\t' {
			end++
		}
		found = append(found, word{text: text[i:end], at: i})
		i = end
	}
	return found
}

func expandMacro(fields []word) (string, *fault) {
	name := fields[0]
	switch strings.ToLower(name.text) {
	case "@every":
		return "", faultf(name.at, "use the schedule every: 5m instead of cron", "@every is not a cron line")
	case "@reboot":
		return "", faultf(name.at, "run the workflow from the unit that starts the system", "@reboot is not a time")
	}
	line, ok := macroLine(strings.ToLower(name.text))
	if !ok {
		return "", faultf(name.at, "@yearly @monthly @weekly @daily @hourly are known", "unknown macro %q", name.text)
	}
	if len(fields) > 1 {
		return "", faultf(fields[1].at, "", "%s stands alone", name.text)
	}
	return line, nil
}

// wrongShape finds what is wrong with a line before its fields are read.
func wrongShape(fields []word) *fault {
	const order = "minute hour day-of-month month day-of-week"
	if len(fields) > 0 {
		if first := strings.ToUpper(fields[0].text); strings.HasPrefix(first, "TZ=") || strings.HasPrefix(first, "CRON_TZ=") {
			return faultf(fields[0].at, "name the zone with timezone:", "a zone does not belong into the line")
		}
	}
	switch n := len(fields); {
	case n < 5:
		at := 0
		if n > 0 {
			at = fields[n-1].at + len(fields[n-1].text)
		}
		return faultf(at, "the fields are "+order+", or six with seconds first", "%d fields, 5 or 6 are needed", n)
	case n == 7:
		return faultf(fields[6].at, "leave the year out; pause or remove the workflow instead", "a seventh field (years) is not known")
	case n > 7:
		return faultf(fields[6].at, "the fields are "+order+", or six with seconds first", "%d fields, 5 or 6 are needed", n)
	}
	return nil
}

// parse reads a field of plain numbers into a set of bits.
func (f cronField) parse(w word) (uint64, *fault) {
	var set uint64
	at := w.at
	for item := range strings.SplitSeq(w.text, ",") {
		bits, fault := f.item(word{text: item, at: at})
		if fault != nil {
			return 0, fault
		}
		set |= bits
		at += len(item) + 1
	}
	return set, nil
}

// item reads "*", "5", "1-5", "*/15", "1-30/5" or "5/15".
func (f cronField) item(w word) (uint64, *fault) {
	if w.text == "" {
		return 0, faultf(w.at, "", "an empty place in the list of the %s field", f.name)
	}
	span, stepText, stepped := strings.Cut(w.text, "/")
	lo, hi, fault := f.span(word{text: span, at: w.at}, stepped)
	if fault != nil {
		return 0, fault
	}
	step := 1
	if stepped {
		if step, fault = f.step(word{text: stepText, at: w.at + len(span) + 1}, lo, hi); fault != nil {
			return 0, fault
		}
	}
	var set uint64
	for v := lo; v <= hi; v += step {
		set |= 1 << f.fold(v)
	}
	return set, nil
}

// fold maps the values of a wrapped range of weekdays, and 7, to 0 to 6.
func (f cronField) fold(v int) int {
	if f.week {
		return v % 7
	}
	return v
}

// span reads what stands before the step.
func (f cronField) span(w word, stepped bool) (lo, hi int, wrong *fault) {
	top := f.hi
	if f.week {
		top = 6
	}
	if w.text == "*" || w.text == "?" && f.question {
		return f.lo, top, nil
	}
	low, high, ranged := strings.Cut(w.text, "-")
	if lo, wrong = f.value(word{text: low, at: w.at}); wrong != nil {
		return 0, 0, wrong
	}
	switch {
	case ranged:
		if hi, wrong = f.value(word{text: high, at: w.at + len(low) + 1}); wrong != nil {
			return 0, 0, wrong
		}
	case stepped:
		hi = top
		lo = f.fold(lo)
	default:
		hi = lo
	}
	if hi < lo {
		if f.week {
			return lo, hi + 7, nil
		}
		return 0, 0, faultf(w.at, fmt.Sprintf("write %s-%d,%d-%s to go around the end", low, f.hi, f.lo, high), "the range %s runs backward", w.text)
	}
	return lo, hi, nil
}

// value reads a number or a name.
func (f cronField) value(w word) (int, *fault) {
	if n, ok := digits(w.text); ok {
		if n < f.lo || n > f.hi {
			return 0, faultf(w.at, f.hint, "%s is not a value for the %s (%d-%d)", w.text, f.name, f.lo, f.hi)
		}
		return n, nil
	}
	if f.names != nil {
		if i, ok := nameIndex(f.names, w.text); ok {
			return f.lo + i, nil
		}
	}
	hint := f.hint
	switch {
	case strings.ContainsAny(w.text, "hH~") && f.names == nil:
		hint = "to spread the start of many workflows use jitter:"
	case strings.ContainsAny(w.text, "wW") && f.question && !f.week:
		hint = "the nearest weekday (W) is not known"
	case w.text == "":
		return 0, faultf(w.at, hint, "a value for the %s is missing", f.name)
	}
	return 0, faultf(w.at, hint, "%q is not a value for the %s", w.text, f.name)
}

// step reads the number after a slash. A step that leaves the field at once
// is refused: it would silently mean something else than it says.
func (f cronField) step(w word, lo, hi int) (int, *fault) {
	n, ok := digits(w.text)
	if !ok || n == 0 {
		return 0, faultf(w.at, "a step is a number of at least 1", "%q is not a step", w.text)
	}
	if n > 1 && n > hi-lo {
		hint := fmt.Sprintf("write %d alone", lo)
		if f.names == nil && f.lo == 0 {
			hint += ", or use the schedule every: for an interval across the field"
		}
		return 0, faultf(w.at, hint, "a step of %d leaves the %s field (%d-%d) after its first value", n, f.name, f.lo, f.hi)
	}
	return n, nil
}

// parseCron reads the three fields that choose days.
func (s *days) parseCron(date, month, weekday word) *fault {
	months, f := monthField().parse(month)
	if f != nil {
		return f
	}
	s.months = uint16(months)
	if f := s.parseDates(date); f != nil {
		return f
	}
	if f := s.parseWeekdays(weekday); f != nil {
		return f
	}
	s.either = !starred(date) && !starred(weekday)
	return nil
}

// starred reports whether a field counts as unrestricted for the rule that
// joins dates and weekdays. As in Vixie cron the first byte decides, so "*/2"
// counts as well.
func starred(w word) bool { return w.text[0] == '*' || w.text[0] == '?' }

func (s *days) parseDates(w word) *fault {
	at := w.at
	for text := range strings.SplitSeq(w.text, ",") {
		item := word{text: text, at: at}
		at += len(text) + 1
		switch {
		case strings.EqualFold(text, "L"):
			s.fromLast |= 1 << 1
		case strings.HasPrefix(text, "-"):
			if f := s.addDate(item); f != nil {
				return f
			}
		default:
			set, f := dateField().item(item)
			if f != nil {
				return f
			}
			s.dates |= uint32(set)
		}
	}
	return nil
}

func (s *days) parseWeekdays(w word) *fault {
	at := w.at
	for text := range strings.SplitSeq(w.text, ",") {
		item := word{text: text, at: at}
		at += len(text) + 1
		name, number, numbered := strings.Cut(text, "#")
		last := false
		if !numbered && len(text) > 1 {
			name, last = cutLast(text)
		}
		if !numbered && !last {
			set, f := weekdayField().item(item)
			if f != nil {
				return f
			}
			s.weekdays |= uint8(set)
			continue
		}
		d, f := weekdayField().value(word{text: name, at: item.at})
		if f != nil {
			return f
		}
		bit := lastOfMonth
		if numbered {
			n, ok := digits(number)
			if !ok || n < 1 || n > 5 {
				return faultf(item.at+len(name)+1, "a month has a first to a fifth such day; friL is the last one", "%q is not 1 to 5", number)
			}
			bit = n
		}
		s.nth[d%7] |= 1 << bit
	}
	return nil
}

// cutLast cuts the "L" of "friL" or "5L". No name of a weekday ends in an l,
// and no beginning of one of at least three letters does.
func cutLast(text string) (string, bool) {
	if end := len(text) - 1; text[end] == 'L' || text[end] == 'l' {
		return text[:end], true
	}
	return text, false
}
