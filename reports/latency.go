package reports

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// p95 is the quantile that the guide asks for. Of models it names none, so
	// theirs is the same.
	p95 = 0.95
	// leastSamples is how many observations tell a 95th percentile: below 20
	// none lies above it.
	leastSamples = 20
)

// latency is a 95th percentile: of a histogram that the application exposes, or
// of what a script measured, or of how long probes took, in this order.
func (m *measurement) latency(ctx context.Context, name, title string, aim LatencyAim) (Figure, error) {
	f := m.figure(name, title, Aim{Target: aim.Target.Seconds(), Unit: Seconds})
	if aim.Histogram != "" {
		buckets, err := m.buckets(ctx, aim.Histogram)
		if err != nil {
			return f, err
		}
		if len(buckets) > 0 {
			f.Source, f.Of = "histogram "+aim.Histogram, "requests"
			f.judgeHistogram(buckets, m.window)
			return f, nil
		}
	}
	if aim.Job != (JobName{}) {
		done, err := m.scriptLatency(ctx, &f, aim)
		if done || err != nil {
			return f, err
		}
	}
	if len(aim.Checks) > 0 {
		done, err := m.probeLatency(ctx, &f, aim.Checks)
		if done || err != nil {
			return f, err
		}
	}
	f.Source = "none"
	f.without("nothing that tells it is on record", "let upkeep read the metrics of the application: scrape: {api: {url: http://…/metrics}}")
	return f, nil
}

// bucket is the series of one bucket of a histogram.
type bucket struct {
	bound float64
	list  []runner.Stretch
	// minutes is for how many minutes it is on record.
	minutes int64
}

// infinite is what the series of the last bucket ends in.
const infinite = "inf"

// buckets reads the buckets of a scraped histogram in the order of their
// bounds. Without the last one, which counts all, there are none.
func (m *measurement) buckets(ctx context.Context, histogram string) ([]bucket, error) {
	prefix := histogram + ".le_"
	known, err := m.from.Samples.Series(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var list []bucket
	for _, s := range known {
		bound := math.Inf(1)
		if text := strings.TrimPrefix(s.Name, prefix); text != infinite {
			if bound, err = strconv.ParseFloat(text, 64); err != nil {
				continue // a series of somebody else's
			}
		}
		b := bucket{bound: bound}
		if b.list, err = m.from.series(ctx, s.Name, m.window.from, m.window.until); err != nil {
			return nil, err
		}
		for _, one := range b.list {
			b.minutes += one.Count
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b bucket) int {
		if a.bound < b.bound {
			return -1
		}
		return 1
	})
	if len(list) == 0 || !math.IsInf(list[len(list)-1].bound, 1) || list[len(list)-1].minutes == 0 {
		return nil, nil
	}
	// A bucket that came or went on the way has not seen what the others have.
	all := list[len(list)-1].minutes
	return slices.DeleteFunc(list, func(b bucket) bool { return b.minutes != all }), nil
}

// histogramOf adds up what the buckets counted in a window.
func histogramOf(list []bucket, w window) Histogram {
	var h Histogram
	for _, b := range list {
		h.Bounds, h.Counts = append(h.Bounds, b.bound), append(h.Counts, sumWithin(b.list, w))
	}
	return h
}

// sumWithin adds up the samples that begin in a window.
func sumWithin(list []runner.Stretch, w window) float64 {
	sum := 0.0
	for _, s := range list {
		if w.holds(s.At) {
			sum += s.Sum
		}
	}
	return sum
}

// judgeHistogram decides what the buckets prove. They prove it exactly when the
// target is one of their bounds.
func (f *Figure) judgeHistogram(list []bucket, w window) {
	h := histogramOf(list, w)
	f.N = int64(math.Round(h.Total()))
	f.Coverage = min(1, float64(list[len(list)-1].minutes)/w.length().Minutes())
	for i, b := range h.Bounds {
		f.Rows = append(f.Rows, Row{At: w.from, Until: w.until, What: "at most " + boundText(b), Text: fmt.Sprintf("%s of %s", number(h.Counts[i]), plural(f.N, "request"))})
	}
	f.trend(w, func(part window) (float64, bool) {
		inner := histogramOf(list, part)
		return inner.estimate(p95), inner.Total() > 0
	})
	low, high, ok := h.between(p95)
	if !ok || f.N < leastSamples {
		f.short(fmt.Sprintf("%s in the window; %d are the least", plural(f.N, "request"), leastSamples), "")
		return
	}
	f.Value, f.Low, f.High, f.Known = h.estimate(p95), low, high, true
	f.Text = Seconds.between(low, high)
	share, exact := h.atMost(f.Aim.Target)
	switch {
	case exact && share >= p95:
		f.Verdict = Met
		f.Why = fmt.Sprintf("%s took at most %s", percent(share), Seconds.Format(f.Aim.Target))
	case exact:
		f.Verdict = Missed
		f.Why = fmt.Sprintf("only %s took at most %s", percent(share), Seconds.Format(f.Aim.Target))
	case high <= f.Aim.Target:
		f.Verdict = Met
	case low >= f.Aim.Target:
		f.Verdict = Missed
	default:
		f.short(fmt.Sprintf("the histogram has no bucket at %s: it may be on either side", Seconds.Format(f.Aim.Target)),
			fmt.Sprintf("give the histogram of the application a bucket at %v seconds", f.Aim.Target))
	}
}

// boundText writes the bound of a bucket.
func boundText(b float64) string {
	if math.IsInf(b, 1) {
		return "any"
	}
	return Seconds.Format(b)
}

// probeLatency judges how long probes took, which stands in for requests of
// users.
func (m *measurement) probeLatency(ctx context.Context, f *Figure, checks []string) (bool, error) {
	var all []runner.Stretch
	var rows []Row
	names, err := m.from.expand(ctx, checks)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		list, err := m.from.series(ctx, secondsSeries(name), m.window.from, m.window.until)
		if err != nil {
			return false, err
		}
		all = append(all, list...)
		if low, middle, high, n := spread(list, p95); n > 0 {
			rows = append(rows, Row{At: list[0].At, Until: m.window.until, What: secondsSeries(name), Text: fmt.Sprintf("p95 %s of %s (%s)", Seconds.Format(middle), plural(n, "answer"), Seconds.between(low, high))})
		}
	}
	low, middle, high, n := spread(all, p95)
	if n == 0 {
		return false, nil
	}
	f.Source, f.Of, f.N, f.Rows = "probes of checks "+strings.Join(checks, ", "), "answers", n, rows
	f.trend(m.window, func(w window) (float64, bool) {
		var inner []runner.Stretch
		for _, s := range all {
			if w.holds(s.At) {
				inner = append(inner, s)
			}
		}
		_, middle, _, n := spread(inner, p95)
		return middle, n > 0
	})
	f.Value, f.Low, f.High, f.Known = middle, low, high, true
	f.Text = "probe p95 " + Seconds.Format(middle)
	f.detail("source", "probes, not requests of users")
	f.Next = "let upkeep read the metrics of the application: scrape: {api: {url: http://…/metrics}}"
	switch {
	case n < leastSamples:
		f.short(fmt.Sprintf("%s in the window; %d are the least", plural(n, "answer"), leastSamples), "")
	case high < f.Aim.Target:
		f.Verdict = Met
	case low >= f.Aim.Target:
		f.Verdict = Missed
	default:
		f.short(fmt.Sprintf("of older answers only the mean is on record: the figure lies between %s and %s", Seconds.Format(low), Seconds.Format(high)), f.Next)
	}
	return true, nil
}

