package script_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/script"
)

func TestRun_Nagios(t *testing.T) {
	t.Parallel()
	tests := []struct {
		run    string
		want   jobs.Severity
		fails  string
		values map[string]float64
	}{
		{run: `echo "DISK OK - 5% | /=5%;80;95;0;100 'free space'=12MB used=3.5GB"`, values: map[string]float64{"root_percent": 5, "free_space_bytes": 12e6, "used_bytes": 3.5e9}},
		{run: `echo "HTTP SLOW | time=250ms;;;;"; exit 1`, want: jobs.Warning, values: map[string]float64{"time_seconds": 0.25}},
		{run: `echo "DOWN"; exit 2`, want: jobs.Critical},
		{run: `echo "cannot tell"; exit 3`, fails: "unknown: cannot tell"},
		{run: `true`},
		{run: `printf 'OK | a=1\nlong text\nmore | b=2\nc=3\n'`, values: map[string]float64{"a": 1, "b": 2, "c": 3}},
		{run: `echo "OK | U=U;1;2 rta=0.5ms pl=0% 'it''s'=1 ns=5ns m=2MiB odd=3furlong bad=1,5 neg=-4.5e1s n=1c huge=1e999"`, values: map[string]float64{
			"rta_seconds": 0.0005, "pl_percent": 0, "it_s": 1, "ns_seconds": 5e-9, "m_bytes": 2 << 20, "neg_seconds": -45, "n": 1,
		}},
		{run: `printf 'OK | %065525d=1 a=123456\n' 0`}, // a number that is cut would be another one
		{run: `echo "OK on stderr" >&2; echo "answer"; exit 1`, want: jobs.Warning},
		{run: `kill -TERM $$`, fails: "ended by SIGTERM"},
		{run: `echo OK; exit 64`, fails: "exit status 64"},
		{run: `echo OK; printf 'panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n' >&2; exit 2`, fails: "the plugin crashed"},
		{run: `echo OK; printf 'Error: x\n    at Object.<anonymous> (/srv/a.js:3:7)\n\nNode.js v20.1.0\n' >&2; exit 1`, fails: "the plugin crashed"},
		{run: `echo OK; printf 'Exception in thread "main" java.lang.Error: x\n\tat A.main(A.java:3)\n' >&2; exit 1`, fails: "the plugin crashed"},
		{run: `echo OK; printf '\tat com.acme.A$1.run(A.java:3)\n' >&2; exit 1`, fails: "the plugin crashed"},
		{run: `echo OK; printf 'looked at /srv: fine\n  at last (really)\n' >&2; exit 1`, want: jobs.Warning},
		{run: `echo "OK | a=1"; echo metric rows=12; echo metric system ok; echo metric a=2; exit 1`, want: jobs.Warning, values: map[string]float64{"a": 2, "rows": 12}},
		{run: `echo fine; echo "Traceback (most recent call last):" >&2; echo "ValueError: x" >&2; exit 1`, fails: "crashed: ValueError: x"},
	}
	for _, tt := range tests {
		a := run(t, func(o *script.Options) { o.Run, o.Result = shell(tt.run), "nagios" })
		if tt.fails != "" {
			if a.err == nil || !strings.Contains(a.err.Error(), tt.fails) {
				t.Errorf("%s: error %v does not contain %q", tt.run, a.err, tt.fails)
			}
			continue
		}
		ignore := cmpopts.IgnoreMapEntries(func(k string, _ float64) bool { return k == "cpu_seconds" || k == "max_rss_bytes" || k == "exit_code" })
		if a.err != nil || a.result.Worst() != tt.want {
			t.Errorf("%s: worst %q, err %v", tt.run, a.result.Worst(), a.err)
		}
		want := tt.values
		if want == nil {
			want = map[string]float64{}
		}
		if strings.Contains(tt.run, "answer") && (a.result.Summary != "answer" || a.result.Findings[0].Text != "answer") {
			t.Errorf("%s: summary %q, findings %+v", tt.run, a.result.Summary, a.result.Findings)
		}
		if diff := cmp.Diff(want, a.result.Values, ignore); diff != "" {
			t.Errorf("%s: values (-want +got):\n%s", tt.run, diff)
		}
	}
}

func FuzzNagios(f *testing.F) {
	for _, seed := range []string{"OK | a=1;2;3", "OK | 'a b'=1ms", "| =", "x|'", "a|b=;", "a|b=1%c=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, told string) {
		for name, v := range script.Perfdata(told) {
			if !jobs.ValidName(name) || v != v {
				t.Errorf("%q gives %q = %v", told, name, v)
			}
		}
	})
}
