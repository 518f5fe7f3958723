package executor_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/runner/executor"
)

func TestCompileCondition(t *testing.T) {
	t.Parallel()
	names := []string{"backup", "my-job"}
	for _, text := range []string{
		"true", `jobs.backup.state == "succeeded"`, `jobs["my-job"].values["disk.free-bytes"] < 1e9`,
		`jobs.backup.state in ["succeeded", "warned"]`, `"failed" != jobs.backup.state`, `jobs.backup?.exit_code == 3`,
		`run.params.tag matches "^v[0-9]+$"`, `any(1..3, # == jobs.backup.attempts)`, `run.slot.Weekday().String() == "Sunday"`,
		`jobs.backup.findings.critical > 0 or jobs.backup.outputs.tier == "gold"`, `!run.dry_run && run.host != ""`,
	} {
		if err := executor.CompileCondition(text, names); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	tests := []struct {
		text, at  string // the text from the offset on
		why, hint string
	}{
		{"", "", "the condition is empty", ""},
		{strings.Repeat("true or ", 600) + "true", "*", "the condition is longer than 4096 bytes", "let a script decide and test its result"},
		{`jobs.backup.state == "success"`, `"success"`, `"success" is not a state, so the comparison is never true`, "states are queued, running, succeeded, warned, failed, canceled, skipped, lost"},
		{`"ok" == jobs["my-job"].state`, `"ok" == jobs["my-job"].state`, `"ok" is not a state, so the comparison is never true`, "states are queued, running, succeeded, warned, failed, canceled, skipped, lost"},
		{`jobs.my-job.state == "failed"`, `my-job.state == "failed"`, `there is no job "my" to ask about here`, `write jobs["my-job"]: a dash after jobs. is a minus`},
		{`jobs.later.state == "failed"`, `later.state == "failed"`, `there is no job "later" to ask about here`, "jobs to ask about: backup, my-job"},
		{`"ü" == "ü" and jobs.backup.stat == ""`, `stat == ""`, `there is no "stat" here`, "there is attempts, exit_code, findings, outputs, reason, state, summary, values"},
		{`run.foo == 1`, `foo == 1`, `there is no "foo" here`, "there is dry_run, host, params, slot, trigger, workflow"},
		{`jobs.backup.findings.warnings > 0`, `warnings > 0`, `there is no "warnings" here`, "there is critical, info, total, warning"},
		{`jobs.backup.exit_code`, `jobs.backup.exit_code`, "expected bool, but got int", ""},
		{`jobs[run.host].state == "failed"`, `[run.host].state == "failed"`, "this cannot be used here", `write jobs.<name> or jobs["name"] or run, then what to ask about it, such as .state`},
		{`1 +`, `+`, "unexpected token EOF", ""},
		{`jobs.backup.state == 3`, `== 3`, "invalid operation: == (mismatched types string and int)", ""},
		{`any(1..9, any(1..9, # == 3))`, `any(1..9, # == 3))`, "a loop stands inside a loop", "let a script decide and test its result"},
	}
	for _, test := range tests {
		t.Run(test.text[:min(len(test.text), 40)], func(t *testing.T) {
			t.Parallel()
			err := executor.CompileCondition(test.text, names)
			var wrong *executor.ConditionError
			if !errors.As(err, &wrong) {
				t.Fatalf("error %v, want a *ConditionError", err)
			}
			if wrong.Why != test.why || wrong.Hint != test.hint || wrong.Error() != test.why || wrong.Text != test.text {
				t.Errorf("%q, hint %q; want %q, hint %q", wrong.Why, wrong.Hint, test.why, test.hint)
			}
			if got := test.text[wrong.Offset:]; got != test.at && test.at != "*" {
				t.Errorf("the caret stands before %q, want %q", got, test.at)
			}
		})
	}
}

func FuzzCompileCondition(f *testing.F) {
	for _, seed := range []string{`jobs.backup.state == "failed"`, `jobs["my-job"].values.x > 1`, "any(1..3, # > 2)", "\xff", `run.params.ü`, "((((", `"\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := executor.CompileCondition(text, []string{"backup", "my-job"})
		var wrong *executor.ConditionError
		if err == nil {
			return
		}
		if !errors.As(err, &wrong) {
			t.Fatalf("%q: %v is no *ConditionError", text, err)
		}
		if wrong.Offset < 0 || wrong.Offset > len(text) || wrong.Why == "" || strings.Contains(wrong.Why, "\n") {
			t.Errorf("%q: %+v", text, wrong)
		}
		if utf8.ValidString(text) && !utf8.ValidString(text[wrong.Offset:]) {
			t.Errorf("%q: offset %d lies inside a character", text, wrong.Offset)
		}
		if strings.Contains(wrong.Why, "executor.") || strings.Contains(wrong.Hint, "Job0") {
			t.Errorf("%q: our types show: %+v", text, wrong)
		}
	})
}
