package script_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/script"
)

const exposed = `# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{method="post",code="200"} 1027 1395066363000
requests_total{code="500",method=""} 3
# TYPE temperature gauge
temperature{place="Server Room \"1\""} -4.5e1
plain 7
nothing NaN
endless +Inf
# TYPE rpc_seconds summary
rpc_seconds{quantile="0.5"} 0.25
rpc_seconds{quantile="0.999"} 2
rpc_seconds_sum 17.5
rpc_seconds_count 20
# TYPE work_seconds histogram
work_seconds_bucket{le="1"} 50
work_seconds_bucket{le="2"} 90
work_seconds_bucket{le="+Inf"} 100
work_seconds_sum 120
work_seconds_count 100
`

func TestExposition(t *testing.T) {
	t.Parallel()
	values, shared, err := script.Exposition(exposed)
	want := map[string]float64{
		"requests_total.code_200.method_post": 1027, "requests_total.code_500": 3, "temperature.place_server_room__1_": -45, "plain": 7,
		"rpc_seconds_count": 20, "rpc_seconds.sum": 17.5, "rpc_seconds.p50": 0.25, "rpc_seconds.p99.9": 2,
		"work_seconds_count": 100, "work_seconds.sum": 120, "work_seconds.p50": 1, "work_seconds.p95": 2, "work_seconds.p99": 2,
	}
	if diff := cmp.Diff(want, values, cmpopts.EquateApprox(0, 1e-12)); diff != "" || err != nil || len(shared) > 0 {
		t.Errorf("error %v, shared %q, values (-want +got):\n%s", err, shared, diff)
	}
	values, shared, err = script.Exposition("a{x=\"A b\"} 1\na{x=\"a_b\"} 2\nb 3\n")
	if err != nil || !cmp.Equal(values, map[string]float64{"b": 3}) || !cmp.Equal(shared, []string{"a.x_a_b"}) {
		t.Errorf("names that are shared: %v, %q, %v", values, shared, err)
	}
	for text, want := range map[string]string{
		"":                              "no sample",
		"# TYPE a counter\n":            "no sample",
		"a 1":                           "unexpected end",
		"a one\n":                       "expected float",
		"a{x=\"1} 2\n":                  "unescaped new-line",
		strings.Repeat("a", 10) + "{\n": "invalid label name",
		"<html>\n":                      "invalid",
		lines(1001):                     "1001 values",
		"# TYPE a counter\n# TYPE a gauge\na 1\n": "second TYPE",
	} {
		if _, _, err := script.Exposition(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v does not contain %q", text, err, want)
		}
	}
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("m" + strings.Repeat("x", i%100) + strings.Repeat("y", i/100) + " 1\n")
	}
	return b.String()
}

func TestRun_Prometheus(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, run, fails string }{
		{name: "on standard output", run: "echo noise >&2; printf 'rows 12\\n'"},
		{name: "in the file", run: "echo noise; printf 'rows 12\\n' > \"$UPKEEP_RESULT\""},
		{name: "no word", run: "true", fails: "no sample"},
		{name: "broke", run: "echo rows 12; echo 'error: no disk' >&2; exit 1", fails: "exit status 1: no disk"},
		{name: "cut", run: "printf 'rows 12\\nmore'", fails: "exposes no metrics"},
		{name: "an empty file", run: "echo rows 12; : > \"$UPKEEP_RESULT\"", fails: "it is empty"},
		{name: "too much", run: "yes '# comment' | head -c 1100000; echo rows 12", fails: "larger than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := run(t, func(o *script.Options) { o.Run, o.Result = shell(tt.run), "prometheus" })
			switch {
			case tt.fails == "" && (a.err != nil || a.result.Values["rows"] != 12 || a.result.Summary != "1 values"):
				t.Errorf("result %+v, error %v", a.result, a.err)
			case tt.fails != "" && (a.err == nil || !strings.Contains(a.err.Error(), tt.fails)):
				t.Errorf("error %v does not contain %q", a.err, tt.fails)
			}
		})
	}
}

func FuzzExposition(f *testing.F) {
	f.Add(exposed)
	f.Add("a{b=\"c\"} 1\n")
	f.Add("# TYPE h histogram\nh_bucket{le=\"-1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_count 9\n")
	f.Fuzz(func(t *testing.T, text string) {
		values, _, err := script.Exposition(text)
		if err != nil {
			return
		}
		for name, v := range values {
			if !jobs.ValidName(name) || math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%q gives %q = %v", text, name, v)
			}
		}
	})
}
