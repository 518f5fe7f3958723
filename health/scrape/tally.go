package scrape

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// longestGap is the longest time between two readings over which a counter is
// still compared with itself: what happened in a longer one is unknown.
const longestGap = 10 * time.Minute

// A tally turns readings of counters, which only grow until their process starts
// anew, into how much they grew in each minute. It belongs to one goroutine.
type tally struct {
	target Target
	prefix string
	// before are the counters of the reading before, by their names and labels.
	before map[string]float64
	at     time.Time
	// minutes are the growths that are not recorded yet, by series.
	minutes map[string]map[time.Time]float64
	// values are samples that stand for themselves.
	values []runner.Sample
	// series are those that were ever recorded; refused are the names of those
	// for which there is no room.
	series, refused map[string]bool
	told            bool
}

func newTally(t Target) *tally {
	return &tally{target: t, prefix: prefixOf(t), before: map[string]float64{}, minutes: map[string]map[time.Time]float64{}, series: map[string]bool{}, refused: map[string]bool{}}
}

func prefixOf(t Target) string { return "scrape." + t.Name + "." }

// reading is one look at the counters of a target.
type reading struct {
	*tally

	at time.Time
	// now are the counters as they are; grown how much each grew.
	now map[string]float64
	// compare tells whether there is a reading before to compare with.
	compare bool
	// sums are the growths by series.
	sums map[string]float64
}

// take reads the text form of Prometheus
// (prometheus.io/docs/instrumenting/exposition_formats) as it was at an instant.
// An error leaves everything as it was.
func (t *tally) take(text []byte, at time.Time) error {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("this is not the text form of Prometheus: %s", jobs.OneLine(err.Error()))
	}
	gap := at.Sub(t.at)
	r := &reading{tally: t, at: at, now: map[string]float64{}, compare: !t.at.IsZero() && gap > 0 && gap <= longestGap, sums: map[string]float64{}}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		family := families[name]
		if slices.Contains(t.target.Counters, name) {
			r.counter(name, family)
		}
		if slices.Contains(t.target.Histograms, name) {
			r.histogram(name, family)
		}
		if t.kept(name) {
			r.keep(name, family)
		}
	}
	if r.compare {
		for series, sum := range r.sums {
			t.spread(series, sum, at)
		}
	}
	t.before, t.at = r.now, at
	return nil
}

// kept tells whether a metric is kept with its labels.
func (t *tally) kept(name string) bool {
	return slices.ContainsFunc(t.target.Keep, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// grown notes a counter and returns how much it grew since the reading before.
// One that is smaller than before began anew with its process; one that was not
// there before began at nothing.
func (r *reading) grown(key string, value float64) float64 {
	if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
		return 0
	}
	r.now[key] = value
	before := r.before[key]
	if value < before {
		return value
	}
	return value - before
}

// counter adds up all series of a counter, and those that mean errors.
func (r *reading) counter(name string, family *dto.MetricFamily) {
	all, bad := 0.0, 0.0
	for _, m := range family.GetMetric() {
		value, ok := counted(m)
		if !ok {
			continue
		}
		grown := r.grown(keyOf(name, m), value)
		all += grown
		if r.failed(m.GetLabel()) {
			bad += grown
		}
	}
	r.sums[r.prefix+jobs.NameFrom(name)] = all
	r.sums[r.prefix+jobs.NameFrom(name)+".errors"] = bad
}

// counted is the value of a counter. Without a type line, everything is untyped.
func counted(m *dto.Metric) (float64, bool) {
	switch {
	case m.Counter != nil:
		return m.GetCounter().GetValue(), true
	case m.Untyped != nil:
		return m.GetUntyped().GetValue(), true
	}
	return 0, false
}

// failed tells whether the labels of a request mean that it failed.
func (r *reading) failed(labels []*dto.LabelPair) bool {
	return slices.ContainsFunc(r.target.Errors, func(rule string) bool {
		name, pattern, _ := strings.Cut(rule, "=")
		return slices.ContainsFunc(labels, func(l *dto.LabelPair) bool {
			ok, err := path.Match(pattern, l.GetValue())
			return l.GetName() == name && ok && err == nil
		})
	})
}

// histogram adds up the buckets of all series of a histogram, on the bounds that
// all of them have: bucket by bucket, which loses nothing.
func (r *reading) histogram(name string, family *dto.MetricFamily) {
	var total map[float64]float64
	for _, m := range family.GetMetric() {
		if m.Histogram == nil {
			continue
		}
		grown := r.buckets(keyOf(name, m), m.GetHistogram())
		if total == nil {
			total = grown
			continue
		}
		for bound := range total {
			if more, ok := grown[bound]; ok {
				total[bound] += more
			} else {
				delete(total, bound)
			}
		}
	}
	for bound, n := range total {
		r.sums[r.prefix+jobs.NameFrom(name)+".le_"+boundName(bound)] = n
	}
}

// buckets returns how much each bucket of a histogram grew, by its upper bound.
// When one of them is smaller than before, all began anew.
func (r *reading) buckets(key string, h *dto.Histogram) map[float64]float64 {
	counts := map[float64]float64{math.Inf(1): float64(h.GetSampleCount())}
	for _, b := range h.GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			counts[b.GetUpperBound()] = float64(b.GetCumulativeCount())
		}
	}
	anew := false
	for bound, n := range counts {
		anew = anew || n < r.before[key+"|"+boundName(bound)]
	}
	out := map[float64]float64{}
	for bound, n := range counts {
		at := key + "|" + boundName(bound)
		r.now[at] = n
		out[bound] = n
		if !anew {
			out[bound] -= r.before[at]
		}
	}
	return out
}

