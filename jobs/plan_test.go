package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
)

func TestEnv_Plan(t *testing.T) {
	t.Parallel()
	refused := func(err error) bool {
		r, ok := errors.AsType[*jobs.RefusedError](err)
		return ok && r.Rail == "apply"
	}
	tests := []struct {
		name, demanded, made       string
		dry, calls, refuses, wants bool
	}{
		{name: "nobody demands one", calls: true, made: "a-1", wants: true},
		{name: "nobody demands one of a job without plans", wants: true},
		{name: "the demanded one", demanded: "a-1", calls: true, made: "a-1", wants: true},
		{name: "another one", demanded: "a-1", calls: true, made: "a-2", refuses: true},
		{name: "a job without plans", demanded: "a-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := jobs.NewEnv(jobs.Env{}, jobs.Hooks{Plan: tt.demanded})
			if env.DemandedPlan() != tt.demanded {
				t.Errorf("demanded = %q", env.DemandedPlan())
			}
			if tt.calls {
				if err := env.Plan(tt.made); refused(err) != tt.refuses || err != nil && !tt.refuses {
					t.Errorf("Plan: %v", err)
				}
			}
			done := false
			err := env.Effect(t.Context(), "do it", func(context.Context) error { done = true; return nil })
			if done != tt.wants || refused(err) == tt.wants || refused(env.Planned()) == tt.wants {
				t.Errorf("done = %v, want %v; Effect: %v; Planned: %v", done, tt.wants, err, env.Planned())
			}
		})
	}
	var out bytes.Buffer
	if err := jobs.NewEnv(jobs.Env{Out: &out}, jobs.Hooks{DryRun: true}).Plan("a-1"); err != nil || out.String() != "plan a-1\n" {
		t.Errorf("a dry run wrote %q, %v", out.String(), err)
	}
}
