package reports_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/runner"
)

// histogramOf counts values by upper bounds, as an application does.
func histogramOf(values []float64, bounds ...float64) reports.Histogram {
	h := reports.Histogram{Bounds: append(slices.Clone(bounds), math.Inf(1))}
	for _, b := range h.Bounds {
		n := 0.0
		for _, v := range values {
			if v <= b {
				n++
			}
		}
		h.Counts = append(h.Counts, n)
	}
	return h
}

// What is merged is what one histogram of all observations would be, on the
// bounds that all have.
func TestMerge_IsTheHistogramOfAll(t *testing.T) {
	t.Parallel()
	bounds := []float64{0.01, 0.05, 0.1, 0.2, 0.5, 1}
	rapid.Check(t, func(rt *rapid.T) {
		var all []float64
		var list []reports.Histogram
		common := slices.Clone(bounds)
		for range rapid.IntRange(1, 5).Draw(rt, "processes") {
			values := rapid.SliceOf(rapid.Float64Range(0, 2)).Draw(rt, "values")
			own := slices.DeleteFunc(slices.Clone(bounds), func(float64) bool { return rapid.IntRange(0, 5).Draw(rt, "left out") == 0 })
			common = slices.DeleteFunc(common, func(b float64) bool { return !slices.Contains(own, b) })
			all = append(all, values...)
			list = append(list, histogramOf(values, own...))
		}
		want, got := histogramOf(all, common...), reports.Merge(list...)
		if !slices.Equal(got.Bounds, want.Bounds) || !slices.Equal(got.Counts, want.Counts) {
			rt.Fatalf("merged %v, want %v", got, want)
		}
	})
}

// The 95th percentile of scraped buckets lies within the bounds that are told,
// wherever the observations are, and the verdict is never wrong: what is met is
// met by all observations, and what is missed is missed by them.
func TestMeasure_ResponseTimeAgainstAllObservations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := reports.Guide()
		p.Window, p.Response.Histogram = time.Hour, "scrape.api.seconds"
		bounds := []float64{0.05, 0.1, 0.25, 0.5}
		exact := rapid.Bool().Draw(rt, "with a bucket at the target")
		if exact {
			bounds = []float64{0.05, 0.1, 0.2, 0.25, 0.5}
		}
		s := newShelf()
		var all []float64
		for minute := range rapid.IntRange(1, 30).Draw(rt, "minutes") {
			values := rapid.SliceOfN(rapid.Float64Range(0, 0.6), 0, 40).Draw(rt, "values")
			all = append(all, values...)
			h := histogramOf(values, bounds...)
			for i, b := range h.Bounds {
				name := "inf"
				if !math.IsInf(b, 1) {
					name = fmt.Sprint(b)
				}
				s.observe("scrape.api.seconds.le_"+name, noon.Add(-time.Duration(30-minute)*time.Minute), 0, h.Counts[i])
			}
		}
		list, err := reports.Measure(t.Context(), s.source(), p, noon, reports.ResponseTime)
		if err != nil {
			rt.Fatal(err)
		}
		f := list[0]
		if len(all) < 20 {
			if f.Verdict != reports.Insufficient {
				rt.Fatalf("%d observations are %s", len(all), f.Verdict)
			}
			return
		}
		slices.Sort(all)
		true95 := all[int(math.Ceil(0.95*float64(len(all))-1e-9))-1]
		if true95 <= f.Low && f.Low > 0 || true95 > f.High {
			rt.Fatalf("p95 is %v, told %v to %v", true95, f.Low, f.High)
		}
		switch f.Verdict {
		case reports.Met:
			if true95 > 0.2 {
				rt.Fatalf("met with %v", true95)
			}
		case reports.Missed:
			if true95 <= 0.2 {
				rt.Fatalf("missed with %v", true95)
			}
		default:
			if exact || true95 <= 0.1 || true95 > 0.25 {
				rt.Fatalf("%s with %v, exact %v", f.Verdict, true95, exact)
			}
		}
		if f.N != int64(len(all)) {
			rt.Fatalf("n is %d of %d", f.N, len(all))
		}
	})
}

