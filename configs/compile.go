package configs

import (
	"context"
	"fmt"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Config is a runner.Compiler.
var _ runner.Compiler = (*Config)(nil)

// Compile decodes the text of a run strictly with the run's parameters against
// the present stores, databases and checks, and returns its plan. References
// to the environment and to files stay unresolved until a job is built. The
// error is a *SpecError when the text no longer loads.
func (c *Config) Compile(_ context.Context, spec runner.Spec, params map[string]string) (runner.Plan, error) {
	node, problems := frozenNode(spec)
	if problems.Err() != nil {
		return runner.Plan{}, c.specError(spec, problems)
	}
	d := &decode.Decoder{Problems: problems}
	b := &draft{world: c.world, d: d, zone: c.Timezone, node: node, at: node.Pos, values: params, frozen: true}
	w := b.build(spec.Workflow)
	if d.Problems.Err() != nil {
		return runner.Plan{}, c.specError(spec, d.Problems)
	}
	if _, err := w.Arguments(params); err != nil {
		return runner.Plan{}, fmt.Errorf("parameters of the run: %w", err)
	}
	plan := runner.Plan{Timeout: w.Timeout, Parallel: w.Parallel, KillGrace: c.KillGrace, Root: c.Root, Zone: w.Zone, Window: w.Window}
	for _, job := range w.Jobs {
		plan.Jobs = append(plan.Jobs, job.PlannedJob)
	}
	return plan, nil
}

func (c *Config) specError(spec runner.Spec, problems Problems) error {
	hint := problems.Errors()[0].Hint
	if hint == "" {
		hint = fmt.Sprintf("start it anew as it is configured now: upkeep run %s", spec.Workflow)
	}
	return jobs.WithHint(&SpecError{Workflow: spec.Workflow, Problems: problems.Sorted()}, hint)
}
