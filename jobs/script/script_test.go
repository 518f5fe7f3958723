package script_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/script"
)

func shell(text string) unit.Command { return unit.Command{"/bin/sh", "-c", text} }

// attempt is one run of the kind.
type attempt struct {
	result jobs.Result
	err    error
	output string
}

func run(t *testing.T, adjust func(*script.Options)) attempt {
	t.Helper()
	return runIn(t.Context(), t, adjust)
}

func runIn(ctx context.Context, t *testing.T, adjust func(*script.Options)) attempt {
	t.Helper()
	kind := script.Kind()
	given := kind.Options()
	o, ok := given.(*script.Options)
	if !ok {
		t.Fatal("the kind's options have another type")
	}
	adjust(o)
	job, err := kind.Build(given, jobstest.NewDeps(t))
	if err != nil {
		t.Fatal(err)
	}
	out := &jobstest.Buffer{}
	env := jobs.NewEnv(jobs.Env{
		RunID: "0197a0c0-0000-7000-8000-0000000000aa", Workflow: "daily", Job: "model", Attempt: 2, Trigger: "schedule",
		Slot: time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC), Root: t.TempDir(), WorkDir: t.TempDir(), KillGrace: 500 * time.Millisecond, Out: out,
	}, jobs.Hooks{})
	r, err := job.Run(ctx, env)
	return attempt{result: r, err: err, output: out.String()}
}

func TestKind(t *testing.T) {
	t.Parallel()
	arrange := func(run, result string) func(*testing.T, string, any, *jobstest.Deps) {
		return func(t *testing.T, root string, given any, _ *jobstest.Deps) {
			o, ok := given.(*script.Options)
			if !ok {
				t.Fatal("the kind's options have another type")
			}
			o.Run, o.Result = shell(run), result
			o.Env = map[string]secret.String{"TOKEN": secret.New("hunter2-hunter2")}
		}
	}
	jobstest.Exercise(t, script.Kind(),
		jobstest.Fixture{Name: "writes a file", Arrange: arrange(`date > made; echo done`, "exit"), Effects: true, Secrets: []string{"hunter2-hunter2"}},
		jobstest.Fixture{Name: "reports JSON", Arrange: arrange(`printf '{"schema":1,"summary":"fine","values":{"accuracy":0.93}}' > "$UPKEEP_RESULT"`, "json"), Effects: true, Judge: func(t *testing.T, _ string, r jobs.Result) {
			if r.Values["accuracy"] != 0.93 || r.Summary != "fine" {
				t.Errorf("result = %+v", r)
			}
		}},
		jobstest.Fixture{Name: "fails", Arrange: arrange(`echo "error: no disk" >&2; exit 7`, "exit"), Effects: true, Fails: "exit status 7: no disk"},
	)
}

func TestRun_Environment(t *testing.T) {
	t.Setenv("UPKEEP_TEST_PARENT_SECRET", "stays behind")
	a := run(t, func(o *script.Options) {
		o.Run = unit.Command{"env"}
		o.Env = map[string]secret.String{"MODEL": secret.New("v5")}
	})
	if a.err != nil {
		t.Fatal(a.err)
	}
	for _, want := range []string{
		"MODEL=v5", "UPKEEP_RUN_ID=0197a0c0-0000-7000-8000-0000000000aa", "UPKEEP_WORKFLOW=daily", "UPKEEP_JOB=model",
		"UPKEEP_ATTEMPT=2", "UPKEEP_TRIGGER=schedule", "UPKEEP_SLOT=2026-03-01T02:30:00Z", "UPKEEP_RESULT=/", "PATH=",
	} {
		if !strings.Contains(a.output, want) {
			t.Errorf("the environment lacks %s:\n%s", want, a.output)
		}
	}
	if strings.Contains(a.output, "stays behind") {
		t.Error("a variable of upkeep's own reached the script")
	}
}

