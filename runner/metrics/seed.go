package metrics

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// seedMetrics are the metrics that applications of this kind commonly have,
// besides those of requests. The zero value has none of them.
type seedMetrics struct {
	cpu, memory, disk *gauges
	accuracy          *gauges
	samples, judgedAt *gauges
	predictions       *counters
	took              *histograms
}

func newSeedMetrics(m maker) seedMetrics {
	return seedMetrics{
		cpu:         m.gauges("system_cpu_percent", "The share of the processors that is in use, in percent."),
		memory:      m.gauges("system_memory_percent", "The share of the memory that is not available, in percent."),
		disk:        m.gauges("system_disk_percent", "The share of the file system at / that is in use, in percent."),
		accuracy:    m.gauges("model_accuracy", "The share of right predictions, 0 to 1; model all stands for all of them.", "model_name", "version"),
		samples:     m.gauges("model_accuracy_samples", "How many predictions with a known outcome the accuracy rests on.", "model_name", "version"),
		judgedAt:    m.gauges("model_accuracy_timestamp_seconds", "When the accuracy was found.", "model_name", "version"),
		predictions: m.counters("predictions_total", "Predictions that upkeep was told of.", "model_name"),
		took:        m.histograms("model_prediction_duration_seconds", "How long predictions took that upkeep was told of.", latencies(), "model_name"),
	}
}

const (
	// allModels names what is not about one model.
	allModels = "all"
	// mostModels and mostVersions bound what is shown: versions come and go.
	mostModels   = 20
	mostVersions = 3
)

// labeled is how the scripts call the number of predictions with a known outcome.
const labeled = "labelled" //nolint:misspell // their word

// modelOf reads the model and its version behind the word of a value, as in
// accuracy.MODEL.VERSION.
func modelOf(name, word string) (model, version string, ok bool) {
	rest, found := strings.CutPrefix(name, word)
	if !found || rest != "" && rest[0] != '.' {
		return "", "", false
	}
	model, version, _ = strings.Cut(strings.TrimPrefix(rest, "."), ".")
	if model == "" {
		model = allModels
	}
	return model, version, true
}

// valued takes the values of a script that judges models.
func (s *Set) valued(values map[string]float64, at time.Time) {
	if s.seed.accuracy == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if model, version, ok := modelOf(name, "accuracy"); ok && s.admit(model, version) {
			set(s.seed.accuracy, values[name], model, version)
			set(s.seed.judgedAt, seconds(at), model, version)
		}
	}
	for _, word := range []string{labeled, "samples"} {
		for name, n := range values {
			model, version, ok := modelOf(name, word)
			if !ok {
				continue
			}
			if _, judged := values[strings.Replace(name, word, "accuracy", 1)]; judged && s.admit(model, version) {
				set(s.seed.samples, n, model, version)
			}
		}
	}
}

// admit makes room for a version of a model, at the cost of the one that was
// heard of longest ago; false when there are too many models.
func (s *Set) admit(model, version string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.models[model]
	if !ok && len(s.models) >= mostModels {
		s.room.refused.Inc()
		return false
	}
	known = append(slices.DeleteFunc(known, func(v string) bool { return v == version }), version)
	if len(known) > mostVersions {
		old := known[0]
		known = known[1:]
		for _, g := range []*gauges{s.seed.accuracy, s.seed.samples, s.seed.judgedAt} {
			g.forget(func(values []string) bool { return values[0] == model && values[1] == old })
		}
	}
	s.models[model] = known
	return true
}

// Sampled takes values that were measured elsewhere: accuracy.MODEL.VERSION is
// a share, predictions.MODEL how many there were since the sample before, and
// prediction_seconds.MODEL how long one took. Others are nothing to it.
func (s *Set) Sampled(samples ...runner.Sample) {
	if s.seed.accuracy == nil {
		return
	}
	for _, sample := range samples {
		at := sample.At
		if at.IsZero() {
			at = s.now()
		}
		if _, _, ok := modelOf(sample.Series, "accuracy"); ok {
			s.valued(map[string]float64{sample.Series: sample.Value}, at)
		}
		if model, _, ok := modelOf(sample.Series, "predictions"); ok && s.admitModel(model) {
			add(s.seed.predictions, sample.Value, model)
		}
		if model, _, ok := modelOf(sample.Series, "prediction_seconds"); ok && sample.Value >= 0 && s.admitModel(model) {
			observe(s.seed.took, sample.Value, model)
		}
	}
}

// admitModel tells whether there is room for a model.
func (s *Set) admitModel(model string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.models[model]; ok {
		return true
	}
	if len(s.models) >= mostModels {
		s.room.refused.Inc()
		return false
	}
	s.models[model] = nil
	return true
}
