package alerts

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// WorkflowAlert is what a workflow or a check says about its own alerts.
type WorkflowAlert struct {
	// Severity is that of the faults of a workflow; empty means critical. For
	// those of a check it is the most that they can be; empty means any.
	Severity jobs.Severity
	// To are the channels that are told, instead of those of the routes.
	To []string
	// Off keeps its faults on record and tells nobody.
	Off bool
	// After is how many times in a row a workflow has to fail before people are
	// told; 0 and 1 mean at once.
	After int
}

// PolicyOptions are the parts of a configuration that a Policy rests on.
type PolicyOptions struct {
	Routes    []Route
	Workflows map[string]WorkflowAlert
	// Checks are those checks by name that say something about their alerts.
	Checks map[string]WorkflowAlert
	// Quiet are the windows in which checks are expected to fail, Disturbers the
	// jobs that make them fail.
	Quiet      []Quiet
	Disturbers []Disturber
}

// Policy decides which ends of runs are faults and who is told. It implements
// runner.Alarm, does not change, and may be used from several goroutines.
type Policy struct {
	routes    []Route
	workflows map[string]WorkflowAlert
	checks    map[string]WorkflowAlert
	quiet     []Quiet
	disturb   []Disturber
}

var _ runner.Alarm = (*Policy)(nil)

// NewPolicy returns the policy of o, or says which route is impossible.
func NewPolicy(o PolicyOptions) (*Policy, error) {
	for i, r := range o.Routes {
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("routes[%d]: %w", i, err)
		}
	}
	return &Policy{
		routes: slices.Clone(o.Routes), workflows: maps.Clone(o.Workflows), checks: maps.Clone(o.Checks),
		quiet: slices.Clone(o.Quiet), disturb: slices.Clone(o.Disturbers),
	}, nil
}

// Judge implements runner.Alarm.
//
// Nothing follows from a dry run, from a run that a person canceled, and from a
// slot that was skipped on purpose: overlap, window, paused, condition. A run
// that did its work clears the fault of its workflow whoever asked for it,
// unless it was restricted to some jobs. A run that failed is a fault when
// nobody watched it: it was started by a schedule, a check, or with Alert. A
// slot that passed without a run is one only with Alert.
func (p *Policy) Judge(run runner.Run) runner.Verdict {
	if run.DryRun {
		return runner.Verdict{}
	}
	var reason string
	switch run.State {
	case runner.Succeeded, runner.Warned:
		if len(run.Jobs) > 0 {
			return runner.Verdict{}
		}
		return runner.Verdict{Clear: Fingerprint(run.Spec.Workflow, run.Host)}
	case runner.Failed, runner.Lost, runner.Canceled:
		if run.State == runner.Canceled && canceledByPerson(run) || !unwatched(run) {
			return runner.Verdict{}
		}
		reason = ReasonFailed
		if run.State == runner.Lost || run.Reason == runner.ReasonCrash || run.Reason == runner.ReasonLockLost {
			reason = ReasonLost
		}
	case runner.Skipped:
		if !run.Alert || onPurpose(run.Reason) {
			return runner.Verdict{}
		}
		reason = ReasonMissed
	default:
		return runner.Verdict{}
	}
	fault := p.address(runner.Fault{
		Fingerprint: Fingerprint(run.Spec.Workflow, run.Host),
		Workflow:    run.Spec.Workflow,
		Reason:      reason,
		Title:       runTitle(run, reason),
		Run:         run.ID,
		At:          run.FinishedAt,
	})
	if p.workflows[run.Spec.Workflow].After > 1 && reason == ReasonFailed {
		fault.Channels = nil // the dispatcher tells people when it failed often enough
	}
	return runner.Verdict{Raise: &fault}
}

// Fingerprint identifies the fault of a workflow; host is set for the share
// of one node in a workflow that every node runs.
func Fingerprint(workflow, host string) string {
	if host == "" {
		return "workflow/" + workflow
	}
	return "workflow/" + workflow + "@" + host
}

// unwatched tells whether nobody waits for the end of the run.
func unwatched(run runner.Run) bool {
	switch run.Trigger {
	case runner.BySchedule, runner.ByCatchUp, runner.ByCheck:
		return true
	default:
		return run.Alert
	}
}

func canceledByPerson(run runner.Run) bool {
	return run.CanceledBy != "" || run.Reason == runner.ReasonUser
}

// onPurpose tells whether a slot was skipped because somebody wanted it so.
func onPurpose(reason runner.Reason) bool {
	switch reason {
	case runner.ReasonOverlap, runner.ReasonWindow, runner.ReasonPaused, runner.ReasonCondition, runner.ReasonUser:
		return true
	default:
		return false
	}
}

// Channels returns the names of the channels that are told of something about
// workflow, which is empty for upkeep itself.
func (p *Policy) Channels(severity jobs.Severity, workflow, reason string) []string {
	return p.told(runner.Fault{Severity: severity, Workflow: workflow, Reason: reason})
}

// told returns the names of the channels that are told of a fault.
func (p *Policy) told(f runner.Fault) []string {
	var own WorkflowAlert
	switch {
	case f.Workflow != "":
		own = p.workflows[f.Workflow]
	case f.Check != "":
		own = p.checks[f.Check]
	}
	switch {
	case own.Off:
		return nil
	case len(own.To) > 0:
		return appendNew(nil, own.To)
	}
	return channels(p.routes, f)
}

// address completes a fault with its severity and its channels.
func (p *Policy) address(f runner.Fault) runner.Fault {
	if f.Severity == "" {
		f.Severity = jobs.Critical
		if own := p.workflows[f.Workflow].Severity; f.Workflow != "" && own != "" {
			f.Severity = own
		}
	}
	f.Channels = p.told(f)
	return f
}
