package script

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// plugin judges a monitoring plugin by the Monitoring Plugins Development
// Guidelines: exit codes 0 to 3 and performance data behind a |.
func (o *outcome) plugin(exit *child.ExitError) (jobs.Result, error) {
	text, perfdata := splitPlugin(o.told)
	result := jobs.Result{Summary: o.env.OneLine(text), Values: parsePerfdata(perfdata)}
	o.lines.report(o.env, &result)
	if result.Summary == "" {
		result.Summary = "no output"
	}
	code := 0
	if exit != nil {
		code = exit.Code
	}
	finding := func(s jobs.Severity) jobs.Finding {
		return jobs.Finding{ID: "plugin", Severity: s, Text: result.Summary}
	}
	failed := func(what, words string) error {
		return answer.BrokeWith(o.env, errors.New(what), code, words, o.said)
	}
	switch {
	case crashed(o.said) || crashed(o.told):
		// Python, Node and Java end with 1 after an exception, which would
		// read as a warning, and Go with 2.
		return result, failed("the plugin crashed", answer.LastLine(o.said))
	case code == 0:
		return result, nil
	case code == 1:
		result.Findings = append(result.Findings, finding(jobs.Warning))
		return result, nil
	case code == 2:
		result.Findings = append(result.Findings, finding(jobs.Critical))
		return result, nil
	case code == 3:
		return result, failed("the plugin says unknown", result.Summary)
	}
	return result, o.broke(exit)
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
	"": {1, ""}, "c": {1, ""}, "%": {1, "_percent"},
	"s": {1, "_seconds"}, "ms": {1e-3, "_seconds"}, "us": {1e-6, "_seconds"}, "ns": {1e-9, "_seconds"},
	"B": {1, "_bytes"}, "KB": {1e3, "_bytes"}, "MB": {1e6, "_bytes"}, "GB": {1e9, "_bytes"}, "TB": {1e12, "_bytes"},
	"KiB": {1 << 10, "_bytes"}, "MiB": {1 << 20, "_bytes"}, "GiB": {1 << 30, "_bytes"}, "TiB": {1 << 40, "_bytes"},
}

// parsePerfdata reads 'label'=value[unit][;warn][;crit][;min][;max] items
// separated by spaces. Items that do not parse are passed over: they are
// decoration, and the exit code has spoken.
func parsePerfdata(text string) map[string]float64 {
	values := map[string]float64{}
	for text = strings.TrimSpace(text); text != "" && len(values) < answer.MostEntries; text = strings.TrimLeft(text, " \t") {
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
		if name := labelName(label); known && err == nil && name != "" && !math.IsNaN(v) && !math.IsInf(v*u.factor, 0) {
			values[name+u.suffix] = v * u.factor
		}
	}
	return values
}

// labelName is the value's name for a plugin's label; plugins call the root of
// the file system by its path.
func labelName(label string) string {
	label = strings.ReplaceAll(label, "''", "'") // a quote inside quotes
	if label == "/" {
		return "root"
	}
	return jobs.NameFrom(label)
}