func TestRun_ExitCodes(t *testing.T) {
	t.Parallel()
	codes := func(run string) func(*script.Options) {
		return func(o *script.Options) {
			o.Run = shell(run)
			o.ExitCodes = script.ExitCodes{OK: []int{10}, Warning: []int{11}, Critical: []int{12}}
		}
	}
	for code, want := range map[int]jobs.Severity{0: "", 10: "", 11: jobs.Warning, 12: jobs.Critical} {
		a := run(t, codes(fmt.Sprintf("echo said; exit %d", code)))
		if a.err != nil || a.result.Worst() != want || a.result.Summary != "said" {
			t.Errorf("exit %d: worst %q, err %v, summary %q", code, a.result.Worst(), a.err, a.result.Summary)
		}
	}
	a := run(t, codes("echo 'error: the cause'; echo 'hint: do this'; echo; exit 13"))
	coder, ok := errors.AsType[jobs.ExitCoder](a.err)
	if !ok || coder.ExitCode() != 13 || !strings.Contains(a.err.Error(), "the cause") || jobs.HintOf(a.err) != "do this" {
		t.Errorf("exit 13: err %v, hint %q", a.err, jobs.HintOf(a.err))
	}
	if a := run(t, codes("kill -9 $$")); a.err == nil || !strings.Contains(a.err.Error(), "SIGKILL") {
		t.Errorf("killed by a signal: %v", a.err)
	}
	if a := run(t, func(o *script.Options) { o.Run = unit.Command{"no-such-program-here"} }); a.err == nil || jobs.HintOf(a.err) == "" {
		t.Errorf("missing program: err %v, hint %q", a.err, jobs.HintOf(a.err))
	}
}

// write returns a script that leaves text as its result file.
func write(text string) string {
	return "cat > \"$UPKEEP_RESULT\" <<'END'\n" + text + "\nEND\n"
}

func TestRun_JSON(t *testing.T) {
	t.Parallel()
	artifact := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(artifact, []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("<html>"))
	proof := fmt.Sprintf(`{"schema":1,"summary":"made","artifacts":[{"name":"r","path":%q,"bytes":6,"sha256":%q}]}`, artifact, hex.EncodeToString(sum[:]))
	tests := []struct {
		name, run, want string
	}{
		{name: "no file", run: "true", want: "it was not written"},
		{name: "an empty file", run: `: > "$UPKEEP_RESULT"`, want: "it is empty"},
		{name: "a link", run: `ln -s /etc/passwd "$UPKEEP_RESULT"`, want: "too many levels of symbolic links"},
		{name: "a pipe", run: `mkfifo "$UPKEEP_RESULT"`, want: "not a regular file"},
		{name: "cut", run: write(`{"schema":1,"summary":"x"`), want: "unexpected EOF"},
		{name: "followed by more", run: write(`{"schema":1} {}`), want: "more follows"},
		{name: "an unknown key", run: write(`{"schema":1,"summery":"x"}`), want: `unknown field "summery"`},
		{name: "another schema", run: write(`{"schema":2}`), want: "its schema is 2"},
		{name: "no schema", run: write(`{}`), want: "its schema is 0"},
		{name: "not a number", run: write(`{"schema":1,"values":{"a":NaN}}`), want: "invalid character"},
		{name: "a bad name", run: write(`{"schema":1,"values":{"A b":1}}`), want: `value name "A b"`},
		{name: "a bad severity", run: write(`{"schema":1,"findings":[{"id":"x","severity":"bad","text":"t"}]}`), want: "not a severity"},
		{name: "no severity", run: write(`{"schema":1,"findings":[{"id":"x","text":"t"}]}`), want: "no severity"},
		{name: "too large", run: `head -c 2000000 /dev/zero > "$UPKEEP_RESULT"`, want: "larger than"},
		{name: "an artifact that is not there", run: write(`{"schema":1,"artifacts":[{"name":"r","path":"/nope","bytes":1,"sha256":""}]}`), want: "no such file"},
		{name: "an artifact with other bytes", run: "echo x >> " + artifact + ".copy; " + write(strings.Replace(proof, artifact, artifact+".copy", 1)), want: "other bytes"},
		{name: "broke after writing", run: write(`{"schema":1,"summary":"fine"}`) + "exit 1", want: "exit status 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := run(t, func(o *script.Options) { o.Run, o.Result = shell(tt.run), "json" })
			if a.err == nil || !strings.Contains(a.err.Error(), tt.want) {
				t.Errorf("error %v does not contain %q", a.err, tt.want)
			}
		})
	}
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		a := run(t, func(o *script.Options) { o.Run, o.Result = shell(write(proof)), "json" })
		if a.err != nil || len(a.result.Artifacts) != 1 || a.result.Artifacts[0].Key != artifact || a.result.Artifacts[0].Bytes != 6 {
			t.Errorf("result %+v, err %v", a.result, a.err)
		}
	})
}

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
		{run: `echo OK; exit 64`, fails: "exit status 64"},
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
		if diff := cmp.Diff(want, a.result.Values, ignore); diff != "" {
			t.Errorf("%s: values (-want +got):\n%s", tt.run, diff)
		}
	}
}

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
	if a := judge("0.95", "latency"); a.err == nil || !strings.Contains(a.err.Error(), "did not report latency") {
		t.Errorf("a missing value passed its threshold: %v", a.err)
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

func FuzzNagios(f *testing.F) {
	for _, seed := range []string{"OK | a=1;2;3", "OK | 'a b'=1ms", "| =", "x|'", "a|b=;", "a|b=1%c=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, told string) {
		for name, v := range script.Perfdata(told) {
			if name == "" || v != v {
				t.Errorf("%q gives %q = %v", told, name, v)
			}
		}
	})
}