// boundName writes a bound as series end in it.
func boundName(bound float64) string {
	if math.IsInf(bound, 1) {
		return "inf"
	}
	return strconv.FormatFloat(bound, 'f', -1, 64)
}

// keep records a metric with each combination of its labels.
func (r *reading) keep(name string, family *dto.MetricFamily) {
	for _, m := range family.GetMetric() {
		labels := labelText(m.GetLabel())
		series := jobs.NameFrom(r.prefix + name + labels)
		switch {
		case m.Gauge != nil, m.Untyped != nil:
			value := m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			if !math.IsNaN(value) && !math.IsInf(value, 0) && r.room(series) {
				r.values = append(r.values, runner.Sample{Series: series, At: r.at, Value: value})
			}
		case m.Counter != nil:
			if slices.Contains(r.target.Counters, name) && labels == "" {
				continue // it is recorded already
			}
			r.sums[series] += r.grown("keep|"+keyOf(name, m), m.GetCounter().GetValue())
		case m.Histogram != nil:
			for bound, n := range r.buckets("keep|"+keyOf(name, m), m.GetHistogram()) {
				r.sums[series+".le_"+boundName(bound)] += n
			}
		}
	}
}

// labelText is what labels add to a name: ".code_500.method_get", in the order
// of their names.
func labelText(labels []*dto.LabelPair) string {
	var parts []string
	for _, l := range labels {
		if l.GetValue() != "" {
			parts = append(parts, "."+l.GetName()+"_"+l.GetValue())
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "")
}

// keyOf identifies a metric with its labels.
func keyOf(name string, m *dto.Metric) string {
	var parts []string
	for _, l := range m.GetLabel() {
		parts = append(parts, strconv.Quote(l.GetName())+"="+strconv.Quote(l.GetValue()))
	}
	slices.Sort(parts)
	return name + "{" + strings.Join(parts, ",") + "}"
}

// room tells whether a series is recorded, or may be.
func (t *tally) room(series string) bool {
	if t.series[series] {
		return true
	}
	if len(t.series) >= MostSeries || !jobs.ValidName(series) {
		if len(t.refused) < MostSeries {
			t.refused[series] = true
		}
		return false
	}
	t.series[series] = true
	return true
}

// refusals is for how many series there was no room so far, at most MostSeries,
// and whether nobody asked before.
func (t *tally) refusals() (n int, first bool) {
	first = len(t.refused) > 0 && !t.told
	t.told = t.told || first
	return len(t.refused), first
}

// spread divides what was counted since the reading before among the minutes in
// between, so that each gets a whole number of it when it is one, and what is
// more in total is not less in any minute but for one.
func (t *tally) spread(series string, sum float64, at time.Time) {
	if !t.room(series) {
		return
	}
	if t.minutes[series] == nil {
		t.minutes[series] = map[time.Time]float64{}
	}
	whole := at.Sub(t.at)
	done := 0.0
	for minute := t.at.Truncate(time.Minute); minute.Before(at); minute = minute.Add(time.Minute) {
		until := minute.Add(time.Minute)
		share := sum
		if until.Before(at) {
			share = math.Round(sum * float64(until.Sub(t.at)) / float64(whole))
		}
		t.minutes[series][minute] += share - done
		done = share
	}
}

// settled returns the minutes that are over, and samples that stand for
// themselves, and forgets them.
func (t *tally) settled(now time.Time) []runner.Sample {
	samples := t.values
	t.values = nil
	over := now.Truncate(time.Minute)
	for series, minutes := range t.minutes {
		for minute, sum := range minutes {
			if minute.Before(over) {
				samples = append(samples, runner.Sample{Series: series, At: minute, Value: sum})
				delete(minutes, minute)
			}
		}
	}
	return samples
}
