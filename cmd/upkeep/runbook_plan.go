package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

func newRunbookPlan(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan NAME",
		Short: "Show what a runbook would run now, and what would refuse it",
		Long: `Show how the check of a runbook is, as far as the ledger knows, the jobs that would run
and the locks that they take, what is left of its budget, and everything that would
keep its check from starting it now. Nothing is run: ` + "`upkeep run NAME --dry-run`" + ` shows what
each job would do.

Exit code 4 when something would refuse it.`,
		Example:           "  upkeep runbook plan high-memory\n  upkeep runbook plan high-memory -o json",
		ValidArgsFunction: a.completeRunbooks,
		RunE:              func(cmd *cobra.Command, given []string) error { return a.planRunbook(cmd.Context(), given[0]) },
	}
	a.outputFlag(cmd)
	return cmd
}

// runbookPlan is what would happen now, as -o json shows it.
type runbookPlan struct {
	Name    string       `json:"name"`
	Trigger string       `json:"trigger"`
	Mode    runbook.Mode `json:"mode"`
	// Check says in one line how the check is, as far as the ledger knows.
	Check string `json:"check"`
	// Jobs are in the order of the file.
	Jobs  []plannedJobView `json:"jobs"`
	Locks []string         `json:"locks"`
	// Used of Max runs are used up.
	Used int `json:"used"`
	Max  int `json:"max"`
	// Refusals are what would keep it from starting.
	Refusals []refusalView `json:"refusals"`
}

type plannedJobView struct {
	Job   string   `json:"job"`
	Kind  string   `json:"kind"`
	Needs []string `json:"needs"`
	If    string   `json:"if"`
	About string   `json:"about"`
}

type refusalView struct {
	Rule  runbook.Rule `json:"rule"`
	Text  string       `json:"text"`
	Until *time.Time   `json:"until"`
}

func (a *app) planRunbook(ctx context.Context, name string) error {
	cfg, b, reader, err := a.runbookOf(ctx, name)
	if err != nil {
		return err
	}
	defer reader.Close()
	now := time.Now()
	s, err := runbook.Look(ctx, reader.runbooks, b, now)
	if err != nil {
		return err
	}
	s.Locks = service.LocksOf(cfg, b.Name)
	if err := a.held(ctx, &s); err != nil {
		return err
	}
	if s.Reports, err = reportsOnRecord(ctx, reader); err != nil {
		return err
	}
	p := runbookPlan{Name: b.Name, Trigger: b.Trigger.String(), Mode: b.Mode, Locks: append([]string{}, s.Locks...), Max: b.Limits.Max, Refusals: []refusalView{}}
	p.Used, _ = s.Used()
	if p.Check, err = checkOnRecord(ctx, reader, b, s.Incidents, now); err != nil {
		return err
	}
	if w, err := cfg.Workflow(b.Name); err == nil {
		for _, j := range w.Jobs {
			p.Jobs = append(p.Jobs, plannedJobView{Job: j.Name, Kind: j.Kind, Needs: append([]string{}, j.Needs...), If: j.If, About: j.Description})
		}
	}
	for _, r := range s.Refusals() {
		p.Refusals = append(p.Refusals, refusalView{Rule: r.Rule, Text: r.Text, Until: maybe(r.Until)})
	}
	if err := a.showPlan(p, b); err != nil {
		return err
	}
	if len(p.Refusals) > 0 {
		return skippedf("", "%s would not start now: %s", b.Name, p.Refusals[0].Text)
	}
	return nil
}

// showPlan writes a plan in the format that the user chose.
func (a *app) showPlan(p runbookPlan, b runbook.Runbook) error {
	l := listing{columns: []string{"JOB", "KIND", "NEEDS", "IF"}, data: p}
	for _, j := range p.Jobs {
		l.rows = append(l.rows, []string{j.Job, j.Kind, strings.Join(j.Needs, ", "), j.If})
	}
	if a.format != formatTable {
		return a.list(l)
	}
	then := map[runbook.Mode]string{
		runbook.Auto: "it runs by itself", runbook.Approve: "it waits for approval", runbook.Observe: "a dry run shows what it would do",
	}
	facts := [][2]string{
		{"runbook", p.Name},
		{"when", p.Trigger},
		{"now", p.Check},
		{"mode", fmt.Sprintf("%s: %s", p.Mode, then[p.Mode])},
		{"budget", fmt.Sprintf("%d of %d within %s are used", p.Used, p.Max, unit.Duration(b.Limits.Per))},
	}
	if len(p.Locks) > 0 {
		facts = append(facts, [2]string{"locks", strings.Join(p.Locks, ", ")})
	}
	for _, r := range p.Refusals {
		text := string(r.Rule) + ": " + oneLine(r.Text, 0)
		if r.Until != nil {
			text += ", until " + stamp(*r.Until)
		}
		facts = append(facts, [2]string{"refused", text})
	}
	if len(p.Refusals) == 0 {
		facts = append(facts, [2]string{"refused", "nothing stands in its way"})
	}
	for _, f := range facts {
		fmt.Fprintf(a.std.Out, "%-8s  %s\n", f[0], f[1])
	}
	fmt.Fprintln(a.std.Out)
	return a.list(l)
}

// errDrained keeps what is due from starting.
var errDrained = errors.New("upkeep is drained: nothing new starts")

// held tells why the service, if there is one, starts nothing new.
func (a *app) held(ctx context.Context, s *runbook.Situation) error {
	_, c, err := a.readingOrHolder(ctx)
	if err != nil || c == nil {
		return err
	}
	status, err := c.Status(ctx)
	if err == nil && status.Draining {
		s.Held = errDrained
	}
	return err
}

// mostIncidents bounds how many open incidents are looked at.
const mostIncidents = 1000

// reportsOnRecord are the checks with an open incident, as far as that tells.
func reportsOnRecord(ctx context.Context, reader history) ([]runner.CheckReport, error) {
	open, err := reader.alerts.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: mostIncidents})
	if err != nil {
		return nil, err
	}
	var list []runner.CheckReport
	for _, i := range open {
		if i.Check == "" {
			continue
		}
		r := runner.CheckReport{Name: i.Check, Health: runner.HealthWarning, Cause: strings.TrimPrefix(i.Parent, runbook.CheckFingerprint(""))}
		if i.Severity == jobs.Critical {
			r.Health = runner.HealthCritical
		}
		list = append(list, r)
	}
	return list, nil
}

// checkOnRecord says how a check is by its samples and its incident.
func checkOnRecord(ctx context.Context, reader history, b runbook.Runbook, open []runner.Incident, now time.Time) (string, error) {
	t := b.Trigger
	series := "check." + t.Check + ".up"
	if t.Value != "" {
		series = "check." + t.Check + "." + t.Value
	}
	known, err := reader.facts.Series(ctx, series)
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
		said = append(said, fmt.Sprintf("its incident is open since %s: %s", stamp(i.OpenedAt), oneLine(i.Title, mostAbout)))
	}
	if len(said) == 0 {
		return "no answer of the check is on record", nil
	}
	return strings.Join(said, "; "), nil
}
