package executor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/runner"
)

// verdict judges the run whose jobs have all ended. From bad to good, the first
// that applies:
//
//	a cancel, the run's timeout or the close     canceled/user, failed/timeout,
//	of its window cut it short                   canceled/window
//	a job is lost, continue_on_error or not      failed/crash
//	jobs were canceled and none failed           canceled/<their reason>
//	a job failed                                 failed/<its reason>
//	a job warned, or failed but may              warned/<its reason>
//	every job was skipped                        skipped/condition
//	else                                         succeeded
func (r *run) verdict(level urgency, cause error) *runner.Finish {
	if level == ending && r.shortened {
		f := &runner.Finish{State: runner.Canceled, Reason: runner.ReasonUser, Message: cause.Error()}
		if errors.Is(cause, runner.ErrTimeout) {
			f.State, f.Reason = runner.Failed, runner.ReasonTimeout
		} else if _, closed := errors.AsType[*runner.WindowError](cause); closed {
			f.Reason = runner.ReasonWindow
		}
		return f
	}
	var lost, failed, warned, skipped []*place
	for _, p := range r.graph.places {
		switch p.last.State {
		case runner.Lost:
			lost = append(lost, p)
		case runner.Failed, runner.Canceled:
			if p.ContinueOnError {
				warned = append(warned, p)
			} else {
				failed = append(failed, p)
			}
		case runner.Warned:
			warned = append(warned, p)
		case runner.Skipped:
			skipped = append(skipped, p)
		default:
		}
	}
	switch {
	case len(lost) > 0:
		return &runner.Finish{State: runner.Failed, Reason: runner.ReasonCrash, Message: tellJobs(append(lost, failed...))}
	case len(failed) > 0 && !slices.ContainsFunc(failed, func(p *place) bool { return p.last.State != runner.Canceled }):
		return &runner.Finish{State: runner.Canceled, Reason: commonReason(failed), Message: tellJobs(failed)}
	case len(failed) > 0:
		return &runner.Finish{State: runner.Failed, Reason: commonReason(failed), Message: tellJobs(failed)}
	case len(warned) > 0:
		return &runner.Finish{State: runner.Warned, Reason: commonReason(warned), Message: tellJobs(warned)}
	case len(skipped) == len(r.graph.places):
		return &runner.Finish{State: runner.Skipped, Reason: runner.ReasonCondition, Message: "every job was skipped"}
	}
	return &runner.Finish{State: runner.Succeeded}
}

// commonReason is the reason that all jobs share, or error.
func commonReason(places []*place) runner.Reason {
	reason := places[0].last.Reason
	for _, p := range places {
		if p.last.Reason != reason {
			return runner.ReasonError
		}
	}
	return reason
}

// tellJobs says in one line what is the matter with the first of the jobs, and
// names the others.
func tellJobs(places []*place) string {
	a := places[0].last
	text := a.Error
	if text == "" {
		text = tellFindings(a.Result.Findings)
	}
	text, _, _ = strings.Cut(text, "\n")
	message := fmt.Sprintf("%s %s: %s", a.Job, a.State, text)
	if len(places) == 1 {
		return message
	}
	others := make([]string, len(places)-1)
	for i, p := range places[1:] {
		others[i] = p.Name + " " + string(p.last.State)
	}
	return message + "; " + strings.Join(others, ", ")
}
