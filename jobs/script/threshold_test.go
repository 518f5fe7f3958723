package script_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/script"
)

func threshold(t *testing.T, warn, crit string) script.Threshold {
	t.Helper()
	var out script.Threshold
	for text, into := range map[string]*script.Range{warn: &out.Warn, crit: &out.Crit} {
		if text == "" {
			continue
		}
		if err := into.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestRun_Thresholds(t *testing.T) {
	t.Parallel()
	judge := func(accuracy string, names ...string) attempt {
		return run(t, func(o *script.Options) {
			o.Run, o.Result = shell(write(`{"schema":1,"summary":"s","values":{"accuracy":`+accuracy+`}}`)), "json"
			o.Thresholds = map[string]script.Threshold{"accuracy": threshold(t, "0.9:", "0.8:")}
			for _, name := range names {
				o.Thresholds[name] = threshold(t, "1", "")
			}
		})
	}
	for value, want := range map[string]jobs.Severity{"0.95": "", "0.9": "", "0.85": jobs.Warning, "0.5": jobs.Critical} {
		if a := judge(value); a.err != nil || a.result.Worst() != want {
			t.Errorf("accuracy %s: worst %q, want %q, err %v", value, a.result.Worst(), want, a.err)
		}
	}
	want := []jobs.Finding{{ID: "threshold:latency:missing", Severity: jobs.Warning, Text: "latency was not reported, but it has a threshold"}}
	if a := judge("0.95", "latency"); a.err != nil || !cmp.Equal(a.result.Findings, want) {
		t.Errorf("a missing value passed its threshold: %v, findings %+v", a.err, a.result.Findings)
	}
}

// TestRun_ThresholdsOfWhatIsCounted judges what every program has.
func TestRun_ThresholdsOfWhatIsCounted(t *testing.T) {
	t.Parallel()
	a := run(t, func(o *script.Options) {
		o.Run = shell("exit 4")
		o.ExitCodes.OK = []int{4}
		o.Thresholds = map[string]script.Threshold{"exit_code": threshold(t, "3", ""), "cpu_seconds": threshold(t, "600", "")}
	})
	if a.err != nil || len(a.result.Findings) != 1 || a.result.Findings[0] != (jobs.Finding{ID: "threshold:exit_code", Severity: jobs.Warning, Text: "exit_code is 4, outside 3"}) {
		t.Errorf("findings %+v, error %v", a.result.Findings, a.err)
	}
}

func TestRange(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ alerts, passes []float64 }{
		"10":      {alerts: []float64{-1, 11}, passes: []float64{0, 10}},
		"10:":     {alerts: []float64{9}, passes: []float64{10, 1e9}},
		"~:10":    {alerts: []float64{11}, passes: []float64{-1e9, 10}},
		"10:20":   {alerts: []float64{9, 21}, passes: []float64{10, 20}},
		"@10:20":  {alerts: []float64{10, 20}, passes: []float64{9, 21}},
		"0.5:0.5": {alerts: []float64{0.4}, passes: []float64{0.5}},
	}
	for text, tt := range tests {
		var r script.Range
		if err := r.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		for _, v := range tt.alerts {
			if !r.Alerts(v) {
				t.Errorf("%q does not alert for %v", text, v)
			}
		}
		for _, v := range tt.passes {
			if r.Alerts(v) {
				t.Errorf("%q alerts for %v", text, v)
			}
		}
	}
	for _, text := range []string{"", ":", "x", "20:10", "1:2:3", "@", "~", "NaN", "1:inf", "10:~"} {
		var r script.Range
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as a range", text)
		}
	}
}

func FuzzRange(f *testing.F) {
	for _, seed := range []string{"10", "@~:5", "1:2", "::", "1e9:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r, again script.Range
		if r.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(r.String())); err != nil || again != r {
			t.Errorf("%q does not read back: %v", text, err)
		}
	})
}
