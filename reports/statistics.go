package reports

import (
	"math"
	"slices"
	"sort"

	"github.com/ghosteam/upkeep/runner"
)

// mean is the arithmetic mean; 0 of none.
func mean(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	return sum / float64(len(list))
}

// quantile is the value at or below which at least the share q of the list lies
// (nearest rank); 0 of none.
func quantile(list []float64, q float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	rank := int(math.Ceil(q*float64(len(sorted)) - 1e-9))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median is the middle value, or the mean of the two in the middle.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// wilson is the 95 % confidence interval of a share of which hits of n were
// seen: E. B. Wilson, Probable inference, the law of succession, and statistical
// inference (1927), with z = 1.96.
func wilson(hits, n float64) (low, high float64) {
	if n <= 0 {
		return 0, 1
	}
	const z = 1.959963984540054
	p := min(max(hits/n, 0), 1)
	center := p + z*z/(2*n)
	spread := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	scale := 1 + z*z/n
	return max(0, (center-spread)/scale), min(1, (center+spread)/scale)
}

// A Histogram counts observations by upper bounds, as Prometheus does: Counts
// are cumulative, Bounds ascend and end with +Inf.
type Histogram struct {
	Bounds []float64
	Counts []float64
}

// Merge adds histograms up, on the bounds that all of them have. Quantiles are
// never averaged: those of the sum are the quantiles of all observations.
func Merge(list ...Histogram) Histogram {
	var out Histogram
	for i, h := range list {
		if i == 0 {
			out.Bounds, out.Counts = slices.Clone(h.Bounds), slices.Clone(h.Counts)
			continue
		}
		var bounds, counts []float64
		for k, bound := range out.Bounds {
			if at := slices.Index(h.Bounds, bound); at >= 0 {
				bounds, counts = append(bounds, bound), append(counts, out.Counts[k]+h.Counts[at])
			}
		}
		out.Bounds, out.Counts = bounds, counts
	}
	return out
}

// Total is how many observations there are.
func (h Histogram) Total() float64 {
	if len(h.Counts) == 0 {
		return 0
	}
	return h.Counts[len(h.Counts)-1]
}

// between bounds a quantile, which is all that a histogram tells: the value at or below
// which the share q of the observations lies is above low, the bound of the
// bucket before, and at most high. low is 0 in the lowest bucket; high is +Inf
// in the highest. ok is false when there are no observations.
func (h Histogram) between(q float64) (low, high float64, ok bool) {
	total := h.Total()
	if total <= 0 {
		return 0, 0, false
	}
	rank := q * total
	i := sort.Search(len(h.Counts), func(i int) bool { return h.Counts[i] >= rank-1e-9*total })
	if i > 0 {
		low = h.Bounds[i-1]
	}
	return low, h.Bounds[i], true
}

// atMost is the exact share of observations at or below a bound, if it is one of
// the histogram's.
func (h Histogram) atMost(bound float64) (share float64, exact bool) {
	for i, b := range h.Bounds {
		if math.Abs(b-bound) <= 1e-9*math.Abs(bound) && h.Total() > 0 {
			return h.Counts[i] / h.Total(), true
		}
	}
	return 0, false
}

// estimate is a quantile by a straight line within its bucket, as
// histogram_quantile of Prometheus does it.
func (h Histogram) estimate(q float64) float64 {
	low, high, ok := h.between(q)
	if !ok || math.IsInf(high, 1) {
		return low
	}
	at := slices.Index(h.Bounds, high)
	below := 0.0
	if at > 0 {
		below = h.Counts[at-1]
	}
	inside := h.Counts[at] - below
	if inside <= 0 {
		return high
	}
	return low + (high-low)*min(1, max(0, (q*h.Total()-below)/inside))
}

// spread is a quantile of samples of which some are only known as the lowest,
// the mean and the highest of several: it lies between low and high, and is
// exact when they are equal.
func spread(list []runner.Stretch, q float64) (low, middle, high float64, n int64) {
	for _, s := range list {
		n += s.Count
	}
	by := func(of func(runner.Stretch) float64) float64 {
		sorted := slices.Clone(list)
		slices.SortFunc(sorted, func(a, b runner.Stretch) int {
			switch {
			case of(a) < of(b):
				return -1
			case of(a) > of(b):
				return 1
			}
			return 0
		})
		rank, seen := math.Ceil(q*float64(n)-1e-9), 0.0
		for _, s := range sorted {
			if seen += float64(s.Count); seen >= rank {
				return of(s)
			}
		}
		return 0
	}
	if n == 0 {
		return 0, 0, 0, 0
	}
	return by(func(s runner.Stretch) float64 { return s.Low }), by(runner.Stretch.Mean), by(func(s runner.Stretch) float64 { return s.High }), n
}
