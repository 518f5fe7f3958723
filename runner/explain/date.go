package explain

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// dateHint lists what ParseDate understands.
const dateHint = "write a date (2026-03-29, 03-29, today, yesterday, sunday), a date and a time (2026-03-29 02:30), a time of today (02:30), or an instant (2026-03-29T00:30:00Z)"

// maxDate bounds the text of a date: the longest sensible one is an instant
// with an offset.
const maxDate = 64

// ParseDate reads which stretch of time [from, until) somebody asks about, as
// the wall clock of a zone shows it:
//
//	2026-03-29              a day
//	03-29                   that day, the latest that is not after today
//	today yesterday tomorrow
//	sunday sun              the latest such day, today included
//	DAY 02:30               a minute of a day; 2026-03-29T02:30 as well
//	DAY 02:30:15            a second
//	02:30                   a minute of today
//	2026-03-29T00:30:00Z    the minute that begins at an instant, or the second
//	                        when it names one; any offset
//
// A day is every instant at which the clock shows it, 23 or 25 hours long now
// and then. A time that a clock change leaves out means the first minute after
// the gap, where schedules make it up. A time that occurs twice covers both,
// and what lies between them. Errors carry a hint.
func ParseDate(text string, zone *time.Location, now time.Time) (from, until time.Time, err error) {
	text = strings.TrimSpace(text)
	if zone == nil {
		zone = time.UTC
	}
	fail := func(err error) (time.Time, time.Time, error) {
		return time.Time{}, time.Time{}, jobs.WithHint(err, dateHint)
	}
	switch {
	case text == "":
		return fail(errors.New("no date is given"))
	case len(text) > maxDate:
		return fail(fmt.Errorf("the date is longer than %d bytes", maxDate))
	}
	if instant, ok := parseInstant(text); ok {
		if from, until, err = wholeOf(instant); err != nil {
			return fail(err)
		}
		return from.In(zone), until.In(zone), nil
	}
	date, clock := text, ""
	if strings.Contains(text, ":") {
		date, clock = splitTime(text)
	}
	day, err := parseDay(date, now.In(zone))
	if err != nil {
		return fail(err)
	}
	length := 24 * time.Hour
	if clock != "" {
		var second time.Duration
		if second, length, err = parseClock(clock); err != nil {
			return fail(err)
		}
		day = day.Add(second)
	}
	from, until, err = showing(day, length, zone)
	if err != nil {
		return fail(err)
	}
	return from, until, nil
}

// splitTime parts a day from a time of day; a time alone is one of today.
func splitTime(text string) (date, clock string) {
	at := strings.IndexAny(text, " \t")
	if at < 0 && text[0] >= '0' && text[0] <= '9' {
		at = strings.IndexByte(text, 'T')
	}
	if at < 0 {
		return "today", text
	}
	return text[:at], strings.TrimSpace(text[at+1:])
}

// parseInstant reads an instant with an offset.
func parseInstant(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Truncate(time.Second), true
		}
	}
	return time.Time{}, false
}

// wholeOf returns the minute that begins at an instant, or the second when it
// does not begin a minute.
func wholeOf(t time.Time) (from, until time.Time, err error) {
	if t.Year() < 1 || t.Year() > 9999 {
		return from, until, fmt.Errorf("the year %d is out of range", t.Year())
	}
	if t.Second() == 0 {
		return t, t.Add(time.Minute), nil
	}
	return t, t.Add(time.Second), nil
}

