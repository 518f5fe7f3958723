package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Request turns what somebody asks for into a request for the ledger. Its
// errors are of *api.Problem.
func Request(cfg *configs.Config, by string, r api.RunRequest, now time.Time) (runner.Request, error) {
	workflow, err := cfg.Workflow(r.Workflow)
	if err != nil {
		return runner.Request{}, noWorkflow(err)
	}
	request := runner.Request{
		Spec: workflow.Spec, Slot: now.UTC(), Trigger: cmp.Or(r.Trigger, runner.ByAPI), DryRun: r.DryRun, By: by,
		Overlap: workflow.Overlap, Alert: r.Alert, Target: workflow.Target(),
	}
	for _, name := range r.Jobs {
		if _, err := cfg.Job(r.Workflow, name); err != nil {
			return request, api.NewProblem(api.CodeNotFound, jobs.HintOf(err), fmt.Sprintf("workflow %s: %v", r.Workflow, err))
		}
	}
	if _, err := destination(workflow, r.On); err != nil {
		return request, err
	}
	request.Jobs = r.Jobs
	if r.WithNeeds {
		if len(r.Jobs) == 0 {
			return request, api.NewProblem(api.CodeInvalid, "a whole workflow runs all its jobs anyway", "only single jobs can be asked for with what they need")
		}
		request.Jobs = needed(workflow, r.Jobs)
	}
	if request.Params, err = workflow.Arguments(r.Params); err != nil {
		return request, api.NewProblem(api.CodeInvalid, jobs.HintOf(err), err.Error())
	}
	if r.Plan != "" {
		if len(request.Jobs) != 1 || r.DryRun {
			return request, api.NewProblem(api.CodeInvalid, "name one job: WORKFLOW.JOB", "a plan is carried out by a run of one job that is no dry run")
		}
		request.Params[runner.ParamPlan] = r.Plan
	}
	return request, nil
}

// noWorkflow says that the configuration has no workflow of a name.
func noWorkflow(err error) error {
	return api.NewProblem(api.CodeNotFound, cmp.Or(jobs.HintOf(err), "`upkeep list` shows the workflows"), err.Error())
}

// needed are jobs with everything that they need, directly and indirectly, in
// the order of the file.
func needed(w *configs.Workflow, names []string) []string {
	wanted := map[string]bool{}
	var want func(name string)
	want = func(name string) {
		if wanted[name] {
			return
		}
		wanted[name] = true
		if j, ok := w.Job(name); ok {
			for _, need := range j.Needs {
				want(need)
			}
		}
	}
	for _, name := range names {
		want(name)
	}
	var all []string
	for _, j := range w.Jobs {
		if wanted[j.Name] {
			all = append(all, j.Name)
		}
	}
	return all
}

// reopened are the jobs that a retry repeats: the job from and everything
// downstream of it in the run's own, frozen workflow.
func (e *Engine) reopened(ctx context.Context, run runner.Run, from string) ([]string, error) {
	if from == "" {
		return nil, nil
	}
	plan, err := e.Config().Compile(ctx, run.Spec, run.Arguments())
	if err != nil {
		return nil, api.NewProblem(api.CodeInvalid, jobs.HintOf(err), err.Error())
	}
	var names []string
	needs := map[string][]string{}
	for _, j := range plan.Jobs {
		if len(run.Jobs) == 0 || slices.Contains(run.Jobs, j.Name) {
			names = append(names, j.Name)
			needs[j.Name] = j.Needs
		}
	}
	if !slices.Contains(names, from) {
		return nil, api.NewProblem(api.CodeNotFound, "its jobs are "+strings.Join(names, ", "), fmt.Sprintf("run %s has no job %q", run.ID, from))
	}
	again := []string{from}
	for grown := true; grown; {
		grown = false
		for _, name := range names {
			if !slices.Contains(again, name) && slices.ContainsFunc(needs[name], func(need string) bool { return slices.Contains(again, need) }) {
				again, grown = append(again, name), true
			}
		}
	}
	return again, nil
}

// reopen makes a run ready to be delivered; again are jobs to repeat though
// they are done.
func (e *Engine) reopen(ctx context.Context, by string, run runner.Run, attempts []runner.Attempt, again []string) error {
	skipped := func(hint, format string, args ...any) error {
		return api.NewProblem(api.CodeSkipped, hint, fmt.Sprintf(format, args...))
	}
	if !run.State.Final() {
		works, err := WorksOn(ctx, e.ledger.Nodes, run)
		switch {
		case err != nil:
			return err
		case run.State == runner.Queued && run.Approval && run.ApprovedBy == "":
			return skipped("let it go with `upkeep approve "+string(run.ID)+"`", "run %s waits for approval", run.ID)
		case works:
			return skipped("wait until it has ended, or cancel it", "run %s is under way on %s", run.ID, run.Node)
		case run.State == runner.Running && len(again) > 0:
			return skipped("continue it without --from first", "run %s was interrupted and has not ended", run.ID)
		case run.CanceledBy == "" && len(again) == 0, run.State == runner.Running:
			return nil // being delivered is all that it needs
		}
		// What a person stopped, or wants repeated, has to end before it can go
		// on.
		if _, err := e.ledger.Cancel(ctx, run.ID, by); err != nil {
			return err
		}
	} else if len(again) == 0 && !repeatable(run, attempts) {
		return skipped("repeat a part of it with --from JOB, or run the workflow anew", "run %s is done: nothing is left to do", run.ID)
	} else if run.Overlap == runner.OverlapSkip {
		other, beside, err := e.underWay(ctx, run.Spec.Workflow, run.Host)
		switch {
		case err != nil:
			return err
		case beside:
			return skipped("wait until that has ended, or cancel it", "run %s of %s is still %s", other.ID, run.Spec.Workflow, other.State)
		}
	}
	return e.ledger.Reopen(ctx, run.ID, again, by)
}

// repeatable tells whether a run that has ended left something undone.
func repeatable(run runner.Run, attempts []runner.Attempt) bool {
	latest := map[string]runner.Attempt{}
	for _, a := range attempts {
		latest[a.Job] = a
	}
	if !run.State.Done() {
		return true
	}
	for _, a := range latest {
		if !a.State.Done() && a.State != runner.Skipped {
			return true
		}
	}
	return false
}
