package pages

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/web/api"
)

// measure is one value of a check beside what it is judged against.
type measure struct {
	// Name is that of the value, Label what people read.
	Name, Label string
	// Value and its limits in words; empty for none.
	Text, Warn, Crit string
	// Share is how near it is to its gravest limit, 0 to 1, Percent the same for
	// a drawing.
	Share   float64
	Percent int
	Tone    tone
	// Limited tells that it is judged at all, Below that less is worse; Side is
	// the word for that.
	Limited, Below bool
	Side           string
}

// measures are the values of a check, those that are judged first, the nearest
// to its limit before the others.
func measures(c api.Check) []measure {
	var list []measure
	for _, name := range slices.Sorted(maps.Keys(c.Values)) {
		list = append(list, measured(c, name))
	}
	slices.SortStableFunc(list, func(a, b measure) int {
		return cmp.Or(-cmp.Compare(flag(a.Limited), flag(b.Limited)), -cmp.Compare(a.Share, b.Share))
	})
	return list
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// measured judges one value of a check as its probe does.
func measured(c api.Check, name string) measure {
	value := c.Values[name]
	m := measure{Name: name, Label: valueLabel(name), Text: valueText(name, value), Tone: toneIdle}
	limit, ok := limitOf(c.Limits, name)
	if !ok {
		return m
	}
	m.Limited, m.Below, m.Side, m.Tone = true, limit.Below, "above", toneGood
	if m.Below {
		m.Side = "below"
	}
	beyond := func(level *float64) bool {
		return level != nil && (!limit.Below && value > *level || limit.Below && value < *level)
	}
	gravest := limit.Crit
	if gravest == nil {
		gravest = limit.Warn
	}
	if limit.Warn != nil {
		m.Warn = valueText(name, *limit.Warn)
	}
	if limit.Crit != nil {
		m.Crit = valueText(name, *limit.Crit)
	}
	switch {
	case beyond(limit.Crit):
		m.Tone = toneBad
	case beyond(limit.Warn):
		m.Tone = toneWarn
	}
	if gravest != nil {
		m.Share = nearness(value, *gravest, limit.Below)
		m.Percent = int(math.Round(m.Share * 100))
	}
	return m
}

// nearness is how near a value is to a limit: 0 for far away, 1 for at it or
// beyond.
func nearness(value, limit float64, below bool) float64 {
	share := value / limit
	if below {
		share = limit / value
	}
	if math.IsNaN(share) || share < 0 {
		return 0
	}
	return min(share, 1)
}

// limitOf is the limit that holds for a value: its own, or the one of the name
// before the dot.
func limitOf(limits []api.Limit, name string) (api.Limit, bool) {
	group, _, _ := strings.Cut(name, ".")
	for _, want := range []string{name, group} {
		for _, l := range limits {
			if l.Value == want {
				return l, true
			}
		}
	}
	return api.Limit{}, false
}

// valueLabel is the name of a value as people read it: without its unit, and
// with what it is about behind it.
func valueLabel(name string) string {
	group, about, _ := strings.Cut(name, ".")
	switch group {
	case "up":
		return "answers"
	case "seconds", "total_seconds":
		group = "response time"
	}
	for _, unit := range []string{"_percent", "_seconds", "_bytes"} {
		group = strings.TrimSuffix(group, unit)
	}
	label := strings.ReplaceAll(group, "_", " ")
	if about != "" {
		label += " " + about
	}
	return label
}

// unitOf is the last part of a value's name that says what it counts.
func unitOf(name string) string {
	group, _, _ := strings.Cut(name, ".")
	if group == "seconds" {
		return "seconds"
	}
	for _, unit := range []string{"percent", "seconds", "bytes", "per_minute", "ratio", "days"} {
		if strings.HasSuffix(group, "_"+unit) {
			return unit
		}
	}
	if strings.HasPrefix(group, "days_") || strings.HasSuffix(group, "_days") {
		return "days"
	}
	return ""
}

// valueText is a value in its unit, as people read it.
func valueText(name string, v float64) string {
	group, _, _ := strings.Cut(name, ".")
	unit := unitOf(name)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case unit == "percent":
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " %"
	case unit == "seconds" && v != 0 && math.Abs(v) < 1e-3:
		return strconv.FormatFloat(v*1e6, 'f', 0, 64) + "µs"
	case unit == "seconds" && v < 0:
		return "-" + tookSeconds(-v)
	case unit == "seconds":
		return tookSeconds(v)
	case unit == "bytes" && v >= 0:
		return bytesText(int64(v))
	case unit == "per_minute":
		return number(group, v) + " / min"
	case unit == "days":
		return number(group, v) + " days"
	}
	return number(group, v)
}
