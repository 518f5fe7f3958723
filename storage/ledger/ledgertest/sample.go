package ledgertest

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

func (s *site) observe(samples ...runner.Sample) {
	s.t.Helper()
	if err := s.Observe(s.ctx, samples...); err != nil {
		s.t.Fatalf("Observe: %v", err)
	}
}

func (s *site) samples(f runner.SampleFilter) []runner.Stretch {
	s.t.Helper()
	list, err := s.Samples(s.ctx, f)
	if err != nil {
		s.t.Fatalf("Samples(%+v): %v", f, err)
	}
	return list
}

func single(at time.Time, value float64) runner.Stretch {
	return runner.Stretch{At: at, Count: 1, Sum: value, Low: value, High: value}
}

func testSamples(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	noon := Midnight().Add(12 * time.Hour)
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

	same(t, "the samples of nothing", []runner.Stretch(nil), s.samples(runner.SampleFilter{Series: "accuracy"}))
	s.observe(
		runner.Sample{Series: "accuracy", At: at(2), Value: 0.93},
		runner.Sample{Series: "accuracy", At: at(1), Value: 0.91},
		runner.Sample{Series: "accuracy.fraud", At: at(1), Value: -1},
		runner.Sample{Series: "backlog", At: at(1), Value: 7},
	)
	s.observe(runner.Sample{Series: "accuracy", At: at(3), Value: 0.95})
	s.observe(runner.Sample{Series: "accuracy", At: at(0), Value: 0.90}) // late
	s.observe(runner.Sample{Series: "accuracy", At: at(3), Value: 0.96}) // again
	s.observe()

	same(t, "all of one series", []runner.Stretch{single(at(0), 0.90), single(at(1), 0.91), single(at(2), 0.93), single(at(3), 0.96)},
		s.samples(runner.SampleFilter{Series: "accuracy"}))
	same(t, "a range, its end left out", []runner.Stretch{single(at(1), 0.91), single(at(2), 0.93)},
		s.samples(runner.SampleFilter{Series: "accuracy", Since: at(1), Until: at(3)}))
	same(t, "the latest two", []runner.Stretch{single(at(2), 0.93), single(at(3), 0.96)},
		s.samples(runner.SampleFilter{Series: "accuracy", Limit: 2}))

	series := func(prefix string) []runner.Series {
		list, err := s.Series(s.ctx, prefix)
		if err != nil {
			t.Fatalf("Series(%q): %v", prefix, err)
		}
		return list
	}
	fraud := runner.Series{Name: "accuracy.fraud", First: at(1), Last: at(1), Value: -1}
	accuracy := runner.Series{Name: "accuracy", First: at(0), Last: at(3), Value: 0.96}
	same(t, "series with a prefix", []runner.Series{accuracy, fraud}, series("acc"))
	same(t, "series with a longer one", []runner.Series{fraud}, series("accuracy."))
	same(t, "all series", []runner.Series{accuracy, fraud, {Name: "backlog", First: at(1), Last: at(1), Value: 7}}, series(""))
	same(t, "no series", []runner.Series(nil), series("x\x00"))

	before := time.Now()
	s.observe(runner.Sample{Series: "now", Value: 1})
	if got := series("now")[0].Last; got.Before(before.Truncate(time.Microsecond)) || got.After(time.Now()) {
		t.Errorf("a sample without a time is from %s", got)
	}
}

