package service

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// mostRemedies is how many runs of a runbook its score rests on.
	mostRemedies = 1000
	// shownRemedies is how many of them its story tells.
	shownRemedies = 20
	// mostAilments bounds how many open incidents are looked at.
	mostAilments = 1000
)

// RunbookReader reads what speaks against starting runbooks, and what they did.
type RunbookReader interface {
	runbook.Records
	Remedies(ctx context.Context, f runner.RemedyFilter) ([]runner.Remedy, error)
}

// Playbook tells of the runbooks of a configuration by what is on record.
type Playbook struct {
	Config  *configs.Config
	Records RunbookReader
	// Series finds the latest value of a series.
	Series func(ctx context.Context, prefix string) ([]runner.Series, error)
	// Drained tells that nothing new starts.
	Drained bool
}

// Runbooks returns all runbooks in the order of the configuration.
func (p Playbook) Runbooks(ctx context.Context) ([]api.Runbook, error) {
	list := []api.Runbook{}
	for _, b := range p.Config.Runbooks() {
		story, err := p.story(ctx, b)
		if err != nil {
			return nil, err
		}
		list = append(list, story.Runbook)
	}
	return list, nil
}

// Runbook returns one runbook with its latest runs. CodeNotFound without it.
func (p Playbook) Runbook(ctx context.Context, name string) (api.RunbookStory, error) {
	b, err := p.find(name)
	if err != nil {
		return api.RunbookStory{}, err
	}
	story, err := p.story(ctx, b)
	story.Remedies = story.Remedies[:min(len(story.Remedies), shownRemedies)]
	return story, err
}

// find finds a runbook.
func (p Playbook) find(name string) (runbook.Runbook, error) {
	b, err := p.Config.Runbook(name)
	if err != nil {
		hint := jobs.HintOf(err)
		if hint == "" {
			hint = "`upkeep runbook list` shows the runbooks"
		}
		return b, api.NewProblem(api.CodeNotFound, hint, err.Error())
	}
	return b, nil
}

// story is what the ledger has of a runbook.
func (p Playbook) story(ctx context.Context, b runbook.Runbook) (api.RunbookStory, error) {
	v := api.RunbookStory{Remedies: []api.Remedy{}}
	v.Runbook = api.Runbook{Name: b.Name, Trigger: b.Trigger.String(), Mode: string(b.Mode), Limits: api.RunbookLimits{
		CooldownSeconds: b.Limits.Cooldown.Seconds(), Max: b.Limits.Max, PerSeconds: b.Limits.Per.Seconds(), GraceSeconds: b.Limits.Grace.Seconds(),
	}}
	pauses, err := p.Records.Pauses(ctx)
	if err != nil {
		return v, err
	}
	for _, pause := range pauses {
		if pause.Workflow == b.Name {
			v.Paused = pause.By + ": " + pause.Why
		}
	}
	remedies, err := p.Records.Remedies(ctx, runner.RemedyFilter{Workflow: b.Name, Limit: mostRemedies})
	if err != nil {
		return v, err
	}
	s := runbook.ScoreOf(remedies)
	v.Score = api.RunbookScore{
		Runs: s.Runs, Fixed: s.Fixed, NotFixed: s.NotFixed, Worse: s.Worse, Observed: s.Observed, Dropped: s.Dropped, Open: s.Open, Relapsed: s.Relapsed,
	}
	if rate, ok := s.Rate(); ok {
		v.Score.FixRate = &rate
	}
	if s.Fixed > 0 {
		seconds := s.TimeToFix.Seconds()
		v.Score.TimeToFixSeconds = &seconds
	}
	for _, r := range remedies {
		outcome := r.Outcome
		if outcome == runner.OutcomeOpen {
			outcome = "open"
		}
		v.Remedies = append(v.Remedies, api.Remedy{
			Run: r.Run, BegunAt: r.BegunAt, Report: r.Report, Outcome: outcome, Why: r.Why, DecidedAt: api.Instant(r.DecidedAt), RelapsedAt: api.Instant(r.RelapsedAt), Disabled: r.Disabled,
		})
	}
	return v, nil
}

// errDrained keeps what is due from starting.
var errDrained = errors.New("upkeep is drained: nothing new starts")

