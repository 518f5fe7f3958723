package executor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

func TestHandle_When(t *testing.T) {
	t.Parallel()
	success, failure, always := when(runner.OnSuccess), when(runner.OnFailure), when(runner.Always)
	tests := []struct {
		name string
		jobs []runner.PlannedJob
		only []string
		want map[string]string
	}{
		{
			"NeedsFine",
			[]runner.PlannedJob{job("a", fine), job("s", fine, needs("a"), success), job("f", fine, needs("a"), failure), job("w", fine, needs("a"), always)},
			nil,
			map[string]string{"a": "succeeded", "s": "succeeded", "f": "skipped/condition", "w": "succeeded"},
		},
		{
			"NeedsFailed",
			[]runner.PlannedJob{job("a", fails), job("s", fine, needs("a"), success), job("f", fine, needs("a"), failure), job("w", fine, needs("a"), always)},
			nil,
			map[string]string{"a": "failed/error", "s": "skipped/condition", "f": "succeeded", "w": "succeeded"},
		},
		{
			"OneOfTwoFailed",
			[]runner.PlannedJob{job("a", fails), job("b", fine), job("s", fine, needs("a", "b")), job("f", fine, needs("a", "b"), failure)},
			nil,
			map[string]string{"a": "failed/error", "b": "succeeded", "s": "skipped/condition", "f": "succeeded"},
		},
		{
			"FailureReachesThroughSkipped",
			[]runner.PlannedJob{job("a", fails), job("b", fine, needs("a")), job("f", fine, needs("b"), failure)},
			nil,
			map[string]string{"a": "failed/error", "b": "skipped/condition", "f": "succeeded"},
		},
		{
			"OwnConditionIsNoFailure",
			[]runner.PlannedJob{job("a", fine, onlyIf("false")), job("b", fine, needs("a")), job("f", fine, needs("a", "b"), failure), job("w", fine, needs("b"), always)},
			nil,
			map[string]string{"a": "skipped/condition", "b": "skipped/condition", "f": "skipped/condition", "w": "succeeded"},
		},
		{
			"ContinueOnErrorStillTriggersFailure",
			[]runner.PlannedJob{job("a", fails, may), job("s", fine, needs("a")), job("f", fine, needs("a"), failure)},
			nil,
			map[string]string{"a": "failed/error", "s": "succeeded", "f": "succeeded"},
		},
		{
			"WithoutNeedsLooksBack",
			[]runner.PlannedJob{job("first", fine, failure), job("a", fails), job("f", fine, failure), job("w", fine, always), job("later", fine)},
			nil,
			map[string]string{"first": "skipped/condition", "a": "failed/error", "f": "succeeded", "w": "succeeded", "later": "succeeded"},
		},
		{
			"WithoutNeedsIgnoresWhatWaitsForIt",
			[]runner.PlannedJob{job("a", fine, needs("w")), job("w", fine, always)},
			nil,
			map[string]string{"a": "succeeded", "w": "succeeded"},
		},
		{
			"OnlyOne",
			[]runner.PlannedJob{job("a", fails), job("b", fine, needs("a"))},
			[]string{"b"},
			map[string]string{"b": "succeeded"},
		},
		{
			"OnlyTheFailureHandler",
			[]runner.PlannedJob{job("a", fine), job("f", fine, needs("a"), failure), job("g", fine, failure)},
			[]string{"f"},
			map[string]string{"f": "succeeded"},
		},
		{
			"OnlyAHandlerWithoutNeeds",
			[]runner.PlannedJob{job("a", fine), job("g", fine, failure)},
			[]string{"g"},
			map[string]string{"g": "succeeded"},
		},
		{
			"OnlyConditionAboutAbsent",
			[]runner.PlannedJob{job("a", fine), job("b", fine, needs("a"), onlyIf(`jobs.a.state == "succeeded"`))},
			[]string{"b"},
			map[string]string{"b": "succeeded"},
		},
		{
			"OnlyConditionAboutTheRun",
			[]runner.PlannedJob{job("a", fine), job("b", fine, needs("a"), onlyIf(`run.params.x == "1"`))},
			[]string{"b"},
			map[string]string{"b": "skipped/condition"},
		},
		{
			"BrokenConditionFails",
			[]runner.PlannedJob{job("a", fine, onlyIf("len(1..100000) > 1")), job("b", fine)},
			nil,
			map[string]string{"a": "failed/condition", "b": "succeeded"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, test.jobs...)
				b.ledger.run.Jobs = test.only
				b.handle(t.Context())
				if diff := cmp.Diff(test.want, b.ledger.states()); diff != "" {
					t.Errorf("jobs (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestHandle_ConditionsSeeResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		measured := func(context.Context, *jobs.Env) (jobs.Result, error) {
			return jobs.Result{
				Values: map[string]float64{"free_percent": 7.5}, Outputs: map[string]string{"tier": "gold"},
				Findings: []jobs.Finding{{ID: "x", Severity: jobs.Warning, Text: "low"}},
			}, nil
		}
		yes := []string{
			`jobs["disk-check"].values.free_percent < 10`, `jobs["disk-check"].outputs.tier == "gold"`,
			`jobs["disk-check"].findings.warning == 1 && jobs["disk-check"].findings.total == 1`,
			`jobs["disk-check"].state == "warned" and jobs["disk-check"].reason == "findings"`,
			`jobs["disk-check"].exit_code == 0`, `jobs["disk-check"].values.absent == 0`, `jobs.bad.exit_code == 3`,
			`jobs.bad.state == "failed"`, `run.trigger == "manual" && run.workflow == "daily" && !run.dry_run`,
			`run.params.tag == "nightly"`, `jobs.later.state == "queued"`,
		}
		planned := []runner.PlannedJob{job("disk-check", measured), job("bad", func(context.Context, *jobs.Env) (jobs.Result, error) {
			return jobs.Result{}, exitError(3)
		})}
		for i, text := range yes {
			planned = append(planned, job(fmt.Sprintf("c%d", i), fine, needs("disk-check", "bad"), when(runner.Always), onlyIf(text)))
		}
		planned = append(planned, job("later", fine, needs("c0"), onlyIf(`jobs.c0.state != "succeeded"`)))
		b := newBench(t, planned...)
		b.ledger.run.Params = map[string]string{"tag": "nightly"}
		b.handle(t.Context())
		states := b.ledger.states()
		for i, text := range yes {
			if got := states[fmt.Sprintf("c%d", i)]; got != "succeeded" {
				t.Errorf("if: %s: the job is %s", text, got)
			}
		}
		if states["later"] != "skipped/condition" {
			t.Errorf("a false condition: the job is %s", states["later"])
		}
		if got := b.ledger.latest()["later"].Result.Summary; got != `if: jobs.c0.state != "succeeded" is false` {
			t.Errorf("the skipped job says %q", got)
		}
	})
}

type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func (e exitError) ExitCode() int { return int(e) }

func TestHandle_ParallelInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var began []string
		now, most := 0, 0
		busy := func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
			mu.Lock()
			began = append(began, env.Job)
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return jobs.Result{}, nil
		}
		var planned []runner.PlannedJob
		for i := range 7 {
			planned = append(planned, job(fmt.Sprintf("j%d", i), busy))
		}
		b := newBench(t, planned...)
		b.plan(func(p *runner.Plan) { p.Parallel = 3 })
		start := time.Now()
		b.handle(t.Context())
		if most != 3 || time.Since(start) != 3*time.Second {
			t.Errorf("%d jobs at once in %s, want 3 in 3s", most, time.Since(start))
		}
		for i := range 3 {
			batch := slices.Sorted(slices.Values(began[i*3 : min(i*3+3, 7)]))
			if batch[0] != fmt.Sprintf("j%d", i*3) {
				t.Errorf("batch %d is %v: not in the order of the file", i, batch)
			}
		}
	})
}

