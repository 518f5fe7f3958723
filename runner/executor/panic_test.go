package executor_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

func TestHandle_Panics(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, want, text string
		run              doing
	}{
		{"Text", "failed/panic", "panic: oops", func(context.Context, *jobs.Env) (jobs.Result, error) { panic("oops") }},
		{"Nil", "failed/panic", "panic: runtime error: invalid memory address or nil pointer dereference", func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
			nothing := map[string]*jobs.Env{}[env.Job]
			return jobs.Result{Summary: nothing.Job}, nil
		}},
		{"Gone", "failed/error", "the job ended its goroutine without returning", func(context.Context, *jobs.Env) (jobs.Result, error) {
			runtime.Goexit()
			return jobs.Result{}, nil
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, job("a", test.run), job("b", fine))
				b.handle(t.Context())
				a := b.ledger.latest()["a"]
				if verdict(a.State, a.Reason) != test.want || a.Error != test.text {
					t.Errorf("attempt %s: %q", verdict(a.State, a.Reason), a.Error)
				}
				if a.Reason != runner.ReasonPanic {
					return
				}
				out := string(b.ledger.outputs[a.Key()].Head)
				if !strings.Contains(out, test.text) || !strings.Contains(out, "executor_test.TestHandle_Panics") || !strings.Contains(out, "panic_test.go:") {
					t.Errorf("the output shows no stack: %s", out)
				}
				if strings.Contains(out, "executor.guard") || strings.Contains(out, "runtime.goexit") {
					t.Errorf("the stack is not trimmed: %s", out)
				}
			})
		})
	}
}

func TestHandle_PanicsBeforeTheJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", fine, func(p *runner.PlannedJob) {
			p.Build = func(runner.HistoryReader) (jobs.Job, []string, error) { panic("while building") }
		}), job("b", fine))
		b.handle(t.Context())
		if diff := cmp.Diff(map[string]string{"a": "failed/panic", "b": "succeeded"}, b.ledger.states()); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
		if out := b.ledger.outputs[b.ledger.latest()["a"].Key()]; !strings.Contains(string(out.Head), "panic_test.go:") {
			t.Errorf("the output shows no stack: %s", out.Head)
		}
		b = newBench(t, job("a", fine))
		b.options.Compiler = panics{}
		b.handle(t.Context())
		if b.ledger.verdict() != "failed/spec" || b.ledger.run.Message != "panic: while loading" {
			t.Errorf("a loader that panics: run %s: %s", b.ledger.verdict(), b.ledger.run.Message)
		}
	})
}

type panics struct{}

func (panics) Compile(context.Context, runner.Spec, map[string]string) (runner.Plan, error) {
	panic("while loading")
}
