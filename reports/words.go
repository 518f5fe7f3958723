package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
)

// Format writes a value of the unit for people.
func (u Unit) Format(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case u == Share:
		return percent(v)
	case u == Seconds:
		return duration(v)
	default:
		return number(v) + "/min"
	}
}

// percent writes a share with as many digits as its distance from all or
// nothing needs: 99.94 %, 0.02 %, 83 %.
func percent(v float64) string {
	p := v * 100
	digits := 1
	if near := min(math.Abs(p), math.Abs(100-p)); near > 0 && near < 1 {
		digits = min(4, 1+int(math.Ceil(-math.Log10(near))))
	}
	text := strconv.FormatFloat(p, 'f', digits, 64)
	// What is not all of it must not be rounded to all, nor to nothing.
	if v < 1 && strings.Trim(text, "0.") == "1" && strings.HasPrefix(text, "100") {
		text = strconv.FormatFloat(math.Floor(p*1e4)/1e4, 'f', 4, 64)
	}
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + " %"
}

// duration writes seconds with two or three digits that matter: 85ms, 1.2s,
// 11m30s, 26h, 4d.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	const day = 24 * time.Hour
	switch abs := d.Abs(); {
	case abs == 0:
		return "0s"
	case abs < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case abs < time.Second:
		return number(math.Round(seconds*1e4)/10) + "ms"
	case abs < time.Minute:
		d = d.Round(100 * time.Millisecond)
	case abs < time.Hour:
		d = d.Round(time.Second)
	case abs < 4*day:
		d = d.Round(time.Minute)
	default:
		return number(math.Round(d.Hours()/2.4)/10) + "d"
	}
	return unit.Brief(d)
}

// number writes a number with at most four digits that matter, and whole ones
// in full.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	digits := 3
	if v != 0 {
		digits = max(0, 3-int(math.Floor(math.Log10(math.Abs(v)))))
	}
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(v, 'f', min(digits, 9), 64), "0"), ".")
}

// between writes a value that is known within bounds only.
func (u Unit) between(low, high float64) string {
	switch {
	case math.IsInf(high, 1):
		return "over " + u.Format(low)
	case low == high:
		return u.Format(low)
	}
	return u.Format(low) + " to " + u.Format(high)
}

// plural writes a number with its noun.
func plural[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// instant writes an instant of UTC for people.
func instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}
