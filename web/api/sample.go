package api

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Sample is one value that was measured.
type Sample struct {
	Series string     `json:"series" pattern:"^[a-z0-9][a-z0-9_.-]*$" maxLength:"250" doc:"the name of what is measured"`
	At     *time.Time `json:"at,omitempty" doc:"when it was measured; without it, now"`
	Value  float64    `json:"value"`
}

// SamplesRequest brings samples.
type SamplesRequest struct {
	Samples []Sample `json:"samples" minItems:"1" maxItems:"10000" nullable:"false"`
}

// NewSamplesRequest makes the JSON form of samples.
func NewSamplesRequest(samples []runner.Sample) SamplesRequest {
	return SamplesRequest{Samples: converted(samples, func(m runner.Sample) Sample {
		return Sample{Series: m.Series, At: Instant(m.At), Value: m.Value}
	})}
}

// Runner turns the request back into samples.
func (r SamplesRequest) Runner() []runner.Sample {
	return converted(r.Samples, func(m Sample) runner.Sample {
		return runner.Sample{Series: m.Series, At: moment(m.At), Value: m.Value}
	})
}

// Recorded answers what was brought to be recorded.
type Recorded struct {
	Count int `json:"count" doc:"how many are on record now"`
}

// Series is a series on record.
type Series struct {
	Name  string    `json:"name"`
	First time.Time `json:"first" doc:"the instant of the earliest sample ever recorded"`
	Last  time.Time `json:"last" doc:"the instant of the latest sample"`
	Value float64   `json:"value" doc:"the value of the latest sample"`
}

// SeriesList are series by name.
type SeriesList struct {
	Series []Series `json:"series" nullable:"false"`
}

// NewSeriesList makes the JSON form of series.
func NewSeriesList(list []runner.Series) SeriesList {
	return SeriesList{Series: converted(list, func(s runner.Series) Series { return Series(s) })}
}

// Stretch is what is on record of a series for a stretch of time.
type Stretch struct {
	At            time.Time `json:"at" doc:"the beginning, or the instant of a single sample"`
	LengthSeconds float64   `json:"length_seconds" doc:"0 for a single sample"`
	Count         int64     `json:"count" doc:"how many samples it stands for"`
	Mean          float64   `json:"mean"`
	Low           float64   `json:"low"`
	High          float64   `json:"high"`
}

// Samples are the samples of a series in the order of time; old ones are
// folded into stretches.
type Samples struct {
	Series  string    `json:"series"`
	Samples []Stretch `json:"samples" nullable:"false"`
}

// NewSamples makes the JSON form of the samples of a series.
func NewSamples(series string, list []runner.Stretch) Samples {
	return Samples{Series: series, Samples: converted(list, func(s runner.Stretch) Stretch {
		return Stretch{At: s.At, LengthSeconds: s.Length.Seconds(), Count: s.Count, Mean: s.Mean(), Low: s.Low, High: s.High}
	})}
}
