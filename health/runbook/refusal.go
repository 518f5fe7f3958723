package runbook

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
)

// Rule is why a runbook that is due does not start.
type Rule string

// The rules.
const (
	RuleHeld     Rule = "held"      // nothing new starts at present
	RulePaused   Rule = "paused"    // somebody, or its own failure, paused it
	RuleWindow   Rule = "window"    // its window is closed
	RuleAcked    Rule = "acked"     // somebody works on the incident
	RuleSilenced Rule = "silenced"  // the incident is suppressed
	RuleCause    Rule = "cause"     // another check is to blame
	RuleStorm    Rule = "storm"     // too much fails at once
	RuleUnderWay Rule = "under_way" // a run of it has not ended
	RuleCooldown Rule = "cooldown"  // the last run ended too recently
	RuleBudget   Rule = "budget"    // it ran often enough
	RuleLocked   Rule = "locked"    // another run holds what it needs
)

// Refusal is one reason against starting a runbook.
type Refusal struct {
	Rule Rule
	// Text says it in one line.
	Text string
	// Until is when it ends by itself; zero when nobody knows.
	Until time.Time
}

// storm is how many checks may be critical by themselves: when more are, one
// remedy for one of them does not help.
const storm = 2

// Situation is everything that may speak against starting a runbook.
type Situation struct {
	Runbook Runbook
	Now     time.Time
	// Held is why nothing new starts at present; nil when things do.
	Held error
	// Reports are those of all checks.
	Reports []runner.CheckReport
	// Pauses are those in force, Incidents the open ones of the check.
	Pauses    []runner.Pause
	Incidents []runner.Incident
	// Runs are the open runs of the workflow, and those that its check started
	// lately.
	Runs []runner.Run
	// Locks are the named locks that its jobs need, Holders who holds which.
	Locks   []string
	Holders []runner.LockHolder
}

// Records is what a situation and the end of a run are read from. Its methods
// follow the obligations of runner.Reader.
type Records interface {
	Runs(ctx context.Context, f runner.Filter) ([]runner.Run, error)
	Run(ctx context.Context, idOrPrefix string) (runner.Run, error)
	Pauses(ctx context.Context) ([]runner.Pause, error)
	Incidents(ctx context.Context, f runner.IncidentFilter) ([]runner.Incident, error)
	// Locks returns the named locks that are in use.
	Locks(ctx context.Context) ([]runner.LockHolder, error)
}

// mostRuns bounds how many runs of a runbook are looked at: more than any
// budget.
const mostRuns = 1000

// waiting is how long a run may have waited for its approval: one that was asked
// for before it counts by when it ran.
const waiting = 7 * 24 * time.Hour

// Look reads a situation, except for Held, Reports and Locks.
func Look(ctx context.Context, records Records, b Runbook, now time.Time) (Situation, error) {
	s := Situation{Runbook: b, Now: now}
	var err error
	if s.Pauses, err = records.Pauses(ctx); err != nil {
		return s, err
	}
	s.Incidents, err = records.Incidents(ctx, runner.IncidentFilter{Fingerprint: CheckFingerprint(b.Trigger.Check), States: []runner.IncidentState{runner.IncidentOpen}})
	if err != nil {
		return s, err
	}
	open, err := records.Runs(ctx, runner.Filter{Workflow: b.Name, States: []runner.State{runner.Queued, runner.Running}})
	if err != nil {
		return s, err
	}
	back := max(b.Limits.Cooldown, b.Limits.Per) + waiting
	s.Runs, err = records.Runs(ctx, runner.Filter{Workflow: b.Name, Triggers: []runner.Trigger{runner.ByCheck}, Since: now.Add(-back), Limit: mostRuns})
	if err != nil {
		return s, err
	}
	for _, run := range open {
		if !slices.ContainsFunc(s.Runs, func(known runner.Run) bool { return known.ID == run.ID }) {
			s.Runs = append(s.Runs, run)
		}
	}
	s.Holders, err = records.Locks(ctx)
	return s, err
}