func TestMeasure_ResponseTimeByHand(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		buckets map[string]float64
		verdict reports.Verdict
		text    string
	}{
		"95 of 100 in time":  {map[string]float64{"0.1": 50, "0.2": 95, "0.5": 99, "inf": 100}, reports.Met, "100ms to 200ms"},
		"94 of 100 in time":  {map[string]float64{"0.1": 50, "0.2": 94, "0.5": 99, "inf": 100}, reports.Missed, "200ms to 500ms"},
		"no bucket there":    {map[string]float64{"0.1": 50, "0.25": 99, "inf": 100}, reports.Insufficient, "100ms to 250ms"},
		"no bucket, quick":   {map[string]float64{"0.1": 99, "0.25": 99, "inf": 100}, reports.Met, "0s to 100ms"},
		"no bucket, slow":    {map[string]float64{"0.1": 50, "0.25": 60, "inf": 100}, reports.Missed, "over 250ms"},
		"19 requests":        {map[string]float64{"0.2": 19, "inf": 19}, reports.Insufficient, "-"},
		"no last bucket":     {map[string]float64{"0.2": 100}, reports.NoSource, "-"},
		"somebody's series":  {map[string]float64{"0.2": 100, "inf": 100, "fast": 3}, reports.Met, "0s to 200ms"},
		"a bucket came late": {map[string]float64{"0.1": 90, "0.5": 100, "inf": 100, "late": 0}, reports.Insufficient, "100ms to 500ms"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := reports.Guide()
			p.Window, p.Response.Histogram = time.Hour, "scrape.api.h"
			s := newShelf()
			for bound, n := range test.buckets {
				if bound == "late" { // it has seen half of the minutes
					s.observe("scrape.api.h.le_0.2", noon.Add(-10*time.Minute), 0, 48)
					continue
				}
				s.observe("scrape.api.h.le_"+bound, noon.Add(-20*time.Minute), 10*time.Minute, n/2, n-n/2)
			}
			if f := s.measure(t, p, reports.ResponseTime); f.Verdict != test.verdict || f.Text != test.text {
				t.Errorf("%s, %s (%s); want %s, %s", f.Text, f.Verdict, f.Why, test.text, test.verdict)
			}
		})
	}
}

func TestMeasure_ProbeLatency(t *testing.T) {
	t.Parallel()
	p := watched("api")
	p.Response.Checks = []string{"api"}
	s := newShelf()
	for i := range 100 {
		v := 0.05
		if i >= 96 {
			v = 3
		}
		s.observe("check.api.seconds", noon.Add(-time.Duration(100-i)*30*time.Second), 0, v)
	}
	f := s.measure(t, p, reports.ResponseTime)
	if f.Verdict != reports.Met || f.Text != "probe p95 50ms" || f.Low != f.High || f.N != 100 {
		t.Errorf("%s, %s of %d", f.Text, f.Verdict, f.N)
	}
	// Of old answers the mean alone is on record, and one of ten may be slow.
	for i, one := range s.samples["check.api.seconds"] {
		s.samples["check.api.seconds"][i] = runner.Stretch{At: one.At, Length: time.Second, Count: 10, Sum: 0.5, Low: 0.01, High: 0.4}
	}
	if f := s.measure(t, p, reports.ResponseTime); f.Verdict != reports.Insufficient || f.Low != 0.01 || f.High != 0.4 {
		t.Errorf("%s (%v to %v), %s", f.Text, f.Low, f.High, f.Verdict)
	}
}

func TestMeasure_ScriptLatency(t *testing.T) {
	t.Parallel()
	p := reports.Guide()
	p.Model.Job, p.Model.Value, p.Model.StaleAfter = reports.JobName{Workflow: "daily", Job: "model"}, "latency_p95_seconds", 2*day
	s := newShelf()
	s.job("daily", "model", noon.Add(-day), resultOf("latency_p95_seconds", 0.08))
	if f := s.measure(t, p, reports.ModelLatency); f.Verdict != reports.Met || f.Text != "script p95 80ms" {
		t.Errorf("%s, %s", f.Text, f.Verdict)
	}
}

