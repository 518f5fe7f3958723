package script

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/ghosteam/upkeep/jobs"
)

// series are the values of one name, this run's first and then those of
// earlier runs, newest first; nil where a run did not report it.
type series struct {
	values []*float64
	// whole tells that no earlier run is left out.
	whole bool
}

// from is the series as it was so many runs ago.
func (s series) from(runs int) series { return series{values: s.values[runs:], whole: s.whole} }

// limit is one way in which a threshold can be broken.
type limit struct {
	id    string
	judge func(series) (jobs.Severity, string)
}

// apply judges values by the configured thresholds.
func (p *program) apply(ctx context.Context, r *jobs.Result) error {
	thresholds := p.options.Thresholds
	past, whole, err := p.past(ctx)
	if err != nil {
		return err
	}
	names := map[string]string{} // value to threshold
	met := map[string]bool{}
	for name := range thresholds {
		if !isPattern(name) {
			names[name] = name
		}
	}
	for name := range r.Values {
		for pattern := range thresholds {
			met[pattern] = met[pattern] || isPattern(pattern) && matches(pattern, name)
		}
		if governor, ok := governing(thresholds, name); ok {
			names[name] = governor
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		t := thresholds[names[name]]
		s := seriesOf(name, *r, past, whole)
		for _, l := range t.limits(name) {
			if f, ok := l.finding(s, t.after()); ok {
				r.Findings = append(r.Findings, f)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(thresholds)) {
		if t := thresholds[name]; isPattern(name) && !met[name] && !t.Optional {
			r.Findings = append(r.Findings, jobs.Finding{
				ID: jobs.FindingIDFrom("threshold:" + name + ":missing"), Severity: t.missing(),
				Text: fmt.Sprintf("no value matches %s, which has a threshold", name),
			})
		}
	}
	return nil
}

// past reads as many earlier outcomes as the thresholds look back at, newest
// first, and tells whether these are all.
func (p *program) past(ctx context.Context) (past []jobs.Past, whole bool, err error) {
	limit := 0
	for _, t := range p.options.Thresholds {
		limit = max(limit, t.looksBack())
	}
	if limit == 0 {
		return nil, false, nil
	}
	past, err = p.history.Past(ctx, limit)
	if err != nil {
		return nil, false, fmt.Errorf("read what earlier runs measured: %w", err)
	}
	return past, len(past) < limit, nil
}

func seriesOf(name string, r jobs.Result, past []jobs.Past, whole bool) series {
	s := series{values: []*float64{valueOf(name, r)}, whole: whole}
	for _, p := range past {
		s.values = append(s.values, valueOf(name, p.Result))
	}
	return s
}

func valueOf(name string, r jobs.Result) *float64 {
	if v, ok := r.Values[name]; ok {
		return &v
	}
	return nil
}

// limits are the limits of t for one value. Each has an ID of its own, so that
// one that is broken does not hide another.
func (t Threshold) limits(name string) []limit {
	id := jobs.FindingIDFrom("threshold:" + name)
	limits := []limit{{id: id, judge: func(s series) (jobs.Severity, string) { return t.judge(name, s) }}}
	if !t.Trend.isNone() {
		limits = append(limits, limit{id: jobs.FindingIDFrom(id + ":trend"), judge: func(s series) (jobs.Severity, string) { return t.Trend.judge(name, s) }})
	}
	if !t.Optional {
		limits = append(limits, limit{id: jobs.FindingIDFrom(id + ":missing"), judge: func(s series) (jobs.Severity, string) {
			if s.values[0] != nil {
				return "", ""
			}
			return t.missing(), name + " was not reported, but it has a threshold"
		}})
	}
	return limits
}

// missing is how bad it is that a value is not known: it might be as bad as it
// can get.
func (t Threshold) missing() jobs.Severity {
	if t.Crit.isNone() && t.Trend.Crit == 0 {
		return jobs.Warning
	}
	return jobs.Critical
}

// finding judges by l. It needs after runs in a row, and then is as bad as the
// least bad of these; until then it is an info.
func (l limit) finding(s series, after int) (jobs.Finding, bool) {
	severity, text := l.judge(s)
	if severity == "" {
		return jobs.Finding{}, false
	}
	for run := 1; run < after; run++ {
		earlier := jobs.Severity("")
		if run < len(s.values) {
			earlier, _ = l.judge(s.from(run))
		}
		if earlier == "" {
			return jobs.Finding{ID: l.id, Severity: jobs.Info, Text: fmt.Sprintf("%s (run %d of %d in a row, then it counts)", text, run, after)}, true
		}
		if earlier.Rank() < severity.Rank() {
			severity = earlier
		}
	}
	if after > 1 {
		text = fmt.Sprintf("%s, for %d runs in a row", text, after)
	}
	return jobs.Finding{ID: l.id, Severity: severity, Text: text}, true
}

// judge judges the newest value by the ranges.
func (t Threshold) judge(name string, s series) (jobs.Severity, string) {
	if s.values[0] == nil {
		return "", ""
	}
	value := *s.values[0]
	say := func(limit Range) string {
		where := "outside"
		if limit.inside {
			where = "inside"
		}
		return fmt.Sprintf("%s is %s, %s %s", name, number(value), where, limit)
	}
	switch {
	case t.Crit.Alerts(value):
		return jobs.Critical, say(t.Crit)
	case t.Warn.Alerts(value):
		return jobs.Warning, say(t.Warn)
	}
	return "", ""
}

// judge compares the newest value with the median of the earlier ones.
func (t Trend) judge(name string, s series) (jobs.Severity, string) {
	if s.values[0] == nil {
		return "", ""
	}
	value, earlier := *s.values[0], t.earlier(s)
	if len(earlier) < t.minHistory() {
		return "", ""
	}
	middle := median(earlier)
	worse, side := value-middle, "above"
	if t.Worse == worseDown {
		worse, side = -worse, "below"
	}
	if !(worse > t.Floor) {
		return "", ""
	}
	part := 100 * worse / math.Abs(middle) // infinite when the median is 0
	say := func(limit Percent) string {
		by := number(math.Round(part)) + "%"
		if math.IsInf(part, 0) || part > 1e6 {
			by = number(worse)
		}
		return fmt.Sprintf("%s is %s, %s %s %s, the median of the last %d (the limit is %s)", name, number(value), by, side, number(middle), len(earlier), limit)
	}
	switch {
	case t.Crit > 0 && part > float64(t.Crit):
		return jobs.Critical, say(t.Crit)
	case t.Warn > 0 && part > float64(t.Warn):
		return jobs.Warning, say(t.Warn)
	}
	return "", ""
}

// earlier are the values to compare with, without those of the warm-up, which
// are known only while the first run is.
func (t Trend) earlier(s series) []float64 {
	var known []float64
	for _, v := range s.values[1:] {
		if v != nil {
			known = append(known, *v)
		}
	}
	if s.whole {
		known = known[:max(len(known)-t.WarmUp, 0)]
	}
	return known[:min(len(known), t.last())]
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return sorted[half-1]/2 + sorted[half]/2
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
