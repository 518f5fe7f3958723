package script_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	o := jobstest.Options[script.Options](t, given)
	adjust(o)
	job, err := kind.Build(given, jobstest.NewDeps(t))
	if err != nil {
		t.Fatal(err)
	}
	out := &jobstest.Buffer{}
	r, err := job.Run(ctx, environment(t, o, out))
	return attempt{result: r, err: err, output: out.String()}
}

// environment is the world of an attempt, which scrubs as the executor does.
func environment(t *testing.T, o *script.Options, out io.Writer) *jobs.Env {
	t.Helper()
	return jobs.NewEnv(jobs.Env{
		RunID: runID(t), Workflow: "daily", Job: "model", Attempt: 2, Trigger: "schedule",
		Slot: time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC), Root: t.TempDir(), WorkDir: t.TempDir(), KillGrace: 500 * time.Millisecond, Out: out,
	}, jobs.Hooks{Scrub: secret.NewRedactor(secret.Collect(o)).Scrub})
}

// runID is the same in every process of one test, and another one in each test:
// attempts of the same run would take each other's processes for their own.
func runID(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256([]byte(t.Name()))
	return hex.EncodeToString(sum[:16])
}

func TestKind(t *testing.T) {
	t.Parallel()
	arrange := func(run, result string) func(*testing.T, string, any, *jobstest.Deps) {
		return func(t *testing.T, root string, given any, _ *jobstest.Deps) {
			o := jobstest.Options[script.Options](t, given)
			o.Run, o.Result = shell(run), result
			o.Env = map[string]secret.String{"TOKEN": secret.New("hunter2-hunter2")}
		}
	}
	secrets := []string{"hunter2-hunter2"}
	jobstest.Exercise(t, script.Kind(),
		jobstest.Fixture{Name: "writes a file", Arrange: arrange(`date > made; echo done`, "exit"), Effects: true, Secrets: secrets, Settled: func(t *testing.T, root string) {
			if _, err := os.Stat(filepath.Join(root, "made")); err != nil {
				t.Error(err)
			}
		}},
		jobstest.Fixture{Name: "reports JSON", Arrange: arrange(`printf '{"schema":1,"summary":"fine","values":{"accuracy":0.93}}' > "$UPKEEP_RESULT"`, "json"), Effects: true, Secrets: secrets, Judge: func(t *testing.T, _ string, r jobs.Result) {
			if r.Values["accuracy"] != 0.93 || r.Summary != "fine" {
				t.Errorf("result = %+v", r)
			}
		}},
		jobstest.Fixture{Name: "fails", Arrange: arrange(`echo "error: no disk" >&2; exit 7`, "exit"), Effects: true, Secrets: secrets, Fails: "exit status 7: no disk"},
		jobstest.Fixture{Name: "is not there", Arrange: func(t *testing.T, root string, given any, deps *jobstest.Deps) {
			arrange("true", "exit")(t, root, given, deps)
			o := given.(*script.Options)
			o.Run, o.Env["PATH"] = unit.Command{"no-such-program-here"}, secret.New("/usr/bin:/bin")
		}, Effects: true, Secrets: secrets, Fails: "no such program in PATH"},
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
		"MODEL=v5", "UPKEEP_RUN_ID=" + runID(t), "UPKEEP_WORKFLOW=daily", "UPKEEP_JOB=model",
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
	want := []jobs.Finding{{ID: "exit-code", Severity: jobs.Warning, Text: "exit code 11: said"}}
	if diff := cmp.Diff(want, run(t, codes("echo said; exit 11")).result.Findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	a := run(t, codes("echo 'error: the cause'; echo 'hint: do this'; echo; exit 13"))
	coder, ok := errors.AsType[jobs.ExitCoder](a.err)
	if !ok || coder.ExitCode() != 13 || !strings.Contains(a.err.Error(), "the cause") || jobs.HintOf(a.err) != "do this" {
		t.Errorf("exit 13: err %v, hint %q", a.err, jobs.HintOf(a.err))
	}
	if a := run(t, codes("true")); a.result.Summary != "ended with exit code 0" {
		t.Errorf("a silent program: summary %q", a.result.Summary)
	}
	if a := run(t, codes("kill -9 $$")); a.err == nil || !strings.Contains(a.err.Error(), "SIGKILL") {
		t.Errorf("killed by a signal: %v", a.err)
	}
	if a := run(t, func(o *script.Options) { o.Run = unit.Command{"no-such-program-here"} }); a.err == nil || jobs.HintOf(a.err) == "" {
		t.Errorf("missing program: err %v, hint %q", a.err, jobs.HintOf(a.err))
	}
}

// TestRun_SecretsAreNotCut lets programs say secrets where texts are cut or
// changed: a part of one would pass every redactor.
func TestRun_SecretsAreNotCut(t *testing.T) {
	t.Parallel()
	const token = "correct-horse  battery-staple"
	for name, text := range map[string]string{
		"at the end of a line": `printf '%0280d %s\n' 0 "$TOKEN"`,
		"in an error":          `printf 'error: %0280d %s\nhint: %0280d %s\n' 0 "$TOKEN" 0 "$TOKEN"; exit 3`,
		"in a code":            `printf '%0270d %s\n' 0 "$TOKEN"; exit 11`,
		"before the tail":      `printf '%s%0' "$TOKEN"; printf '%016370d\n' 0`,
		"in the command":       strings.Repeat(":", 150) + ` ` + token + `; exit 3`,
		"in a result": `printf '{"schema":1,"summary":"%0285d %s","outputs":{"x":"%s"},"findings":[{"id":"x","severity":"info","text":"%0285d %s"}]}' \
			0 "$TOKEN" "$TOKEN" 0 "$TOKEN" > "$UPKEEP_RESULT"`,
		"in a plugin's value":  `printf 'OK | %s=1\n' "$TOKEN"`,
		"in a plugin's answer": `printf '%0280d %s | a=1\n' 0 "$TOKEN"; exit 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := jobstest.Options[script.Options](t, script.Kind().Options())
			o.Run, o.Env = shell(text), map[string]secret.String{"TOKEN": secret.New(token)}
			switch name {
			case "in a result":
				o.Result = "json"
			case "in a plugin's answer", "in a plugin's value":
				o.Result = "nagios"
			case "in a code":
				o.ExitCodes.Warning = []int{11}
			}
			job, err := script.Kind().Build(o, jobstest.NewDeps(t))
			if err != nil {
				t.Fatal(err)
			}
			told := ""
			scrub := secret.NewRedactor([]string{token}).Scrub
			r, err := job.Run(t.Context(), jobs.NewEnv(jobs.Env{
				RunID: runID(t), Job: "model", Attempt: 1, Root: t.TempDir(), WorkDir: t.TempDir(),
			}, jobs.Hooks{Scrub: scrub, Effect: func(what string) { told += what + "\n" }}))
			// What is whole the executor takes out.
			told = scrub(told + fmt.Sprintf("%+v %v %s", r, err, jobs.HintOf(err)))
			if strings.Contains(told, "correct") || strings.Contains(told, "staple") {
				t.Errorf("a part of the secret is left: %s", told)
			}
			if !strings.Contains(told, "redacte") && name != "before the tail" {
				t.Errorf("the secret was not said, so nothing is proven: %s", told)
			}
		})
	}
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	o := script.Options{
		Run: unit.Command{"", "a\x00b"}, Result: "yaml", Nice: 20,
		ExitCodes:  script.ExitCodes{OK: []int{300}, Warning: []int{1, 1}, Critical: []int{0}},
		Env:        map[string]secret.String{"1A": secret.New("x"), "UPKEEP_X": secret.New("y")},
		Thresholds: map[string]script.Threshold{"Bad Name": {}, "nothing": {}},
		Limits:     script.Limits{CPU: unit.Duration(time.Millisecond)},
	}
	err := o.Validate()
	want := `run: there is no program to run
run[1]: it contains a NUL byte
result: "yaml" is neither exit, json, nagios nor prometheus
exit_codes.ok[0]: 300 is not an exit code: use 0 to 255
exit_codes.warning[1]: code 1 stands under warning already
exit_codes.critical[0]: code 0 always means success
exit_codes: result: yaml fixes the meaning of all exit codes
env.1A: "1A" is not the name of a variable
env.UPKEEP_X: names that start with UPKEEP_ belong to upkeep
thresholds.Bad Name: "Bad Name" is not the name of a value: use a-z, 0-9, _, . and -, and * for any text
thresholds.nothing: it has neither warn, crit nor trend, so it would never alert
nice: 20 is out of range: use -20 to 19
limits.cpu: 1ms is below the shortest limit, 1s`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}
