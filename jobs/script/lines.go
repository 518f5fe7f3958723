package script

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
)

const (
	// linePrefix begins lines of output that hold a value: "metric rows=12".
	linePrefix = "metric "
	// longestMetric bounds such a line, in bytes.
	longestMetric = 512
)

// lineReader finds the lines "metric NAME=VALUE" in a stream of output. Of
// lines with the same name the last counts. Prose that begins with the same
// word is none, because it holds a space.
type lineReader struct {
	partial []byte
	long    bool // the line under way cannot be a value
	lines   []string
	lost    int
}

// Write takes a part of the stream.
func (l *lineReader) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if room := longestMetric - len(l.partial); len(line) > room {
			l.long, line = true, line[:max(room, 0)]
		}
		l.partial = append(l.partial, line...)
		if !ended {
			return n, nil
		}
		l.end()
		p = rest
	}
}

// end takes the line that has ended.
func (l *lineReader) end() {
	text, ok := strings.CutPrefix(strings.TrimRight(string(l.partial), " \t\r"), linePrefix)
	if ok && !l.long && strings.Contains(text, "=") && !strings.ContainsAny(text, " \t") {
		if len(l.lines) < 10*answer.MostEntries {
			l.lines = append(l.lines, text)
		} else {
			l.lost++
		}
	}
	l.partial, l.long = l.partial[:0], false
}

// report adds the values to r; what looks like one and is none becomes a
// finding, because somebody believes that it is recorded.
func (l *lineReader) report(env *jobs.Env, r *jobs.Result) {
	if l == nil {
		return
	}
	l.end() // the last line may lack its end
	values := map[string]float64{}
	var bad []string
	for _, line := range l.lines {
		name, number, _ := strings.Cut(env.Scrub(line), "=")
		v, err := strconv.ParseFloat(number, 64)
		switch {
		case err != nil || math.IsNaN(v) || math.IsInf(v, 0) || !jobs.ValidName(name):
			bad = append(bad, line)
		case len(values) == answer.MostEntries && !has(values, name):
			l.lost++
		default:
			values[name] = v
		}
	}
	if r.Values == nil {
		r.Values = map[string]float64{}
	}
	maps.Copy(r.Values, values)
	if bad = slices.Compact(bad); len(bad) > 0 {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "metric-lines", Severity: jobs.Warning,
			Text: env.OneLine(fmt.Sprintf("%d lines that begin with metric hold no value, the first %q: a name is made of a-z, 0-9, _, . and -, a value is a finite number", len(bad), bad[0])),
		})
	}
	if l.lost > 0 {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "metric-lines-many", Severity: jobs.Warning,
			Text: fmt.Sprintf("%d values in metric lines were left out: at most %d names are recorded", l.lost, answer.MostEntries),
		})
	}
}

func has(values map[string]float64, name string) bool {
	_, ok := values[name]
	return ok
}
