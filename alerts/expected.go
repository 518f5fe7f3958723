package alerts

import (
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// Quiet is the window of a workflow in which nobody is told of the faults of
// some checks: their patterns, as in a Match.
type Quiet struct {
	Workflow string
	Window   schedule.Window
	Checks   []string
}

// Disturber is a job that is expected to make some checks fail while it runs,
// such as one that restarts what they ask: their patterns, as in a Match.
type Disturber struct {
	runner.Place

	Checks []string
}

var _ runner.Maintenance = (*Policy)(nil)

// Window implements runner.Maintenance: only faults of checks are expected, and
// only where a window says so.
func (p *Policy) Window(f runner.Fault, at time.Time) (string, time.Time) {
	for _, q := range p.quiet {
		if !q.expects(f) || !q.Window.Open(at) {
			continue
		}
		closes, ok := q.Window.Closes(at)
		if !ok {
			continue // a window that never closes keeps nothing quiet
		}
		return q.Workflow, closes
	}
	return "", time.Time{}
}

// Opens implements runner.Maintenance.
func (p *Policy) Opens(f runner.Fault, at time.Time) time.Time {
	var next time.Time
	for _, q := range p.quiet {
		if !q.expects(f) || q.Window.Open(at) {
			continue
		}
		if opens, ok := q.Window.Opens(at); ok {
			next = earliest(next, opens)
		}
	}
	return next
}

// expects tells whether a fault is one of those that the window is for.
func (q Quiet) expects(f runner.Fault) bool {
	return f.Check != "" && len(q.Checks) > 0 && !q.Window.IsZero() && fitsOne(q.Checks, f.Check)
}

// Disturbers implements runner.Maintenance.
func (p *Policy) Disturbers(f runner.Fault) []runner.Place {
	var list []runner.Place
	for _, d := range p.disturb {
		if f.Check != "" && len(d.Checks) > 0 && fitsOne(d.Checks, f.Check) {
			list = append(list, d.Place)
		}
	}
	return list
}

// Disturbs implements runner.Maintenance.
func (p *Policy) Disturbs(place runner.Place) bool {
	return slices.ContainsFunc(p.disturb, func(d Disturber) bool { return d.Place == place && len(d.Checks) > 0 })
}