func TestRun_CancelEndsTheTree(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop now")
	root := t.TempDir()
	started := filepath.Join(root, "started")
	go func() {
		for {
			if _, err := os.Stat(started); err == nil {
				cancel(stop)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	a := runIn(ctx, t, func(o *script.Options) {
		o.Run = shell(`setsid sh -c 'trap "" TERM; touch ` + started + `; sleep 600' & wait`)
	})
	if !errors.Is(a.err, stop) {
		t.Errorf("error %v does not wrap the cause", a.err)
	}
	if out := run(t, func(o *script.Options) { o.Run = shell("pgrep -f '" + started + "; [s]leep' || true") }); strings.TrimSpace(out.output) != "" {
		t.Errorf("processes of the canceled script live on: %s", out.output)
	}
}

func TestRun_Daemon(t *testing.T) {
	t.Parallel()
	start := time.Now()
	a := run(t, func(o *script.Options) { o.Run = shell("sleep 600 & echo started") })
	if a.err == nil && (len(a.result.Findings) != 1 || a.result.Findings[0].ID != "escaped") {
		t.Errorf("a background process was not reported: %+v, %v", a.result, a.err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("a background process that holds the output held the run up for %s", took)
	}
}

func TestRun_AsAnotherUser(t *testing.T) {
	t.Parallel()
	a := run(t, func(o *script.Options) {
		o.Run, o.Result, o.User = shell(`id -un; printf '{"schema":1,"summary":"as %s"}' "$(id -un)" > "$UPKEEP_RESULT"`), "json", "nobody"
		o.Dir = "/"
	})
	if os.Geteuid() != 0 {
		if a.err == nil {
			t.Error("an ordinary user could run a script as nobody")
		}
		return
	}
	if a.err != nil || a.result.Summary != "as nobody" {
		t.Errorf("summary %q, err %v", a.result.Summary, a.err)
	}
}

func TestRun_Limits(t *testing.T) {
	t.Parallel()
	a := run(t, func(o *script.Options) {
		o.Run = shell("ulimit -n; ulimit -c; nice")
		o.Limits.Files, o.Nice = 123, 5
	})
	if a.err != nil || a.output != "123\n0\n5\n" {
		t.Errorf("limits = %q, err %v", a.output, a.err)
	}
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	o := script.Options{
		Run: unit.Command{"", "a\x00b"}, Result: "yaml", Nice: 20,
		ExitCodes:  script.ExitCodes{OK: []int{300}, Warning: []int{1, 1}},
		Env:        map[string]secret.String{"1A": secret.New("x"), "UPKEEP_X": secret.New("y")},
		Thresholds: map[string]script.Threshold{"Bad Name": {}},
		Limits:     script.Limits{CPU: unit.Duration(time.Millisecond)},
	}
	err := o.Validate()
	want := `run: there is no program to run
run[1]: it contains a NUL byte
result: "yaml" is neither exit, json nor nagios
exit_codes.ok[0]: 300 is not an exit code: use 0 to 255
exit_codes.warning[1]: code 1 stands under warning already
exit_codes: result: yaml fixes the meaning of all exit codes
env.1A: "1A" is not the name of a variable
env.UPKEEP_X: names that start with UPKEEP_ belong to upkeep
thresholds.Bad Name: "Bad Name" is not the name of a value: use a-z, 0-9, _, . and -
nice: 20 is out of range: use -20 to 19
limits.cpu: 1ms is below the shortest limit, 1s`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}