func TestMeasure_ErrorRate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		requests, errors float64
		verdict          reports.Verdict
	}{
		"none of 3000 proves it":      {3000, 0, reports.Met},
		"none of 2999 does not":       {2999, 0, reports.Insufficient},
		"2 of 3000":                   {3000, 2, reports.Met},
		"3 of 3000 are the target":    {3000, 3, reports.Missed},
		"1 of 10 cannot be chance":    {10, 1, reports.Missed},
		"1 of 900 may be":             {900, 1, reports.Insufficient},
		"no request":                  {0, 0, reports.Insufficient},
		"all fail":                    {50, 50, reports.Missed},
		"a million with one in 10000": {1e6, 100, reports.Met},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := reports.Guide()
			p.Window, p.Errors.All, p.Errors.Bad = time.Hour, "all", "bad"
			s := newShelf()
			s.observe("all", noon.Add(-time.Hour), time.Minute, 77, test.requests) // the first minute has no errors on record
			s.observe("bad", noon.Add(-59*time.Minute), time.Minute, test.errors)
			f := s.measure(t, p, reports.ErrorRate)
			if f.Verdict != test.verdict || f.N != int64(test.requests) {
				t.Errorf("%s of %d, %s (%s); want %s", f.Text, f.N, f.Verdict, f.Why, test.verdict)
			}
		})
	}
}

func TestMeasure_ErrorRateOfProbes(t *testing.T) {
	t.Parallel()
	p := watched("api")
	p.Errors.Checks = []string{"api"}
	s := newShelf()
	s.observe("check.api.up", noon.Add(-30*time.Minute), 30*time.Second, 1, 1, 0, 1)
	if f := s.measure(t, p, reports.ErrorRate); f.Text != "probe failures 25 %" || f.Verdict != reports.Missed || !has(f, "source", "probes, not requests of users") {
		t.Errorf("%s, %s, %v", f.Text, f.Verdict, f.More)
	}
}

func TestMeasure_Throughput(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		minutes  []float64
		capacity float64
		verdict  reports.Verdict
		text     string
	}{
		"much demand":            {[]float64{900, 1200, 1100}, 0, reports.Met, "1100/min (peak 1200/min)"},
		"a busy minute shows it": {[]float64{10, 1200, 20}, 0, reports.Met, "20/min (peak 1200/min)"},
		"little demand":          {[]float64{10, 30, 20}, 0, reports.Insufficient, "20/min (peak 30/min)"},
		"a test of load":         {[]float64{10, 30, 20}, 1500, reports.Met, "capacity 1500/min"},
		"a test of load, missed": {[]float64{10, 30, 20}, 800, reports.Missed, "capacity 800/min"},
		"nothing":                {nil, 0, reports.NoSource, "-"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := reports.Guide()
			p.Window, p.Demand.All, p.Demand.Capacity = time.Hour, "all", "capacity"
			s := newShelf()
			s.observe("all", noon.Add(-time.Hour), time.Minute, test.minutes...)
			if test.capacity > 0 {
				s.observe("capacity", noon.Add(-time.Hour), time.Minute, 1, test.capacity)
			}
			if f := s.measure(t, p, reports.Throughput); f.Verdict != test.verdict || f.Text != test.text {
				t.Errorf("%s, %s; want %s, %s", f.Text, f.Verdict, test.text, test.verdict)
			}
		})
	}
}

func TestUnit_Format(t *testing.T) {
	t.Parallel()
	tests := []struct {
		unit reports.Unit
		v    float64
		want string
	}{
		{reports.Share, 0.9994, "99.94 %"},
		{reports.Share, 1, "100 %"},
		{reports.Share, 0, "0 %"},
		{reports.Share, 0.999999999, "99.9999 %"}, // not all of it
		{reports.Share, 0.0004, "0.04 %"},
		{reports.Share, 0.8333, "83.3 %"},
		{reports.Seconds, 0.2, "200ms"},
		{reports.Seconds, 0.0854, "85.4ms"},
		{reports.Seconds, 690, "11m30s"},
		{reports.Seconds, 900, "15m"},
		{reports.Seconds, 86400, "24h"},
		{reports.Seconds, 30 * 86400, "30d"},
		{reports.PerMinute, 1240, "1240/min"},
		{reports.PerMinute, math.NaN(), "-"},
	}
	for _, test := range tests {
		if got := test.unit.Format(test.v); got != test.want {
			t.Errorf("%v in %s is %q, want %q", test.v, test.unit, got, test.want)
		}
	}
}