func TestHandle_BatchesCompletions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", takes(time.Second)), job("b", takes(1001*time.Millisecond)), job("c", takes(1002*time.Millisecond)), job("d", fine, needs("b")))
		b.ledger.onAdvance = func(runner.Step) error { time.Sleep(100 * time.Millisecond); return nil }
		b.handle(t.Context())
		var got []string
		for _, s := range b.ledger.steps {
			got = append(got, fmt.Sprintf("-%d+%d", len(s.Ended), len(s.Begun)))
		}
		if diff := cmp.Diff([]string{"-0+3", "-1+0", "-2+1", "-1+0"}, got); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if b.ledger.steps[3].Finish == nil {
			t.Error("the last end and the end of the run are not one step")
		}
	})
}

func TestHandle_RefusesPlans(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		jobs []runner.PlannedJob
		only []string
		err  error
		want string
	}{
		{"DoesNotLoad", nil, nil, jobs.WithHint(errors.New("unknown kind frobnicate"), "use the older upkeep"), "load the workflow as it was when the run was recorded: unknown kind frobnicate (use the older upkeep)"},
		{"Circle", []runner.PlannedJob{job("a", fine, needs("b")), job("b", fine, needs("a")), job("c", fine)}, nil, nil, "these jobs wait for each other: a, b"},
		{"Dangling", []runner.PlannedJob{job("a", fine, needs("z"))}, nil, nil, `job "a" needs "z", which the workflow does not have`},
		{"Twice", []runner.PlannedJob{job("a", fine), job("a", fine)}, nil, nil, `job "a" stands twice in the workflow`},
		{"Asked", []runner.PlannedJob{job("a", fine)}, []string{"q"}, nil, `the run asks for job "q", which the workflow does not have`},
		{"If", []runner.PlannedJob{job("a", fine, onlyIf("jobs.q.state"))}, nil, nil, `if of job "a": there is no job "q" to ask about here`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, test.jobs...)
				b.options.Compiler = compiler{plan: b.options.Compiler.(compiler).plan, err: test.err}
				b.ledger.run.Jobs = test.only
				b.handle(t.Context())
				if got := b.ledger.verdict(); got != "failed/spec" || b.ledger.run.Message != test.want {
					t.Errorf("the run is %s: %q, want failed/spec: %q", got, b.ledger.run.Message, test.want)
				}
				if len(of[runner.RunEnded](b.seen)) != 1 || len(b.ledger.attempts) != 0 {
					t.Errorf("%d ends told, %d attempts", len(of[runner.RunEnded](b.seen)), len(b.ledger.attempts))
				}
			})
		})
	}
}
