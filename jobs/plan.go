package jobs

import "fmt"

// OutputPlan is the output under which a dry run leaves the name of its plan,
// for `upkeep run WORKFLOW.JOB --apply PLAN`.
const OutputPlan = "plan"

// DemandedPlan returns the plan that this attempt may carry out, or the empty
// string when nobody demanded one. It may hold what the job needs to make the
// same plan again, such as the instant of which it was made.
func (e *Env) DemandedPlan() string { return e.hooks.Plan }

// Plan names what the job is about to do. A job that plans calls it when it
// knows all of it and before its first effect. name is a word of letters,
// digits and hyphens which depends on every fact that the job acts upon, so
// that equal names stand for equal effects. In a dry run it writes the name to
// Out; the job leaves it in its output OutputPlan too. When a plan is demanded
// and name is another one it returns a *RefusedError, with which the job ends;
// until it has returned nil, Effect refuses as well, so that a job that makes
// no plans does nothing.
func (e *Env) Plan(name string) error {
	demanded := e.hooks.Plan
	if demanded != "" && name != demanded {
		return WithHint(&RefusedError{
			Rail: "apply", Why: fmt.Sprintf("the facts have changed since plan %s was made, which would be %s now; nothing was changed", demanded, name),
		}, "make a new plan with --dry-run and look at it")
	}
	e.agreed.Store(true)
	if e.hooks.DryRun {
		e.Printf("plan %s", name)
	}
	return nil
}

// Planned returns a *RefusedError when a plan is demanded and the job has not
// agreed to it by Plan. The executor calls it when the job has ended well.
func (e *Env) Planned() error {
	if e.hooks.Plan == "" || e.agreed.Load() {
		return nil
	}
	return WithHint(&RefusedError{Rail: "apply", Why: "jobs of this kind make no plans, so that nothing was done"}, "run it without --apply")
}
