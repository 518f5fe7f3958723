package script_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/script"
)

// looking is a run whose values earlier runs reported as well, newest first; a
// negative number stands for a run without the value.
func looking(t *testing.T, name string, th script.Threshold, now string, before ...float64) []jobs.Finding {
	t.Helper()
	kind := script.Kind()
	given := kind.Options()
	o := jobstest.Options[script.Options](t, given)
	o.Run, o.Result = shell(write(`{"schema":1,"summary":"s","values":{`+now+`}}`)), "json"
	o.Thresholds = map[string]script.Threshold{name: th}
	deps := jobstest.NewDeps(t)
	for _, v := range before {
		p := jobs.Past{}
		if v >= 0 {
			p.Result.Values = map[string]float64{"v": v}
		}
		deps.AddPast("", "", p)
	}
	job, err := kind.Build(given, deps)
	if err != nil {
		t.Fatal(err)
	}
	r, err := job.Run(t.Context(), environment(t, o, &jobstest.Buffer{}))
	if err != nil {
		t.Fatal(err)
	}
	return r.Findings
}

func TestRun_Trend(t *testing.T) {
	t.Parallel()
	up := script.Trend{Worse: "up", Warn: 20, Crit: 100}
	with := func(change func(*script.Trend)) script.Threshold {
		th := script.Threshold{Trend: up}
		change(&th.Trend)
		return th
	}
	tests := []struct {
		name   string
		th     script.Threshold
		now    string
		before []float64
		want   jobs.Severity
	}{
		{"as ever", script.Threshold{Trend: up}, "12", []float64{10, 10, 10}, ""},
		{"a little more than the limit", script.Threshold{Trend: up}, "12.1", []float64{10, 10, 10}, jobs.Warning},
		{"double", script.Threshold{Trend: up}, "20.1", []float64{10, 10, 10}, jobs.Critical},
		{"better", script.Threshold{Trend: up}, "1", []float64{10, 10, 10}, ""},
		{"one outlier is no history", script.Threshold{Trend: up}, "12", []float64{1000, 10, 10, 10, 1}, ""},
		{"too little history", script.Threshold{Trend: up}, "100", []float64{10, 10}, ""},
		{"runs without the value are none", script.Threshold{Trend: up}, "100", []float64{10, -1, 10}, ""},
		{"down", with(func(t *script.Trend) { t.Worse = "down" }), "7.9", []float64{10, 10, 10}, jobs.Warning},
		{"down, but up", with(func(t *script.Trend) { t.Worse = "down" }), "70", []float64{10, 10, 10}, ""},
		{"below the floor", with(func(t *script.Trend) { t.Floor = 0.5 }), "0.5", []float64{0.1, 0.1, 0.1}, ""},
		{"above the floor", with(func(t *script.Trend) { t.Floor = 0.3 }), "0.5", []float64{0.1, 0.1, 0.1}, jobs.Critical},
		{"from nothing", script.Threshold{Trend: up}, "1", []float64{0, 0, 0}, jobs.Critical},
		{"from nothing, below the floor", with(func(t *script.Trend) { t.Floor = 1 }), "1", []float64{0, 0, 0}, ""},
		{"warm-up", with(func(t *script.Trend) { t.WarmUp = 2 }), "20", []float64{10, 10, 1, 1}, ""},
		{"after the warm-up", with(func(t *script.Trend) { t.WarmUp = 2 }), "20", []float64{10, 10, 10, 1, 1}, jobs.Warning},
		{"only the last", with(func(t *script.Trend) { t.Last, t.MinHistory = 2, 2 }), "20", []float64{10, 10, 1000, 1000, 1000}, jobs.Warning},
		{"an even number", with(func(t *script.Trend) { t.Last, t.MinHistory = 2, 2 }), "20", []float64{10, 30}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			findings := looking(t, "v", tt.th, `"v":`+tt.now, tt.before...)
			got := jobs.Result{Findings: findings}.Worst()
			if got != tt.want || got != "" && findings[0].ID != "threshold:v:trend" {
				t.Errorf("findings %+v, want %q", findings, tt.want)
			}
		})
	}
	want := []jobs.Finding{{ID: "threshold:v:trend", Severity: jobs.Warning, Text: "v is 13, 30% above 10, the median of the last 3 (the limit is 20%)"}}
	if diff := cmp.Diff(want, looking(t, "v", script.Threshold{Trend: up}, `"v":13`, 10, 9, 11)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestRun_After(t *testing.T) {
	t.Parallel()
	th := threshold(t, "10", "20")
	th.After = 3
	for _, tt := range []struct {
		now    string
		before []float64
		want   []jobs.Finding
	}{
		{`"v":9`, []float64{30, 30}, nil},
		{`"v":30`, []float64{30}, []jobs.Finding{{ID: "threshold:v", Severity: jobs.Info, Text: "v is 30, outside 20 (run 2 of 3 in a row, then it counts)"}}},
		{`"v":30`, []float64{9, 30, 30}, []jobs.Finding{{ID: "threshold:v", Severity: jobs.Info, Text: "v is 30, outside 20 (run 1 of 3 in a row, then it counts)"}}},
		{`"v":30`, []float64{30, 30, 0}, []jobs.Finding{{ID: "threshold:v", Severity: jobs.Critical, Text: "v is 30, outside 20, for 3 runs in a row"}}},
		{`"v":30`, []float64{15, 30, 0}, []jobs.Finding{{ID: "threshold:v", Severity: jobs.Warning, Text: "v is 30, outside 20, for 3 runs in a row"}}},
		{``, []float64{-1, -1, 0}, []jobs.Finding{{ID: "threshold:v:missing", Severity: jobs.Critical, Text: "v was not reported, but it has a threshold, for 3 runs in a row"}}},
		{``, []float64{5, -1}, []jobs.Finding{{ID: "threshold:v:missing", Severity: jobs.Info, Text: "v was not reported, but it has a threshold (run 1 of 3 in a row, then it counts)"}}},
	} {
		if diff := cmp.Diff(tt.want, looking(t, "v", th, tt.now, tt.before...)); diff != "" {
			t.Errorf("%s after %v (-want +got):\n%s", tt.now, tt.before, diff)
		}
	}
	th = script.Threshold{After: 2, Trend: script.Trend{Worse: "up", Warn: 20}}
	for _, tt := range []struct {
		before []float64
		want   jobs.Severity
	}{{[]float64{20, 10, 10, 10}, jobs.Warning}, {[]float64{10, 10, 10, 10}, jobs.Info}} {
		if got := (jobs.Result{Findings: looking(t, "v", th, `"v":20`, tt.before...)}).Worst(); got != tt.want {
			t.Errorf("a trend after %v is %q, want %q", tt.before, got, tt.want)
		}
	}
}

func TestRun_Wildcards(t *testing.T) {
	t.Parallel()
	a := run(t, func(o *script.Options) {
		o.Run, o.Result = shell(write(`{"schema":1,"summary":"s","values":{"p95.churn":3,"p95.fraud":3,"p95.churn.v2":3,"rows":3}}`)), "json"
		o.Thresholds = map[string]script.Threshold{
			"p95.*": threshold(t, "1", ""), "p95.churn*": threshold(t, "2", ""), "p95.churn": threshold(t, "9", ""), "*.v3": threshold(t, "", "1"),
			"*.v4": {Warn: threshold(t, "1", "").Warn, Optional: true}, "gone": {Warn: threshold(t, "1", "").Warn, Optional: true},
		}
	})
	want := []jobs.Finding{
		{ID: "threshold:p95.churn.v2", Severity: jobs.Warning, Text: "p95.churn.v2 is 3, outside 2"},
		{ID: "threshold:p95.fraud", Severity: jobs.Warning, Text: "p95.fraud is 3, outside 1"},
		{ID: "threshold:_.v3:missing", Severity: jobs.Critical, Text: "no value matches *.v3, which has a threshold"},
	}
	want[2].ID = jobs.FindingIDFrom(want[2].ID)
	if diff := cmp.Diff(want, a.result.Findings); diff != "" || a.err != nil {
		t.Errorf("error %v, findings (-want +got):\n%s", a.err, diff)
	}
	for _, f := range a.result.Findings {
		if !jobs.ValidFindingID(f.ID) {
			t.Errorf("the ID %q is not valid", f.ID)
		}
	}
}

func TestOptions_ValidateTrend(t *testing.T) {
	t.Parallel()
	o := script.Options{Run: shell("true"), Result: "json", Thresholds: map[string]script.Threshold{
		"a":   {Trend: script.Trend{Last: 3, MinHistory: 4, WarmUp: -1, Floor: -1}},
		"b.*": {Warn: threshold(t, "1", "").Warn, After: 21},
		"c[":  {Warn: threshold(t, "1", "").Warn},
		"d":   {Trend: script.Trend{Worse: "up", Warn: 1, Last: 201}},
	}}
	want := `thresholds.a.trend.worse: "" is neither up nor down
thresholds.a.trend: it has neither warn nor crit, so it would never alert
thresholds.a.trend.min_history: 4 is out of range: use 1 to 3, as many as are compared with
thresholds.a.trend.warm_up: -1 is out of range: use 0 to 200
thresholds.a.trend.floor: a difference is never below 0
thresholds.b.*.after: 21 is out of range: use 1 to 20
thresholds.c[: "c[" is not the name of a value: use a-z, 0-9, _, . and -, and * for any text
thresholds.d.trend.last: 201 is out of range: use 1 to 200`
	if diff := cmp.Diff(want, fmt.Sprint(o.Validate())); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	for text, ok := range map[string]bool{"25%": true, "150%": true, "0.5%": true, "25": false, "0%": false, "-1%": false, "NaN%": false, "Inf%": false, "": false} {
		var p script.Percent
		if err := p.UnmarshalText([]byte(text)); (err == nil) != ok || ok && p.String() != strings.TrimSpace(text) {
			t.Errorf("%q: %v, read as %s", text, err, p)
		}
	}
}
