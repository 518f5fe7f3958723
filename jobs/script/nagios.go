package script

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// plugin judges a monitoring plugin by the Monitoring Plugins Development
// Guidelines: exit codes 0 to 3 and performance data behind a |.
func plugin(exit *child.ExitError, o outcome) (jobs.Result, error) {
	text, perfdata := splitPlugin(o.told)
	result := jobs.Result{Summary: lastLine(text, "no output"), Values: parsePerfdata(perfdata)}
	code := 0
	if exit != nil {
		code = exit.Code
	}
	switch {
	case strings.Contains(o.said, "Traceback (most recent call last)"):
		// Python ends with 1 after an exception, which would read as a
		// warning.
		return result, &brokeError{err: errors.New("the plugin crashed"), words: lastLine(o.said, ""), code: code}
	case code == 0:
		return result, nil
	case code == 1:
		result.Findings = []jobs.Finding{{ID: "plugin", Severity: jobs.Warning, Text: result.Summary}}
		return result, nil
	case code == 2:
		result.Findings = []jobs.Finding{{ID: "plugin", Severity: jobs.Critical, Text: result.Summary}}
		return result, nil
	case code == 3:
		return result, &brokeError{err: errors.New("the plugin says unknown"), words: result.Summary, code: code}
	}
	return result, broke(exit, o)
}

// splitPlugin takes the first line apart into text and performance data, and
// adds the performance data that may follow the long text.
func splitPlugin(told string) (text, perfdata string) {
	first, rest, _ := strings.Cut(told, "\n")
	text, perfdata, _ = strings.Cut(first, "|")
	if _, more, ok := strings.Cut(rest, "|"); ok {
		perfdata += " " + strings.ReplaceAll(more, "\n", " ")
	}
	return text, perfdata
}

// units turn a plugin's unit of measurement into a factor and the ending of a
// value's name.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var units = map[string]struct {
	factor float64
	suffix string
}{
	"": {1, ""}, "c": {1, ""}, "%": {1, "_percent"}, "s": {1, "_seconds"}, "ms": {1e-3, "_seconds"}, "us": {1e-6, "_seconds"},
	"B": {1, "_bytes"}, "KB": {1e3, "_bytes"}, "MB": {1e6, "_bytes"}, "GB": {1e9, "_bytes"}, "TB": {1e12, "_bytes"},
}

// parsePerfdata reads 'label'=value[unit][;warn][;crit][;min][;max] items
// separated by spaces. Items that do not parse are passed over: they are
// decoration, and the exit code has spoken.
func parsePerfdata(text string) map[string]float64 {
	values := map[string]float64{}
	for text = strings.TrimSpace(text); text != "" && len(values) < mostEntries; text = strings.TrimLeft(text, " \t") {
		var label string
		if strings.HasPrefix(text, "'") {
			end := strings.Index(text[1:], "'=")
			if end < 0 {
				break
			}
			label, text = text[1:end+1], text[end+3:]
		} else {
			var ok bool
			if label, text, ok = strings.Cut(text, "="); !ok {
				break
			}
		}
		item := text
		if end := strings.IndexAny(text, " \t"); end >= 0 {
			item, text = text[:end], text[end:]
		} else {
			text = ""
		}
		value, _, _ := strings.Cut(item, ";")
		digits := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ%")
		u, known := units[value[len(digits):]]
		v, err := strconv.ParseFloat(digits, 64)
		if name := legalName(label); known && err == nil && name != "" && !math.IsNaN(v) && !math.IsInf(v*u.factor, 0) {
			values[name+u.suffix] = v * u.factor
		}
	}
	return values
}

func legalName(label string) string {
	if label == "/" {
		return "root"
	}
	name := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '_'
	}, label)
	return strings.TrimLeft(name, "_.-")
}

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
	if r.text == "" {
		return false
	}
	within := v >= r.low && v <= r.high
	return within == r.inside
}
