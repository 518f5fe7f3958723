package script

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
)

// folded are the quantiles that a histogram is folded into.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var folded = []float64{0.5, 0.95, 0.99}

// exposed is what a program exposes in the text form of Prometheus: in its
// result file, or else on its standard output.
func (o *outcome) exposed() (jobs.Result, error) {
	bad := func(err error) error {
		return jobs.WithHint(fmt.Errorf("the program ended well but exposes no metrics: %w", err),
			"with `result: prometheus` a program writes the Prometheus text form to its standard output or to the file named by UPKEEP_RESULT")
	}
	text, err := answer.Read(o.folder.dir)
	switch {
	case err == nil:
	case !errors.Is(err, answer.ErrNotWritten):
		return jobs.Result{}, bad(err)
	case o.cut:
		return jobs.Result{}, bad(fmt.Errorf("its output is larger than %d bytes", answer.MostBytes))
	default:
		text = []byte(o.told)
	}
	values, shared, err := parseExposition([]byte(o.env.Scrub(string(text))))
	if err != nil {
		return jobs.Result{}, bad(err)
	}
	result := jobs.Result{Summary: fmt.Sprintf("%d values", len(values)), Values: values}
	if len(shared) > 0 {
		result.Findings = append(result.Findings, jobs.Finding{
			ID: "shared-names", Severity: jobs.Warning,
			Text: jobs.OneLine(fmt.Sprintf("%d names of values stand for several metrics each and are not recorded: %s", len(shared), strings.Join(shared, ", "))),
		})
	}
	return result, nil
}

// parseExposition reads the text form of Prometheus
// (prometheus.io/docs/instrumenting/exposition_formats) and returns its finite
// samples as values, and the names that several of them would share. No sample
// at all is an error.
func parseExposition(text []byte) (values map[string]float64, shared []string, err error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	s := samples{values: map[string]float64{}, shared: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		for _, m := range families[name].GetMetric() {
			s.addMetric(name, m)
		}
	}
	for name := range s.shared {
		delete(s.values, name)
	}
	switch {
	case s.seen == 0:
		return nil, nil, errors.New("there is no sample in it")
	case len(s.values) > answer.MostEntries:
		return nil, nil, fmt.Errorf("it has %d values, more than %d", len(s.values), answer.MostEntries)
	}
	return s.values, slices.Sorted(maps.Keys(s.shared)), nil
}

// samples gathers values by name.
type samples struct {
	values map[string]float64
	shared map[string]bool
	seen   int
}

func (s *samples) addMetric(name string, m *dto.Metric) {
	labels := labelText(m.GetLabel())
	switch {
	case m.Gauge != nil:
		s.add(name+labels, m.GetGauge().GetValue())
	case m.Counter != nil:
		s.add(name+labels, m.GetCounter().GetValue())
	case m.Untyped != nil:
		s.add(name+labels, m.GetUntyped().GetValue())
	case m.Summary != nil:
		s.add(name+"_count"+labels, float64(m.GetSummary().GetSampleCount()))
		s.add(name+labels+".sum", m.GetSummary().GetSampleSum())
		for _, q := range m.GetSummary().GetQuantile() {
			s.add(name+labels+percentile(q.GetQuantile()), q.GetValue())
		}
	case m.Histogram != nil:
		s.add(name+"_count"+labels, float64(m.GetHistogram().GetSampleCount()))
		s.add(name+labels+".sum", m.GetHistogram().GetSampleSum())
		for _, q := range folded {
			s.add(name+labels+percentile(q), quantile(m.GetHistogram(), q))
		}
	}
}

// add takes a sample. One that is not finite is no measurement.
func (s *samples) add(name string, v float64) {
	name = jobs.NameFrom(name)
	s.seen++
	if name == "" || math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if has(s.values, name) {
		s.shared[name] = true
	}
	s.values[name] = v
}

// labelText is what labels add to a name: ".code_500.method_get", in the order
// of their names. An empty label is as good as none.
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

// percentile is the ending of a quantile's name: ".p99" for 0.99.
func percentile(q float64) string {
	return ".p" + strconv.FormatFloat(math.Round(q*1e6)/1e4, 'f', -1, 64)
}

// quantile estimates a quantile of a histogram as histogram_quantile of
// Prometheus does (prometheus.io/docs/prometheus/latest/querying/functions):
// linearly within the bucket that holds it, from 0 in the lowest one; in the
// highest, which has no bound, it is the bound below. It is NaN when nothing
// was counted.
func quantile(h *dto.Histogram, q float64) float64 {
	buckets := h.GetBucket()
	sort.Slice(buckets, func(i, j int) bool { return buckets[i].GetUpperBound() < buckets[j].GetUpperBound() })
	total := float64(h.GetSampleCount())
	if total == 0 || len(buckets) == 0 {
		return math.NaN()
	}
	rank, below, from := q*total, 0.0, 0.0
	for i, b := range buckets {
		upTo, bound := float64(b.GetCumulativeCount()), b.GetUpperBound()
		switch {
		case upTo < rank:
			below, from = upTo, bound
			continue
		case math.IsInf(bound, 1) && i == 0:
			return math.NaN()
		case math.IsInf(bound, 1):
			return from
		case i == 0 && bound <= 0, upTo <= below:
			return bound
		}
		return from + (bound-from)*(rank-below)/(upTo-below)
	}
	return from
}
