package metrics

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// room bounds how many series there are. It is safe for use by several
// goroutines.
type room struct {
	mu      sync.Mutex
	most    int
	used    int
	refused prometheus.Counter
}

// vector is one of the vectors of client_golang.
type vector[M any] interface {
	prometheus.Collector
	WithLabelValues(values ...string) M
	DeleteLabelValues(values ...string) bool
}

// family is the series of one metric. All its methods may be called from
// several goroutines.
type family[M any] struct {
	vec  vector[M]
	room *room
	// weight is how many series one combination of labels makes.
	weight int
	known  map[string][]string
}

// newFamily registers a metric. weight is how many series one combination of
// labels makes.
func newFamily[M any](r *prometheus.Registry, room *room, weight int, vec vector[M]) *family[M] {
	r.MustRegister(vec)
	return &family[M]{vec: vec, room: room, weight: weight, known: map[string][]string{}}
}

// with returns the metric with these label values; false when there is no room
// for another one, or when the receiver is nil, as that of a metric that is
// switched off.
func (f *family[M]) with(values ...string) (metric M, ok bool) {
	if f == nil {
		return metric, false
	}
	for i, v := range values {
		values[i] = strings.ToValidUTF8(v, "\uFFFD")
	}
	key := strings.Join(values, "\xff")
	f.room.mu.Lock()
	defer f.room.mu.Unlock()
	if _, known := f.known[key]; !known {
		if f.room.used+f.weight > f.room.most {
			f.room.refused.Inc()
			return metric, false
		}
		f.room.used += f.weight
		f.known[key] = values
	}
	return f.vec.WithLabelValues(values...), true
}

// forget removes the metrics whose label values gone selects.
func (f *family[M]) forget(gone func(values []string) bool) {
	if f == nil {
		return
	}
	f.room.mu.Lock()
	defer f.room.mu.Unlock()
	for key, values := range f.known {
		if gone(values) {
			f.vec.DeleteLabelValues(values...)
			f.room.used -= f.weight
			delete(f.known, key)
		}
	}
}

// The kinds of metrics that a Set has.
type (
	counters   = family[prometheus.Counter]
	gauges     = family[prometheus.Gauge]
	histograms = family[prometheus.Observer]
)

// maker registers metrics of one set.
type maker struct {
	registry *prometheus.Registry
	room     *room
}

func (m maker) counters(name, help string, labels ...string) *counters {
	return newFamily[prometheus.Counter](m.registry, m.room, 1, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
}

func (m maker) gauges(name, help string, labels ...string) *gauges {
	return newFamily[prometheus.Gauge](m.registry, m.room, 1, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))
}

// histograms registers a histogram; it makes a series for each bucket, +Inf,
// the sum and the count.
func (m maker) histograms(name, help string, buckets []float64, labels ...string) *histograms {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	return newFamily[prometheus.Observer](m.registry, m.room, len(buckets)+3, vec)
}

// add increases a counter; what is negative, or nothing, leaves it.
func add(f *counters, by float64, values ...string) {
	if by < 0 {
		return
	}
	if c, ok := f.with(values...); ok {
		c.Add(by)
	}
}

func set(f *gauges, to float64, values ...string) {
	if g, ok := f.with(values...); ok {
		g.Set(to)
	}
}

func observe(f *histograms, value float64, values ...string) {
	if h, ok := f.with(values...); ok {
		h.Observe(value)
	}
}
