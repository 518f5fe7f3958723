package alerts

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// The reasons of faults.
const (
	ReasonFailed   = "failed"    // a run failed
	ReasonLost     = "lost"      // the process that ran a job died, and the job is not repeated
	ReasonMissed   = "missed"    // a slot passed and nothing ran
	ReasonStale    = "stale"     // no success for too long
	ReasonStuck    = "stuck"     // a run takes far longer than usual, and keeps later ones from starting
	ReasonDiskFull = "disk_full" // no room is left
	ReasonReload   = "reload"    // a changed configuration was refused
	ReasonDrained  = "drained"   // somebody drained the service and forgot to end that
	ReasonCheck    = "check"     // a check says that something is not well
	ReasonRaised   = "raised"    // somebody says that something is wrong
	ReasonNetwork  = "network"   // this machine's own network is down, so that checks say nothing
)

// Reasons lists the reasons of faults, the words that a route may match.
func Reasons() []string {
	return []string{ReasonFailed, ReasonLost, ReasonMissed, ReasonStale, ReasonStuck, ReasonDiskFull, ReasonReload, ReasonDrained, ReasonCheck, ReasonRaised, ReasonNetwork}
}

// Severities is one severity or a list of them: `severity: critical` and
// `severity: [warning, critical]` both decode into it.
type Severities []jobs.Severity

// UnmarshalText reads the form of a single severity. A list needs no text form.
func (s *Severities) UnmarshalText(text []byte) error {
	var one jobs.Severity
	if err := one.UnmarshalText(text); err != nil {
		return err
	}
	*s = Severities{one}
	return nil
}

// Route sends faults to channels. Routes are tried in order; the first that
// matches decides, unless it says to continue.
type Route struct {
	Match Match `yaml:"match" doc:"What the route is for; without it the route is for everything."`
	// To are names of channels. None means that nobody is told.
	To unit.Names `yaml:"to" required:"true" doc:"The channels that are told." example:"[ops]"`
	// Continue lets later routes add their channels.
	Continue bool `yaml:"continue" doc:"Go on with the next route that matches, too."`
	// Repeat and Escalate end when somebody acknowledges the incident.
	Repeat   unit.Duration `yaml:"repeat" doc:"Tell the same channels again of a fault that lasts and that nobody has acknowledged, so often, from 1m; by default they are told once." example:"4h"`
	Escalate []Escalation  `yaml:"escalate" doc:"Tell further channels of a fault that lasts and that nobody has acknowledged." example:"[{after: 15m, to: [pager]}]"`
}

// Match selects faults. Every field that is not empty must hold one that fits.
type Match struct {
	Severity Severities `yaml:"severity" enum:"warning,critical" doc:"How grave it is: warning, critical."`
	// Workflow and Check are patterns of doublestar. Faults of checks fit none of
	// the former, those of workflows none of the latter, and those of upkeep
	// itself none of both.
	Workflow unit.Names `yaml:"workflow" doc:"Names of workflows; * ? [a-z] and {a,b} are understood." example:"daily*"`
	Check    unit.Names `yaml:"check" doc:"Names of checks; * ? [a-z] and {a,b} are understood." example:"db*"`
	Reason   unit.Names `yaml:"reason" enum:"failed,lost,missed,stale,stuck,disk_full,reload,drained,check,raised,network" doc:"What happened: failed, lost, missed, stale, stuck, disk_full, reload, drained, check, raised, network."`
}

// Validate returns a *jobs.FieldError when the route could never match.
func (r Route) Validate() error {
	if err := errors.Join(checkPatterns("workflow", r.Match.Workflow), checkPatterns("check", r.Match.Check)); err != nil {
		return err
	}
	if len(r.Match.Workflow) > 0 && len(r.Match.Check) > 0 {
		return &jobs.FieldError{Field: "match.check", Why: "no fault is one of a workflow and of a check", Hint: "make a route for each"}
	}
	for i, reason := range r.Match.Reason {
		if !slices.Contains(Reasons(), reason) {
			return &jobs.FieldError{
				Field: fmt.Sprintf("match.reason[%d]", i),
				Why:   fmt.Sprintf("%q is not what can happen", reason),
				Hint:  "use " + strings.Join(Reasons(), ", "),
			}
		}
	}
	return r.lasting()
}

func checkPatterns(field string, patterns unit.Names) error {
	for i, pattern := range patterns {
		if !doublestar.ValidatePattern(pattern) {
			return jobs.Fieldf(fmt.Sprintf("match.%s[%d]", field, i), "%q is not a pattern", pattern)
		}
	}
	return nil
}

// Fits is FitsFault for a fault of a workflow, which is empty for faults of
// upkeep itself.
func (m Match) Fits(severity jobs.Severity, workflow, reason string) bool {
	return m.FitsFault(runner.Fault{Severity: severity, Workflow: workflow, Reason: reason})
}

// FitsFault tells whether a fault is one of those that m selects, by its
// Severity, Workflow, Check and Reason.
func (m Match) FitsFault(f runner.Fault) bool {
	if len(m.Severity) > 0 && !slices.Contains(m.Severity, f.Severity) {
		return false
	}
	if len(m.Reason) > 0 && !slices.Contains(m.Reason, f.Reason) {
		return false
	}
	return fitsOne(m.Workflow, f.Workflow) && fitsOne(m.Check, f.Check)
}

// fitsOne tells whether a name fits one of the patterns, or there are none.
func fitsOne(patterns []string, name string) bool {
	return len(patterns) == 0 || name != "" && slices.ContainsFunc(patterns, func(pattern string) bool {
		return doublestar.MatchUnvalidated(pattern, name)
	})
}

// channels walks the routes and returns whom they tell of a fault, each once.
func channels(routes []Route, f runner.Fault) []string {
	var to []string
	for _, r := range routes {
		if !r.Match.FitsFault(f) {
			continue
		}
		to = appendNew(to, r.To)
		if !r.Continue {
			break
		}
	}
	return to
}

func appendNew(to, more []string) []string {
	for _, name := range more {
		if !slices.Contains(to, name) {
			to = append(to, name)
		}
	}
	return to
}
