package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
)

// span writes a length of time for people: "45s", "12m", "5h12m", "3d4h".
func span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		d = d.Round(100 * time.Millisecond)
	case d < time.Minute:
		d = d.Round(time.Second)
	case d < 48*time.Hour:
		d = d.Round(time.Minute)
	default:
		hours := int64(d.Round(time.Hour) / time.Hour)
		if hours%24 == 0 {
			return fmt.Sprintf("%dd", hours/24)
		}
		return fmt.Sprintf("%dd%dh", hours/24, hours%24)
	}
	return unit.Brief(d)
}

// days writes how long history is kept: "180 days".
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day != 0 {
		return span(d)
	}
	if d == day {
		return "1 day"
	}
	return thousands(int64(d/day)) + " days"
}

// thousands writes a number with commas.
func thousands(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// oneLine keeps what others wrote from breaking a sentence into lines.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
