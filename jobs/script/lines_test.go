package script_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/script"
)

func TestRun_MetricLines(t *testing.T) {
	t.Parallel()
	a := run(t, func(o *script.Options) {
		o.Run = shell(`echo metric rows=12; echo metric conversion is done; echo " metric no=1"; echo metric rows=13; printf 'metric last=1e3'`)
		o.Thresholds = map[string]script.Threshold{"rows": threshold(t, "20:", "")}
	})
	if a.err != nil || a.result.Values["rows"] != 13 || a.result.Values["last"] != 1000 || len(a.result.Values) > 5 {
		t.Errorf("values %v, error %v", a.result.Values, a.err)
	}
	if want := []jobs.Finding{{ID: "threshold:rows", Severity: jobs.Warning, Text: "rows is 13, outside 20:"}}; !cmp.Equal(a.result.Findings, want) {
		t.Errorf("findings %+v", a.result.Findings)
	}
}

func TestMetricLines(t *testing.T) {
	t.Parallel()
	output := "metric a=1\nx metric b=2\nmetric c=NaN\nmetric Big=1\nmetric d=x\nmetric =1\nmetric " + strings.Repeat("e", 600) + "=1\r\nmetric f=2\r\nmetric g=-0.5"
	for piece := 1; piece < 20; piece++ {
		r := script.MetricLines(output, piece)
		if diff := cmp.Diff(map[string]float64{"a": 1, "f": 2, "g": -0.5}, r.Values); diff != "" {
			t.Errorf("in pieces of %d (-want +got):\n%s", piece, diff)
		}
		if len(r.Findings) != 1 || r.Findings[0].ID != "metric-lines" || !strings.HasPrefix(r.Findings[0].Text, "4 lines") {
			t.Errorf("in pieces of %d: findings %+v", piece, r.Findings)
		}
	}
	var many strings.Builder
	for i := range 1003 {
		many.WriteString("metric n" + strings.Repeat("x", i%200) + strings.Repeat("y", i/200) + "=1\n")
	}
	r := script.MetricLines(many.String(), 4096)
	if len(r.Values) != 1000 || len(r.Findings) != 1 || !strings.HasPrefix(r.Findings[0].Text, "3 values") {
		t.Errorf("%d values, findings %+v", len(r.Values), r.Findings)
	}
}

func FuzzMetricLines(f *testing.F) {
	f.Add("metric a=1\nmetric b", 3)
	f.Add("\n\nmetric =\r\n", 1)
	f.Fuzz(func(t *testing.T, output string, piece int) {
		if piece < 1 {
			return
		}
		r := script.MetricLines(output, piece)
		r.Summary = "s"
		jobstest.CheckResult(t, r)
		whole := script.MetricLines(output, len(output)+1)
		whole.Summary = "s"
		if !cmp.Equal(whole, r) {
			t.Errorf("pieces of %d give %+v, the whole %+v", piece, r, whole)
		}
	})
}
