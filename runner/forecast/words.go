package forecast

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// span writes a length of time for people: "45s", "12m", "1h20m".
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Minute)
	}
	text := strings.TrimSuffix(d.String(), "0s")
	if text == "" {
		return "0s"
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// localTime writes an instant as the wall clock of a zone shows it.
func localTime(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("Mon 2006-01-02 15:04") + " " + zone.String()
}

// clockTime writes the time of day of an instant.
func clockTime(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("15:04")
}

// plural writes a count with its noun, "1 slot" or "2,016 slots".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

// thousands writes a number with commas.
func thousands(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// list writes names as "a", "a and b" or "a, b and 3 others".
func list(names []string, others int) string {
	parts := names
	if others > 0 {
		parts = append(slices.Clip(parts), plural(int64(others), "other"))
	}
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// times writes "once", "twice" or "12 times".
func times(n int64) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	default:
		return thousands(n) + " times"
	}
}
