package executor_test

import (
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

func TestHandle_OneJobCostsTwoSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("only", fine))
		b.handle(t.Context())
		if b.ledger.claims != 1 || len(b.ledger.steps) != 2 {
			t.Errorf("%d claims and %d steps, want 1 and 2", b.ledger.claims, len(b.ledger.steps))
		}
		if got := b.ledger.verdict(); got != "succeeded" {
			t.Errorf("the run %s", got)
		}
		var types []string
		for _, e := range b.seen.events {
			types = append(types, reflect.TypeOf(e).Name())
		}
		if diff := cmp.Diff([]string{"RunStarted", "AttemptStarted", "AttemptEnded", "RunEnded"}, types); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestHandle_Verdicts(t *testing.T) {
	t.Parallel()
	failOn := func(s jobs.Severity) func(*runner.PlannedJob) { return func(p *runner.PlannedJob) { p.FailOn = s } }
	tests := []struct {
		name string
		jobs []runner.PlannedJob
		want string
		job  map[string]string
	}{
		{"Fine", []runner.PlannedJob{job("a", fine)}, "succeeded", map[string]string{"a": "succeeded"}},
		{"Info", []runner.PlannedJob{job("a", finds(jobs.Info))}, "succeeded", map[string]string{"a": "succeeded"}},
		{"Warning", []runner.PlannedJob{job("a", finds(jobs.Info, jobs.Warning))}, "warned/findings", map[string]string{"a": "warned/findings"}},
		{"CriticalWarnsOnly", []runner.PlannedJob{job("a", finds(jobs.Critical))}, "warned/findings", map[string]string{"a": "warned/findings"}},
		{"FailOnCritical", []runner.PlannedJob{job("a", finds(jobs.Critical), failOn(jobs.Critical))}, "failed/findings", map[string]string{"a": "failed/findings"}},
		{"FailOnCriticalWarning", []runner.PlannedJob{job("a", finds(jobs.Warning), failOn(jobs.Critical))}, "warned/findings", map[string]string{"a": "warned/findings"}},
		{"FailOnWarning", []runner.PlannedJob{job("a", finds(jobs.Warning), failOn(jobs.Warning))}, "failed/findings", map[string]string{"a": "failed/findings"}},
		{"WarnedSatisfiesNeeds", []runner.PlannedJob{job("a", finds(jobs.Warning)), job("b", fine, needs("a"))}, "warned/findings", map[string]string{"a": "warned/findings", "b": "succeeded"}},
		{"FailureSkipsDependents", []runner.PlannedJob{job("a", fails), job("b", fine, needs("a")), job("c", fine)}, "failed/error", map[string]string{"a": "failed/error", "b": "skipped/condition", "c": "succeeded"}},
		{"ContinueOnError", []runner.PlannedJob{job("a", fails, may), job("b", fine, needs("a"))}, "warned/error", map[string]string{"a": "failed/error", "b": "succeeded"}},
		{"AllSkipped", []runner.PlannedJob{job("a", fine, onlyIf("false")), job("b", fine, needs("a"))}, "skipped/condition", map[string]string{"a": "skipped/condition", "b": "skipped/condition"}},
		{"DifferentReasons", []runner.PlannedJob{job("a", fails), job("b", finds(jobs.Warning), failOn(jobs.Warning))}, "failed/error", map[string]string{"a": "failed/error", "b": "failed/findings"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, test.jobs...)
				b.handle(t.Context())
				if got := b.ledger.verdict(); got != test.want {
					t.Errorf("the run is %s, want %s (%s)", got, test.want, b.ledger.run.Message)
				}
				if diff := cmp.Diff(test.job, b.ledger.states()); diff != "" {
					t.Errorf("jobs (-want +got):\n%s", diff)
				}
			})
		})
	}
}