// Refusals returns everything that speaks against starting the runbook, the
// most important first; none when nothing does.
func (s Situation) Refusals() []Refusal {
	var list []Refusal
	add := func(rule Rule, until time.Time, format string, args ...any) {
		list = append(list, Refusal{Rule: rule, Until: until, Text: fmt.Sprintf(format, args...)})
	}
	if s.Held != nil {
		add(RuleHeld, time.Time{}, "%v", s.Held)
	}
	for _, p := range s.Pauses {
		if p.Workflow == s.Runbook.Name {
			add(RulePaused, p.Until, "%s paused it: %s", p.By, p.Why)
		}
	}
	if !s.Runbook.Window.Open(s.Now) {
		opens, _ := s.Runbook.Window.Opens(s.Now)
		add(RuleWindow, opens, "its window %s is closed", s.Runbook.Window)
	}
	for _, i := range s.Incidents {
		if s.Runbook.Trigger.Evidence {
			break
		}
		if !i.AckedAt.IsZero() && (i.AckedUntil.IsZero() || s.Now.Before(i.AckedUntil)) {
			add(RuleAcked, i.AckedUntil, "%s works on it", i.AckedBy)
		}
		if i.Suppressed != "" {
			add(RuleSilenced, time.Time{}, "nobody is to be told of the incident: %s", i.Suppressed)
		}
	}
	if !s.Runbook.Trigger.Evidence {
		list = append(list, s.others()...)
	}
	list = append(list, s.past()...)
	for _, h := range s.Holders {
		if slices.Contains(s.Locks, h.Lock) && h.Workflow != s.Runbook.Name {
			add(RuleLocked, time.Time{}, "%s.%s holds %s since %s", h.Workflow, h.Job, h.Lock, clock(h.AcquiredAt))
		}
	}
	return list
}

// others are the reasons that lie in other checks.
func (s Situation) others() []Refusal {
	var list []Refusal
	failing := Failing(s.Reports)
	for _, r := range s.Reports {
		if r.Name == s.Runbook.Trigger.Check && r.Cause != "" {
			list = append(list, Refusal{Rule: RuleCause, Text: fmt.Sprintf("the fault of %s is blamed on %s", r.Name, r.Cause)})
		}
	}
	if len(failing) > storm {
		list = append(list, Refusal{Rule: RuleStorm, Text: fmt.Sprintf("%d checks are critical at once: %s", len(failing), strings.Join(failing, ", "))})
	}
	return list
}

// Failing returns the names of the checks that are critical by themselves.
func Failing(reports []runner.CheckReport) []string {
	var names []string
	for _, r := range reports {
		if r.Health == runner.HealthCritical && r.Cause == "" {
			names = append(names, r.Name)
		}
	}
	return names
}

// past are the reasons that lie in earlier runs.
func (s Situation) past() []Refusal {
	var list []Refusal
	l := s.Runbook.Limits
	for _, run := range s.Runs {
		if !run.State.Final() {
			list = append(list, Refusal{Rule: RuleUnderWay, Text: fmt.Sprintf("run %s of it is %s", run.ID, run.State)})
		}
	}
	counted := s.counted()
	var last time.Time
	for _, run := range counted {
		if run.FinishedAt.After(last) {
			last = run.FinishedAt
		}
	}
	if until := last.Add(l.Cooldown); !last.IsZero() && s.Now.Before(until) {
		list = append(list, Refusal{
			Rule: RuleCooldown, Until: until,
			Text: fmt.Sprintf("the last run ended at %s, and the cool-down is %s", clock(last), unit.Duration(l.Cooldown)),
		})
	}
	if used, frees := s.Used(); l.Max > 0 && used >= l.Max {
		list = append(list, Refusal{
			Rule: RuleBudget, Until: frees,
			Text: fmt.Sprintf("it ran %d times within %s, which is all that it may", used, unit.Duration(l.Per)),
		})
	}
	return list
}

// Used returns how many runs count against the budget, and when the first of
// them no longer does.
func (s Situation) Used() (used int, frees time.Time) {
	for _, run := range s.counted() {
		until := run.StartedAt.Add(s.Runbook.Limits.Per)
		if !s.Now.Before(until) {
			continue
		}
		used++
		if frees.IsZero() || until.Before(frees) {
			frees = until
		}
	}
	return used, frees
}

// counted are the runs that count against the limits: those that the check
// started and that began, dry ones for a runbook that only observes.
func (s Situation) counted() []runner.Run {
	var list []runner.Run
	for _, run := range s.Runs {
		if run.Trigger == runner.ByCheck && !run.StartedAt.IsZero() && run.DryRun == (s.Runbook.Mode == Observe) {
			list = append(list, run)
		}
	}
	return list
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
