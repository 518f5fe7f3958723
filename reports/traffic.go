package reports

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/ghosteam/upkeep/runner"
)

// proof is how many requests without a single error prove, at 95 %, that fewer
// than one in so many fail: three times as many (the rule of three: B. D.
// Jovanovic and P. S. Levy, A look at the rule of three, 1997).
const proof = 3

// errorRate is the share of requests that failed, by the counters of the
// application, or else the share of bad answers of checks.
func (m *measurement) errorRate(ctx context.Context) (Figure, error) {
	aim := m.plan.Errors
	f := m.figure(ErrorRate, "error rate", Aim{Target: aim.Target, Unit: Share})
	if aim.All != "" && aim.Bad != "" {
		all, bad, err := m.pair(ctx, aim.All, aim.Bad)
		if err != nil {
			return f, err
		}
		if len(all) > 0 {
			f.Source, f.Of = "counter "+aim.All, "requests"
			f.judgeErrors(m.window, all, bad, 1)
			f.Rows = append(rowsOfMinutes(aim.All, all), rowsOfMinutes(aim.Bad, bad)...)
			return f, nil
		}
	}
	var all, bad []runner.Stretch
	names, err := m.from.expand(ctx, aim.Checks)
	if err != nil {
		return f, err
	}
	for _, name := range names {
		list, err := m.from.series(ctx, upSeries(name), m.window.from, m.window.until)
		if err != nil {
			return f, err
		}
		for _, s := range list {
			all = append(all, runner.Stretch{At: s.At, Count: s.Count, Sum: float64(s.Count)})
			bad = append(bad, runner.Stretch{At: s.At, Count: s.Count, Sum: float64(s.Count) - s.Sum})
		}
		if len(list) > 0 {
			f.Rows = append(f.Rows, Row{At: list[0].At, Until: m.window.until, What: upSeries(name), Text: fmt.Sprintf("%s bad of %s", number(sum(bad)), number(sum(all)))})
		}
	}
	if len(all) == 0 {
		f.Source = "none"
		f.without("nothing that tells it is on record", "let upkeep read the metrics of the application: scrape: {api: {url: http://…/metrics}}")
		return f, nil
	}
	f.Source, f.Of = "probes of checks "+strings.Join(aim.Checks, ", "), "answers"
	f.judgeErrors(m.window, all, bad, 0)
	if f.Known {
		f.Text = "probe failures " + f.Text
	}
	f.detail("source", "probes, not requests of users")
	return f, nil
}

// pair reads two series for the time in which both are on record.
func (m *measurement) pair(ctx context.Context, first, second string) (a, b []runner.Stretch, err error) {
	if a, err = m.from.series(ctx, first, m.window.from, m.window.until); err != nil {
		return nil, nil, err
	}
	if b, err = m.from.series(ctx, second, m.window.from, m.window.until); err != nil || len(b) == 0 {
		return nil, nil, err
	}
	for len(a) > 0 && a[0].At.Before(b[0].At) {
		a = a[1:]
	}
	return a, b, nil
}

// judgeErrors decides what so many errors among so many requests prove. minutes
// is 1 when every sample stands for a minute.
func (f *Figure) judgeErrors(w window, all, bad []runner.Stretch, minutes float64) {
	total, failed := sum(all), sum(bad)
	f.N = int64(math.Round(total))
	if minutes > 0 {
		f.Coverage = min(1, float64(samples(all))*minutes/w.length().Minutes())
	}
	f.trend(w, func(part window) (float64, bool) {
		n := sumWithin(all, part)
		if n <= 0 {
			return 0, false
		}
		return sumWithin(bad, part) / n, true
	})
	if total <= 0 {
		f.short("there was no request in the window", "")
		return
	}
	rate := failed / total
	f.set(rate)
	f.Low, f.High = wilson(failed, total)
	least := proof / f.Aim.Target
	f.Why = fmt.Sprintf("%s of %s failed", number(failed), number(total))
	switch {
	case total >= least:
	case f.Low > f.Aim.Target:
		f.Verdict = Missed
	default:
		f.short(fmt.Sprintf("%s of %s failed; it takes %s to prove %s", number(failed), number(total), number(math.Ceil(least)), f.Aim), "")
	}
}

