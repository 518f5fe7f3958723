package script

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Range is a range in the notation of monitoring plugins. The zero Range
// never alerts.
type Range struct {
	low, high float64
	inside    bool
	text      string
}

// UnmarshalText reads a range such as "10", "10:", "~:10", "10:20" or "@10:20".
func (r *Range) UnmarshalText(text []byte) error {
	s := string(text)
	out := Range{low: 0, high: math.Inf(1), text: s}
	s, out.inside = strings.CutPrefix(s, "@")
	low, high, colon := strings.Cut(s, ":")
	if !colon {
		low, high = "0", s
	}
	var err error
	switch {
	case low == "~":
		out.low = math.Inf(-1)
	case low != "":
		out.low, err = finite(low)
	}
	if err == nil && (high != "" || !colon) {
		out.high, err = finite(high)
	}
	if err != nil || out.low > out.high || s == ":" {
		return fmt.Errorf("%q is not a range: write 10, 10:, ~:10, 10:20 or @10:20", text)
	}
	*r = out
	return nil
}

func finite(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = strconv.ErrRange
	}
	return v, err
}

// MarshalText writes the form that UnmarshalText reads.
func (r Range) MarshalText() ([]byte, error) { return []byte(r.text), nil }

// String returns the text that the range was read from.
func (r Range) String() string { return r.text }

// Alerts tells whether v breaks the range.
func (r Range) Alerts(v float64) bool {
	if r.isNone() {
		return false
	}
	within := v >= r.low && v <= r.high
	return within == r.inside
}

func (r Range) isNone() bool { return r.text == "" }
