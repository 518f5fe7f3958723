package schedule

import (
	"fmt"
	"time"
)

// DST is what happens to wall-clock times that a clock change removes or
// doubles; the package documentation has the table.
type DST string

// The policies. The empty DST means DSTOnce.
const (
	DSTOnce DST = "once"
	DSTSkip DST = "skip"
	DSTBoth DST = "both"
)

// MaxEvery is the longest interval of an "every" schedule, ten years.
const MaxEvery = 3652 * 24 * time.Hour

// maxText bounds the texts of a rule. The longest sensible cron line has a few
// hundred bytes.
const maxText = 1024

// Rule is a schedule as it stands in the configuration. Exactly one of Daily,
// Weekly, Monthly, Every and Cron is set.
type Rule struct {
	// Daily is one or more times of day: "02:30", "02:30,14:30:15".
	Daily string
	// Weekly is weekdays and times: "sun 03:30", "mon,thu 03:30", "mon-fri 22:00,23:00".
	Weekly string
	// Monthly is days and times: "1 04:30", "1,15 04:30", "-1 04:30" (the last
	// day), "second tue 03:00", "last fri 22:00". A month that has no such day
	// has no slot.
	Monthly string
	// Every is an interval of whole seconds, from 1s to MaxEvery.
	Every time.Duration
	// Cron is a line of 5 or 6 fields, or a macro; see the package documentation.
	Cron string
	// Zone is the zone of all wall-clock times; nil means UTC.
	Zone *time.Location
	// DST is the policy for clock changes; empty means DSTOnce.
	DST DST
}

// reference is the instant, 2000-01-01T00:00:00Z, from which Parse looks for a
// first slot. It only separates schedules that fire from those that never do.
const reference = 946684800

// Parse checks rule and compiles it. Its error is a [*ParseError]. A rule that
// can never fire, such as 30 February, is an error.
func Parse(rule Rule) (Schedule, error) {
	field, text, err := onlyForm(rule)
	if err != nil {
		return Schedule{}, err
	}
	p := &plan{zone: rule.Zone, dst: rule.DST, field: field, text: text}
	if p.zone == nil {
		p.zone = time.UTC
	}
	switch p.dst {
	case "":
		p.dst = DSTOnce
	case DSTOnce, DSTSkip, DSTBoth:
	default:
		return Schedule{}, &ParseError{
			Field: "dst", Text: string(rule.DST), Why: "unknown policy for clock changes", Hint: "write once, skip or both",
		}
	}
	if f := p.compile(rule); f != nil {
		return Schedule{}, f.in(field, text)
	}
	if field != "cron" && field != "every" {
		p.text = normalize(text)
	}
	s := Schedule{p}
	if _, ok := s.Next(time.Unix(reference, 0)); !ok {
		return Schedule{}, p.never().in(field, text)
	}
	return s, nil
}

// onlyForm finds the one form that rule uses.
func onlyForm(rule Rule) (field, text string, err error) {
	forms := []struct{ field, text string }{
		{"daily", rule.Daily}, {"weekly", rule.Weekly}, {"monthly", rule.Monthly}, {"cron", rule.Cron}, {"every", ""},
	}
	if rule.Every != 0 {
		forms[4].text = formatInterval(rule.Every)
	}
	for _, form := range forms {
		if form.text == "" {
			continue
		}
		if field != "" {
			return "", "", &ParseError{
				Field: "schedule", Why: fmt.Sprintf("%s and %s are both given", field, form.field),
				Hint: "one workflow has one schedule; cron can combine several times, or make two workflows",
			}
		}
		field, text = form.field, form.text
	}
	if field == "" {
		return "", "", &ParseError{
			Field: "schedule", Why: "no schedule is given",
			Hint: `write one of daily: "02:30", weekly: "sun 03:30", monthly: "1 04:30", every: 5m, cron: "10 3 * * 1-5"`,
		}
	}
	if len(text) > maxText {
		return "", "", &ParseError{Field: field, Offset: maxText, Text: text, Why: fmt.Sprintf("longer than %d bytes", maxText)}
	}
	return field, text, nil
}

// compile fills in p from the text of its form.
func (p *plan) compile(rule Rule) *fault {
	var f *fault
	switch p.field {
	case "every":
		p.every, f = compileEvery(rule.Every)
	case "daily":
		p.days = everyDay()
		p.clock, f = compileDaily(p.text)
	case "weekly":
		p.days, p.clock, f = compileWeekly(p.text)
	case "monthly":
		p.days, p.clock, f = compileMonthly(p.text)
	case "cron":
		f = p.compileCron()
	}
	return f
}

func compileEvery(d time.Duration) (int64, *fault) {
	switch {
	case d < 0:
		return 0, faultf(0, "", "an interval cannot be negative")
	case d < time.Second:
		return 0, faultf(0, "the shortest interval is 1s", "%s is too short", d)
	case d%time.Second != 0:
		return 0, faultf(0, fmt.Sprintf("write %s or %s", d.Truncate(time.Second), d.Truncate(time.Second)+time.Second),
			"%s is not a whole number of seconds", d)
	case d > MaxEvery:
		return 0, faultf(0, "use monthly or cron for the calendar", "%s is longer than ten years", formatInterval(d))
	}
	return int64(d / time.Second), nil
}

// never explains why a rule without any slot has none.
func (p *plan) never() *fault {
	if _, ok := p.days.next(dayOf(reference)); ok {
		return faultf(0, "write dst: once, or choose another time",
			"it can never fire: each of its times falls into a clock change, which dst: skip leaves out")
	}
	return faultf(p.dayAt, "no month it names has such a day", "it can never fire: no date matches")
}
