package scrape_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/health/scrape"
	"github.com/ghosteam/upkeep/runner"
)

var begin = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func target() scrape.Target {
	return scrape.Target{
		Name: "api", Counters: []string{"api_requests_total"}, Histograms: []string{"api_request_duration_seconds"},
		Errors: []string{"status=error", "code=5??"}, Keep: []string{"queue_*", "predictions_total"},
	}
}

// recorded adds up what was recorded of each series.
func recorded(list []runner.Sample) map[string]float64 {
	sums := map[string]float64{}
	for _, s := range list {
		sums[strings.TrimPrefix(s.Series, "scrape.api.")] += s.Value
	}
	return sums
}

func TestTally(t *testing.T) {
	t.Parallel()
	tally := scrape.NewTally(target())
	texts := []string{
		`# TYPE api_requests_total counter
api_requests_total{endpoint="/a",status="success"} 100
api_requests_total{endpoint="/a",status="error"} 7
api_requests_total{endpoint="/b",status="success",code="404"} 50
# TYPE api_request_duration_seconds histogram
api_request_duration_seconds_bucket{endpoint="/a",le="0.1"} 80
api_request_duration_seconds_bucket{endpoint="/a",le="0.2"} 90
api_request_duration_seconds_bucket{endpoint="/a",le="+Inf"} 100
api_request_duration_seconds_sum{endpoint="/a"} 9
api_request_duration_seconds_count{endpoint="/a"} 100
# TYPE predictions_total counter
predictions_total{model_name="fraud"} 3
# TYPE queue_length gauge
queue_length 4
# TYPE secret_thing gauge
secret_thing 1
`,
		// /a started anew, /b goes on, an error of /b and a histogram of it are new.
		`# TYPE api_requests_total counter
api_requests_total{endpoint="/a",status="success"} 20
api_requests_total{endpoint="/a",status="error"} 0
api_requests_total{endpoint="/b",status="success",code="404"} 55
api_requests_total{endpoint="/b",code="503"} 2
# TYPE api_request_duration_seconds histogram
api_request_duration_seconds_bucket{endpoint="/a",le="0.1"} 15
api_request_duration_seconds_bucket{endpoint="/a",le="0.2"} 19
api_request_duration_seconds_bucket{endpoint="/a",le="+Inf"} 20
api_request_duration_seconds_sum{endpoint="/a"} 2
api_request_duration_seconds_count{endpoint="/a"} 20
api_request_duration_seconds_bucket{endpoint="/b",le="0.2"} 1
api_request_duration_seconds_bucket{endpoint="/b",le="0.5"} 2
api_request_duration_seconds_bucket{endpoint="/b",le="+Inf"} 4
api_request_duration_seconds_sum{endpoint="/b"} 3
api_request_duration_seconds_count{endpoint="/b"} 4
# TYPE predictions_total counter
predictions_total{model_name="fraud"} 5
# TYPE queue_length gauge
queue_length 6
`,
	}
	for i, text := range texts {
		if err := tally.Take(text, begin.Add(time.Duration(i)*30*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if early := recorded(tally.Settled(begin.Add(59 * time.Second))); len(early) != 1 || early["queue_length"] != 10 {
		t.Errorf("before the minute was over: %v", early)
	}
	want := map[string]float64{
		"api_requests_total": 20 + 0 + 5 + 2, "api_requests_total.errors": 0 + 2,
		// Only the bounds that both have: /a began anew with all buckets.
		"api_request_duration_seconds.le_0.2": 19 + 1, "api_request_duration_seconds.le_inf": 20 + 4,
		"predictions_total.model_name_fraud": 2,
	}
	if diff := cmp.Diff(want, recorded(tally.Settled(begin.Add(time.Minute)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again := tally.Settled(begin.Add(time.Hour)); len(again) != 0 {
		t.Errorf("recorded twice: %v", again)
	}
}

func TestTally_Gaps(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return fmt.Sprintf("api_requests_total %d\n", n) } // without a type
	tally := scrape.NewTally(target())
	feed := func(n int, at time.Duration) {
		t.Helper()
		if err := tally.Take(text(n), begin.Add(at)); err != nil {
			t.Fatal(err)
		}
	}
	feed(1000, 0)                                                     // what was before nobody knows
	feed(1300, 3*time.Minute)                                         // three minutes at once: 100 in each
	if err := tally.Take("{", begin.Add(4*time.Minute)); err == nil { // changes nothing
		t.Error("no error")
	}
	feed(1400, 5*time.Minute)  // 50 in each of two
	feed(9999, 20*time.Minute) // too long a gap: unknown
	feed(10009, 20*time.Minute+30*time.Second)
	got := map[time.Duration]float64{}
	for _, s := range tally.Settled(begin.Add(time.Hour)) {
		if s.Series == "scrape.api.api_requests_total" {
			got[s.At.Sub(begin)] = s.Value
		}
	}
	want := map[time.Duration]float64{0: 100, time.Minute: 100, 2 * time.Minute: 100, 3 * time.Minute: 50, 4 * time.Minute: 50, 20 * time.Minute: 10}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTally_HasNoRoom(t *testing.T) {
	t.Parallel()
	to := target()
	to.Keep = []string{"many"}
	tally := scrape.NewTally(to)
	var b strings.Builder
	b.WriteString("# TYPE many gauge\n")
	for i := range scrape.MostSeries + 500 {
		fmt.Fprintf(&b, "many{id=\"%d\"} 1\n", i)
	}
	b.WriteString("# TYPE api_requests_total counter\napi_requests_total 5\n")
	for i := range 3 {
		if err := tally.Take(b.String(), begin.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	names := map[string]bool{}
	for _, s := range tally.Settled(begin.Add(time.Hour)) {
		names[s.Series] = true
	}
	n, first := tally.Refusals()
	if len(names) != scrape.MostSeries || n != 502 || !first {
		t.Errorf("%d series, %d refused (first %v); want %d and 502", len(names), n, first, scrape.MostSeries)
	}
	if _, first := tally.Refusals(); first {
		t.Error("told twice")
	}
}

// A counter that starts anew now and then, read at any time: what is recorded is
// what was counted between the readings, less what was lost with a process
// between its last reading and its end.
func TestTally_AgainstTheTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		tally := scrape.NewTally(target())
		at, value, want := begin, 0, 0.0
		read := func() {
			text := fmt.Sprintf("# TYPE api_requests_total counter\napi_requests_total{code=\"200\"} %d\napi_requests_total{code=\"500\"} %d\n", value, value/2)
			if err := tally.Take(text, at); err != nil {
				rt.Fatal(err)
			}
		}
		value = rapid.IntRange(0, 1000).Draw(rt, "before")
		read()
		for range rapid.IntRange(1, 30).Draw(rt, "readings") {
			at = at.Add(time.Duration(rapid.IntRange(1, 500).Draw(rt, "wait")) * time.Second)
			more := rapid.IntRange(0, 500).Draw(rt, "more")
			if rapid.IntRange(0, 4).Draw(rt, "restart") == 0 && more < value {
				want += float64(more + more/2)
				if more/2 >= value/2 { // the halves cannot tell
					want -= float64(value / 2)
				}
				value = more
			} else {
				want += float64(more + (value+more)/2 - value/2)
				value += more
			}
			read()
		}
		list := tally.Settled(at.Add(time.Hour))
		sum := 0.0
		for _, s := range list {
			if s.Value < 0 || s.Value != math.Trunc(s.Value) {
				rt.Fatalf("%v is no number of requests", s)
			}
			if s.Series == "scrape.api.api_requests_total" {
				sum += s.Value
			}
		}
		if sum != want {
			rt.Fatalf("recorded %v, counted %v", sum, want)
		}
	})
}

func FuzzTally(f *testing.F) {
	f.Add("api_requests_total 1\n", "api_requests_total 0\n")
	f.Add("# TYPE api_request_duration_seconds histogram\napi_request_duration_seconds_bucket{le=\"0.1\"} 1\n", "# TYPE api_request_duration_seconds histogram\napi_request_duration_seconds_bucket{le=\"NaN\"} 1\n")
	f.Add("queue_length{a=\"\xff\"} NaN\n", "queue_length 1e999\n")
	f.Add("", "{")
	f.Fuzz(func(t *testing.T, first, second string) {
		tally := scrape.NewTally(target())
		_ = tally.Take(first, begin) // what is wrong leaves everything as it was
		_ = tally.Take(second, begin.Add(30*time.Second))
		for _, s := range tally.Settled(begin.Add(time.Hour)) {
			if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
				t.Errorf("%s is %v", s.Series, s.Value)
			}
		}
	})
}