// scriptLatency judges what a script measured last.
func (m *measurement) scriptLatency(ctx context.Context, f *Figure, aim LatencyAim) (bool, error) {
	answers, err := m.from.answers(ctx, aim.Job, m.window)
	if err != nil {
		return false, err
	}
	values := valuesOf(answers, aim.Value)
	if len(values) == 0 {
		return false, nil
	}
	last := values[len(values)-1]
	f.Source, f.Of, f.N = fmt.Sprintf("job %s, value %s", aim.Job, aim.Value), "results", int64(len(values))
	f.Rows = rowsOfValues(aim.Job, Seconds, values)
	f.trendOfValues(m.window, values)
	f.set(last.value)
	f.Text = "script p95 " + f.Text
	f.stale(m.now, last.at, aim.StaleAfter)
	return true, nil
}

// measured is a value that a job found out.
type measured struct {
	at    time.Time
	value float64
	from  answer
}

// valuesOf are the values of one name among the answers.
func valuesOf(list []answer, name string) []measured {
	var out []measured
	for _, a := range list {
		if v, ok := a.attempt.Result.Values[name]; ok {
			out = append(out, measured{a.attempt.FinishedAt, v, a})
		}
	}
	return out
}

func rowsOfValues(of JobName, unit Unit, list []measured) []Row {
	var rows []Row
	for _, v := range list {
		rows = append(rows, Row{At: v.at, What: of.String(), ID: string(v.from.run.ID), Text: unit.Format(v.value)})
	}
	return rows
}

// trendOfValues takes the mean of each part of the window.
func (f *Figure) trendOfValues(w window, list []measured) {
	f.trend(w, func(part window) (float64, bool) {
		var inner []float64
		for _, v := range list {
			if part.holds(v.at) {
				inner = append(inner, v.value)
			}
		}
		return mean(inner), len(inner) > 0
	})
}

// stale withdraws a verdict that rests on a result that is too old.
func (f *Figure) stale(now, at time.Time, after time.Duration) {
	if age := now.Sub(at); after > 0 && age > after {
		f.short(fmt.Sprintf("the last result is %s old; after %s it says nothing about today", duration(age.Seconds()), duration(after.Seconds())), "see why the job does not run: `upkeep why`")
	}
}
