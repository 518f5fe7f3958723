package runner

import (
	"context"
	"time"
)

// Sample is one value that was measured, or brought from elsewhere.
type Sample struct {
	// Series is the name of what is measured (jobs.ValidSeries), with the unit at
	// the end or before a dot and what it is about: latency_seconds.checkout.
	Series string
	// At is when it was measured, to the microsecond; the zero time means now.
	At time.Time
	// Value is finite.
	Value float64
}

// Stretch is what is on record of a series for a stretch of time: one sample,
// or several that were folded into one when they had become old.
type Stretch struct {
	// At is the beginning of the stretch, or the instant of a single sample.
	At time.Time
	// Length is that of the stretch; 0 for a single sample.
	Length time.Duration
	// Count is how many samples it stands for, Sum their sum, Low and High the
	// smallest and the largest of them.
	Count          int64
	Sum, Low, High float64
}

// Mean is the arithmetic mean of the samples that s stands for.
func (s Stretch) Mean() float64 {
	if s.Count == 0 {
		return 0
	}
	return s.Sum / float64(s.Count)
}

// Series is a series on record.
type Series struct {
	Name string
	// First is the instant of the earliest sample that was ever recorded, Last
	// and Value are those of the latest.
	First, Last time.Time
	Value       float64
}

// SampleFilter selects stretches of one series.
type SampleFilter struct {
	Series string
	// Since and Until bound At: Since <= At < Until. Zero means no bound.
	Since, Until time.Time
	// Limit is the most to return, the latest ones; 0 means 1000.
	Limit int
}

// Grain says how coarse the past is kept: samples older than After are folded
// into stretches of Length, which begin at multiples of it since 1970.
type Grain struct{ After, Length time.Duration }

// SampleReader reads samples. Its methods follow the obligations of Reader.
type SampleReader interface {
	// Series returns the series whose names begin with prefix, by name.
	Series(ctx context.Context, prefix string) ([]Series, error)
	// Samples returns what f selects in the order of time; nothing for a
	// series that is not on record.
	Samples(ctx context.Context, f SampleFilter) ([]Stretch, error)
}

// Sampler records samples. Its methods follow the obligations of Ledger.
type Sampler interface {
	// Observe records samples, all or none. A sample of a series at an instant
	// that has one takes its place, so it may be repeated. A
	// *jobs.RefusedError when there is no room for a new series: a name that
	// carries what never repeats makes one with every sample.
	Observe(ctx context.Context, samples ...Sample) error
}