// throughput is how many requests came in a minute. That is demand: few do not
// tell that more could not be served.
func (m *measurement) throughput(ctx context.Context) (Figure, error) {
	aim := m.plan.Demand
	f := m.figure(Throughput, "throughput", Aim{Above: true, Target: aim.Target, Unit: PerMinute})
	f.Source, f.Of = "none", "minutes"
	var list []runner.Stretch
	var err error
	if aim.All != "" {
		if list, err = m.from.series(ctx, aim.All, m.window.from, m.window.until); err != nil {
			return f, err
		}
	}
	if aim.Capacity != "" {
		done, err := m.capacity(ctx, &f)
		if done || err != nil {
			f.demand(list, m.window)
			return f, err
		}
	}
	if len(list) == 0 {
		f.without("no counter of requests is on record", "let upkeep read the metrics of the application: scrape: {api: {url: http://…/metrics}}")
		return f, nil
	}
	f.Source = "counter " + aim.All
	f.Rows = rowsOfMinutes(aim.All, list)
	middle, peak := f.demand(list, m.window)
	f.set(middle)
	f.Text = fmt.Sprintf("%s (peak %s)", PerMinute.Format(middle), PerMinute.Format(peak))
	switch {
	case f.Verdict == Met:
	case f.Aim.Reached(peak):
		f.Verdict = Met
		f.Why = "the median is demand; the peak minute shows that so much can be served"
	default:
		f.short("this is demand: fewer requests than the target do not tell that more could not be served",
			"record what a test of load shows: `upkeep metric add NAME=VALUE`, and name it in kpis: {throughput: {capacity: NAME}}")
	}
	return f, nil
}

// demand adds how many requests came, and returns the median and the peak.
func (f *Figure) demand(list []runner.Stretch, w window) (middle, peak float64) {
	_, middle, _, n := spread(list, 0.5)
	if n == 0 {
		return 0, 0
	}
	for _, s := range list {
		peak = max(peak, s.High)
	}
	f.N, f.Coverage = n, min(1, float64(n)/w.length().Minutes())
	f.detail("median", PerMinute.Format(middle))
	f.detail("peak minute", PerMinute.Format(peak))
	f.trend(w, func(part window) (float64, bool) {
		var inner []runner.Stretch
		for _, s := range list {
			if part.holds(s.At) {
				inner = append(inner, s)
			}
		}
		_, middle, _, n := spread(inner, 0.5)
		return middle, n > 0
	})
	return middle, peak
}

// capacity judges what a test of load has shown last.
func (m *measurement) capacity(ctx context.Context, f *Figure) (bool, error) {
	name := m.plan.Demand.Capacity
	list, err := m.from.series(ctx, name, m.window.from, m.window.until)
	if err != nil || len(list) == 0 {
		return false, err
	}
	last := list[len(list)-1]
	f.Source = "series " + name
	f.Rows = rowsOfMinutes(name, list)
	f.set(last.Mean())
	f.Text = "capacity " + f.Text
	f.Why = "as a test of load showed on " + instant(last.At)
	return true, nil
}

// mostRows bounds the rows of a series with a sample in every minute; what is
// older is told in one row.
const mostRows = 1000

func rowsOfMinutes(series string, list []runner.Stretch) []Row {
	var rows []Row
	if rest := len(list) - mostRows; rest > 0 {
		old := list[:rest]
		rows = append(rows, Row{At: old[0].At, Until: list[rest].At, What: series, Text: fmt.Sprintf("%s in %s", number(sum(old)), plural(samples(old), "minute"))})
		list = list[rest:]
	}
	for _, s := range list {
		row := Row{At: s.At, What: series, Text: number(s.Sum)}
		if s.Length > 0 {
			row.Until = s.At.Add(s.Length)
		}
		if s.Count > 1 {
			row.Text = fmt.Sprintf("%s in %s", number(s.Sum), plural(s.Count, "minute"))
		}
		rows = append(rows, row)
	}
	return rows
}

func sum(list []runner.Stretch) float64 {
	total := 0.0
	for _, s := range list {
		total += s.Sum
	}
	return total
}

func samples(list []runner.Stretch) int64 {
	n := int64(0)
	for _, s := range list {
		n += s.Count
	}
	return n
}