// Plan tells what a runbook would run now, and what would refuse it. Nothing is
// run. CodeNotFound without it.
func (p Playbook) Plan(ctx context.Context, name string) (api.RunbookPlan, error) {
	b, err := p.find(name)
	if err != nil {
		return api.RunbookPlan{}, err
	}
	b = here(p.Config, b)
	now := time.Now()
	s, err := runbook.Look(ctx, p.Records, b, now)
	if err != nil {
		return api.RunbookPlan{}, err
	}
	s.Locks = LocksOf(p.Config, b.Name)
	if p.Drained {
		s.Held = errDrained
	}
	if s.Reports, err = p.reports(ctx); err != nil {
		return api.RunbookPlan{}, err
	}
	v := api.RunbookPlan{
		Name: b.Name, Trigger: b.Trigger.String(), Mode: string(b.Mode), Jobs: []api.PlannedJob{}, Locks: append([]string{}, s.Locks...),
		Max: b.Limits.Max, PerSeconds: b.Limits.Per.Seconds(), Refusals: []api.RunbookRefusal{},
	}
	v.Used, _ = s.Used()
	if v.Check, err = p.check(ctx, b, s.Incidents, now); err != nil {
		return v, err
	}
	if w, err := p.Config.Workflow(b.Name); err == nil {
		for _, j := range w.Jobs {
			v.Jobs = append(v.Jobs, api.PlannedJob{Job: j.Name, Kind: j.Kind, Needs: append([]string{}, j.Needs...), If: j.If, About: j.Description})
		}
	}
	for _, r := range s.Refusals() {
		v.Refusals = append(v.Refusals, api.RunbookRefusal{Rule: string(r.Rule), Text: r.Text, Until: api.Instant(r.Until)})
	}
	return v, nil
}

// reports are the checks with an open incident, as far as that tells.
func (p Playbook) reports(ctx context.Context) ([]runner.CheckReport, error) {
	open, err := p.Records.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: mostAilments})
	if err != nil {
		return nil, err
	}
	var list []runner.CheckReport
	for _, i := range open {
		if i.Check == "" {
			continue
		}
		r := runner.CheckReport{Name: strings.TrimPrefix(i.Fingerprint, runbook.CheckFingerprint("")), Health: runner.HealthWarning, Cause: strings.TrimPrefix(i.Parent, runbook.CheckFingerprint(""))}
		if i.Severity == jobs.Critical {
			r.Health = runner.HealthCritical
		}
		list = append(list, r)
	}
	return list, nil
}

// check says how the check of a runbook is by its samples and its incident.
func (p Playbook) check(ctx context.Context, b runbook.Runbook, open []runner.Incident, now time.Time) (string, error) {
	t := b.Trigger
	series := "check." + t.Check + ".up"
	if t.Value != "" {
		series = "check." + t.Check + "." + t.Value
	}
	known, err := p.Series(ctx, series)
	if err != nil {
		return "", err
	}
	var said []string
	for _, s := range known {
		if s.Name != series {
			continue
		}
		age := unit.Duration(now.Sub(s.Last).Round(time.Second))
		switch {
		case t.Value == "" && s.Value > 0:
			said = append(said, fmt.Sprintf("%s answered well, %s ago", t.Check, age))
		case t.Value == "":
			said = append(said, fmt.Sprintf("%s is critical, %s ago", t.Check, age))
		default:
			said = append(said, fmt.Sprintf("%s is %g, %s ago", t.Value, math.Round(s.Value*1000)/1000, age))
		}
	}
	for _, i := range open {
		said = append(said, fmt.Sprintf("its incident is open since %s: %s", i.OpenedAt.Local().Format(time.DateTime), jobs.OneLine(i.Title)))
	}
	if len(said) == 0 {
		return "no answer of the check is on record", nil
	}
	return strings.Join(said, "; "), nil
}

// playbooks tells of the runbooks of the configuration in force.
type playbooks struct {
	e *Engine
	d *Daemon
}

var _ web.Runbooks = playbooks{}

func (p playbooks) now() Playbook {
	return Playbook{
		Config: p.e.Config(), Records: p.e.ledger, Series: p.e.ledger.Series, Drained: p.d != nil && p.d.gate.has(holdDrain),
	}
}

// Runbooks implements web.Runbooks.
func (p playbooks) Runbooks(ctx context.Context) ([]api.Runbook, error) { return p.now().Runbooks(ctx) }

// Runbook implements web.Runbooks.
func (p playbooks) Runbook(ctx context.Context, name string) (api.RunbookStory, error) {
	return p.now().Runbook(ctx, name)
}

// Plan implements web.Runbooks.
func (p playbooks) Plan(ctx context.Context, name string) (api.RunbookPlan, error) {
	return p.now().Plan(ctx, name)
}
