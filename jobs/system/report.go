package system

import (
	"fmt"
	"math"

	"github.com/ghosteam/upkeep/jobs"
)

// report collects what the probe finds.
type report struct {
	values   map[string]float64
	findings []jobs.Finding
	lines    []string
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

// critical reports what is wrong beyond numbers.
func (r *report) critical(id, text string) {
	r.add(id, jobs.Critical, text)
	r.lines = append(r.lines, text)
}

// unknown reports what could not be measured.
func (r *report) unknown(id, what string, err error) {
	text := jobs.OneLine(fmt.Sprintf("%s: unknown: %s", what, err))
	r.add("unknown:"+id, jobs.Warning, text)
	r.lines = append(r.lines, text)
}

func (r *report) add(id string, s jobs.Severity, text string) {
	r.findings = append(r.findings, jobs.Finding{ID: jobs.FindingIDFrom(id), Severity: s, Text: jobs.OneLine(text)})
}

func (r *report) result() jobs.Result {
	summary := jobs.Headline(r.findings)
	if summary == "" {
		summary = fmt.Sprintf("CPU %s, memory %s, fullest disk %s", r.percent("cpu_percent"), r.percent("memory_percent"), r.percent("disk_percent"))
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
