package unit

import (
	"strings"
	"time"
)

// Took writes how long something took for people, with 3 digits at most below
// a day: "85ms", "12.3s", "1m10s", "1h40m". Below zero, which a clock that was
// set back makes of it, it is a dash.
func Took(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < time.Second:
		d = d.Round(time.Millisecond)
	case d < time.Minute:
		d = d.Round(100 * time.Millisecond)
	case d < time.Hour:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Minute)
	}
	return Brief(d)
}

// Brief writes d as time.Duration does, without zeros at its end: "1h" instead
// of "1h0m0s".
func Brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