func testSamplesRefused(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	good := runner.Sample{Series: "good", At: Midnight(), Value: 1}
	for what, bad := range map[string]runner.Sample{
		"no name": {Value: 1}, "a bad name": {Series: "a b", Value: 1},
		"not a number": {Series: "x", Value: math.NaN()}, "infinite": {Series: "x", Value: math.Inf(-1)},
	} {
		if err := s.Observe(s.ctx, good, bad); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	same(t, "samples beside refused ones", []runner.Stretch(nil), s.samples(runner.SampleFilter{Series: "good"}))
	if _, err := s.Samples(s.ctx, runner.SampleFilter{Series: "good", Limit: -1}); err == nil {
		t.Error("a negative limit is taken")
	}
}

// testSamplesGrowOld folds samples of random times, in several steps as the
// time goes by, and looks whether every one still counts exactly once.
func testSamplesGrowOld(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	random := rand.New(rand.NewPCG(1, 2))
	start := Midnight()
	grains := []runner.Grain{{After: 24 * time.Hour, Length: 5 * time.Minute}, {After: 72 * time.Hour, Length: time.Hour}}
	byHour := map[time.Time]runner.Stretch{}
	var all []runner.Sample
	for range 5000 { // more than one transaction folds
		one := runner.Sample{Series: "cpu_percent", At: start.Add(time.Duration(random.Int64N(int64(6 * time.Hour)))).Truncate(time.Microsecond), Value: float64(random.IntN(1000))}
		all = append(all, one)
		hour := one.At.Truncate(time.Hour)
		h, known := byHour[hour]
		if !known {
			h = runner.Stretch{At: hour, Length: time.Hour, Low: one.Value, High: one.Value}
		}
		h.Count, h.Sum, h.Low, h.High = h.Count+1, h.Sum+one.Value, min(h.Low, one.Value), max(h.High, one.Value)
		byHour[hour] = h
	}
	s.observe(all...)
	s.observe(runner.Sample{Series: "cpu_percent", At: start.Add(200 * time.Hour), Value: 5})
	prune := func(after, rest time.Duration, dry bool) runner.Pruned {
		p, err := s.PruneRuns(s.ctx, runner.Retention{Now: start.Add(after), Rest: rest, Grains: grains, DryRun: dry})
		if err != nil {
			t.Fatalf("PruneRuns after %s: %v", after, err)
		}
		return p
	}
	// Half of them are old, and not at the edge of an hour; then all; then all
	// for the longer stretches.
	for _, after := range []time.Duration{27*time.Hour + 7*time.Minute, 40 * time.Hour, 75*time.Hour + 7*time.Minute, 200 * time.Hour} {
		if p := prune(after, 0, true); p.Folded != 0 {
			t.Errorf("a dry run folded %d", p.Folded)
		}
		if p := prune(after, 0, false); p.Folded == 0 {
			t.Errorf("nothing is folded after %s", after)
		}
		got := map[time.Time]runner.Stretch{}
		for _, one := range s.samples(runner.SampleFilter{Series: "cpu_percent", Until: start.Add(100 * time.Hour), Limit: 10_000}) {
			if one.Length == 0 && one.At.Before(start.Add(after-24*time.Hour).Truncate(5*time.Minute)) {
				t.Errorf("after %s the sample of %s is still single", after, one.At)
			}
			hour := one.At.Truncate(time.Hour)
			h, known := got[hour]
			if !known {
				h = runner.Stretch{At: hour, Length: time.Hour, Low: one.Low, High: one.High}
			}
			h.Count, h.Sum, h.Low, h.High = h.Count+one.Count, h.Sum+one.Sum, min(h.Low, one.Low), max(h.High, one.High)
			got[hour] = h
		}
		same(t, "the samples by hour after "+after.String(), byHour, got)
	}
	list := s.samples(runner.SampleFilter{Series: "cpu_percent"})
	if len(list) != 7 || list[0] != byHour[start] || list[6].Length != 0 {
		t.Errorf("in the end there are %+v", list)
	}
	if p := prune(204*time.Hour, 200*time.Hour, true); p.Samples != 4 {
		t.Errorf("a dry run would delete %d stretches, want 4", p.Samples)
	}
	if p := prune(204*time.Hour, 200*time.Hour, false); p.Samples != 4 {
		t.Errorf("%d stretches are deleted, want 4", p.Samples)
	}
	if p := prune(500*time.Hour, 200*time.Hour, false); p.Samples != 3 {
		t.Errorf("%d stretches are deleted, want 3", p.Samples)
	}
	if left, err := s.Series(s.ctx, ""); err != nil || len(left) != 0 {
		t.Errorf("series without samples stay: %+v, %v", left, err)
	}
}
