package service

import (
	"context"
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// definitions is what the configuration in force says in full.
type definitions struct {
	e *Engine
	// status tells how that configuration came to be.
	status func(context.Context) api.ConfigStatus
}

var _ web.Definitions = definitions{}

// Definition implements web.Definitions.
func (d definitions) Definition(name string) (api.WorkflowDetail, error) {
	cfg := d.e.Config()
	w, err := cfg.Workflow(name)
	if err != nil {
		return api.WorkflowDetail{}, noWorkflow(err)
	}
	return DefinitionOf(cfg, w), nil
}

// DefinitionOf is what a configuration says of a workflow; the fields of
// api.Workflow in it stay empty.
func DefinitionOf(cfg *configs.Config, w *configs.Workflow) api.WorkflowDetail {
	v := api.WorkflowDetail{
		Definition: cfg.Definition(w), Digest: w.Spec.Digest, Timeout: w.Timeout.Seconds(), Parallel: w.Parallel, Overlap: w.Overlap,
		Approval: w.Approval, CatchUp: catchUpWords(w.Policy.CatchUp), Jitter: w.Jitter.Seconds(),
	}
	if !w.Window.IsZero() {
		v.Window = w.Window.String()
	}
	kinds := jobsall.Kinds()
	for _, j := range w.Jobs {
		v.Graph = append(v.Graph, nodeOf(j.PlannedJob, j.Description))
		if kind, ok := kinds.Lookup(j.Kind); ok && kind.Artifacts != nil {
			v.Makes = append(v.Makes, j.Name)
		}
	}
	for _, p := range w.Params {
		v.Params = append(v.Params, api.WorkflowParam{
			Name: p.Name, Description: p.Description, Type: p.Type, Values: slices.Clone(p.Values), Default: p.Default, Required: p.Required, Pattern: p.Pattern,
		})
	}
	return v
}

// catchUpWords says what happens to slots missed while nothing ran.
func catchUpWords(c schedule.CatchUp) string {
	if c.Run == "" || c.Run == schedule.CatchUpNone {
		return "missed slots are not made up for"
	}
	text := "the last missed slot runs"
	if c.Run == schedule.CatchUpAll {
		text = fmt.Sprintf("missed slots run, at most %d", c.Max)
		if c.Max == 0 {
			text = "missed slots run"
		}
	}
	if c.Within > 0 {
		text += ", up to " + unit.Duration(c.Within).String() + " late"
	}
	return text
}

// nodeOf is a job as the API shows it in a graph.
func nodeOf(j runner.PlannedJob, description string) api.JobNode {
	return api.JobNode{
		Name: j.Name, Kind: j.Kind, Description: description, Needs: slices.Clone(j.Needs), When: string(j.When), If: j.If,
		TimeoutSeconds: j.Timeout.Seconds(), Retries: j.Retry.Max, ContinueOnError: j.ContinueOnError, OnCrash: string(j.OnCrash), Locks: slices.Clone(j.Locks),
	}
}

// Graph implements web.Definitions.
func (d definitions) Graph(ctx context.Context, spec runner.Spec, params map[string]string) []api.JobNode {
	run := runner.Request{Spec: spec, Params: params}
	plan, err := d.e.Config().Compile(ctx, spec, run.Arguments())
	if err != nil {
		return nil // the run itself says why, when it is retried
	}
	list := make([]api.JobNode, len(plan.Jobs))
	for i, j := range plan.Jobs {
		list[i] = nodeOf(j, "")
	}
	return list
}

// Text implements web.Definitions.
func (d definitions) Text(ctx context.Context) api.ConfigText {
	cfg := d.e.Config()
	v := api.ConfigText{ConfigStatus: d.status(ctx), Project: cfg.Project, Node: cfg.Node, Files: slices.Clone(cfg.Files), Text: cfg.Text()}
	for _, w := range cfg.Warnings {
		v.Warnings = append(v.Warnings, w.String())
	}
	return v
}

// configStatus tells how the configuration in force came to be; d is nil for a
// command in the foreground.
func (e *Engine) configStatus(d *Daemon) func(context.Context) api.ConfigStatus {
	return func(context.Context) api.ConfigStatus {
		cfg := e.Config()
		if d == nil {
			return api.ConfigStatus{Path: cfg.Path, Digest: cfg.Digest(), State: api.ConfigOK, LoadedAt: e.began}
		}
		return d.reloads.status(cfg)
	}
}