// parseDay reads a day as midnight of UTC, standing for the wall clock.
func parseDay(text string, now time.Time) (time.Time, error) {
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	word := strings.ToLower(text)
	switch word {
	case "today":
		return today, nil
	case "yesterday":
		return today.AddDate(0, 0, -1), nil
	case "tomorrow":
		return today.AddDate(0, 0, 1), nil
	}
	if len(word) >= 3 {
		for d := range 7 {
			day := today.AddDate(0, 0, -d)
			if strings.HasPrefix(strings.ToLower(day.Weekday().String()), word) {
				return day, nil
			}
		}
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, checkYear(day)
	}
	if _, err := time.Parse("01-02", text); err == nil {
		// 29 February may be up to eight years ago.
		for year := today.Year(); year > today.Year()-9; year-- {
			day, err := time.Parse(time.DateOnly, fmt.Sprintf("%04d-%s", year, text))
			if err == nil && !day.After(today) {
				return day, checkYear(day)
			}
		}
	}
	return time.Time{}, noDay(text)
}

func checkYear(day time.Time) error {
	if day.Year() < 1 {
		return fmt.Errorf("the year %04d is out of range", day.Year())
	}
	return nil
}

// noDay says what is wrong with the text of a day.
func noDay(text string) error {
	var year, month, day int
	if n, err := fmt.Sscanf(text, "%4d-%2d-%2d", &year, &month, &day); err == nil && n == 3 && len(text) == len(time.DateOnly) && strings.Trim(text, "0123456789-") == "" {
		if month < 1 || month > 12 {
			return fmt.Errorf("%q does not exist: there is no month %d", text, month)
		}
		length := time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
		return fmt.Errorf("%q does not exist: %s %d has %d days", text, time.Month(month), year, length)
	}
	for _, layout := range []string{"2.1.2006", "2/1/2006", "1/2/2006", "2006/1/2", "20060102"} {
		if found, err := time.Parse(layout, text); err == nil && (layout != "2/1/2006" || found.Day() > 12) {
			return fmt.Errorf("%q is not understood; do you mean %s?", text, found.Format(time.DateOnly))
		}
	}
	return fmt.Errorf("%q is not a date", text)
}

// parseClock reads a time of day, and how long it holds: a minute or a second.
func parseClock(text string) (at, length time.Duration, err error) {
	for _, form := range []struct {
		layout string
		length time.Duration
	}{{"15:04", time.Minute}, {"15:04:05", time.Second}} {
		// A fraction after the seconds is accepted by time.Parse.
		if t, err := time.Parse(form.layout, text); err == nil && !strings.ContainsAny(text, ".,") {
			hour, minute, second := t.Clock()
			return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second, form.length, nil
		}
	}
	return 0, 0, fmt.Errorf("%q is not a time of day", text)
}

// showing returns from the first instant at which the clock of a zone shows a
// reading in [wall, wall+length) to the end of the last one; wall is written as
// a time in UTC. A reading shorter than a day that is left out means as long
// after the gap.
func showing(wall time.Time, length time.Duration, zone *time.Location) (from, until time.Time, err error) {
	// Offsets lie within 26 h of UTC; the largest change on record is 24 h.
	const reach = 50 * time.Hour
	begin, end := wall.Add(-reach), wall.Add(length+reach)
	changes := schedule.Changes(zone, begin, end)
	_, offset := begin.In(zone).Zone()
	now := time.Duration(offset) * time.Second
	var gap time.Time
	for i := 0; i <= len(changes); i++ {
		to := end
		if i < len(changes) {
			to = changes[i].At
		}
		low, high := later(wall.Add(-now), begin), earlier(wall.Add(length-now), to)
		if low.Before(high) {
			if from.IsZero() {
				from = low
			}
			until = high
		}
		if i < len(changes) {
			before, after := changes[i].At.Add(changes[i].Before), changes[i].At.Add(changes[i].After)
			if !wall.Before(before) && wall.Before(after) {
				gap = changes[i].At
			}
			begin, now = to, changes[i].After
		}
	}
	switch {
	case !from.IsZero():
		return from.In(zone), until.In(zone), nil
	case length < 24*time.Hour && !gap.IsZero():
		return gap.In(zone), gap.Add(length).In(zone), nil
	}
	return from, until, fmt.Errorf("%s does not exist in %s: a clock change left it out", wall.Format(time.DateOnly), zone)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
