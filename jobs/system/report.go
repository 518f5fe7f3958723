package system

import (
	"fmt"
	"math"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
)

// report collects what the probe finds.
type report struct {
	values   map[string]float64
	findings []jobs.Finding
	lines    []string
	worst    []string
}

// judge compares one percentage with its limits. Like the guide it replaces,
// a value must lie above a limit to break it.
func (r *report) judge(id, what string, percent float64, l Limits) {
	text := fmt.Sprintf("%s at %.1f %%", what, percent)
	switch {
	case percent > float64(l.Crit):
		r.add(id, jobs.Critical, fmt.Sprintf("%s, limit %s", text, l.Crit))
	case percent > float64(l.Warn):
		r.add(id, jobs.Warning, fmt.Sprintf("%s, limit %s", text, l.Warn))
	}
	r.lines = append(r.lines, text)
}

func (r *report) critical(id, text string) { r.add(id, jobs.Critical, text) }

// unknown reports what could not be measured.
func (r *report) unknown(id, what string, err error) {
	r.add("unknown:"+id, jobs.Warning, fmt.Sprintf("%s is unknown: %s", what, oneLine(err.Error())))
}

func (r *report) add(id string, s jobs.Severity, text string) {
	r.findings = append(r.findings, jobs.Finding{ID: findingID(id), Severity: s, Text: text})
	r.worst = append(r.worst, text)
}

func (r *report) result() jobs.Result {
	summary := fmt.Sprintf("CPU %s, memory %s, fullest disk %s", r.percent("cpu_percent"), r.percent("memory_percent"), r.percent("disk_percent"))
	if len(r.worst) > 0 {
		summary = strings.Join(r.worst, "; ")
	}
	return jobs.Result{Summary: summary, Values: r.values, Findings: r.findings}
}

func (r *report) percent(name string) string {
	v, ok := r.values[name]
	if !ok {
		return "unknown"
	}
	return fmt.Sprintf("%.0f %%", v)
}

// round keeps two decimals: more would claim a precision that is not there.
func round(v float64) float64 { return math.Round(v*100) / 100 }

func findingID(id string) string {
	return strings.Map(func(c rune) rune {
		if c == ':' || c == '/' {
			return c
		}
		if mapped := valueKey(string(c)); mapped != "" {
			return rune(mapped[0])
		}
		return '_'
	}, id)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
