package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner/forecast"
	"github.com/ghosteam/upkeep/web/api"
)

type planFlags struct {
	days      int
	workflow  string
	aroundDST int
	strict    bool
}

func newPlan(a *app) *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show the coming slots and what could go wrong with them",
		Long: `Show what is due in the coming days, how long it usually takes, and what could go
wrong: workflows that meet themselves or each other, windows that close too early,
nights in which the clock changes, months without such a day, pauses that swallow
slots. --strict ends with exit code 1 when there is such a finding, for use in CI.`,
		Example: "  upkeep plan\n  upkeep plan --days 30 --strict\n  upkeep plan --around-dst 2027",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.plan(cmd.Context(), f)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().IntVar(&f.days, "days", 7, "how many `DAYS` to look ahead, 1 to 366")
	cmd.Flags().StringVarP(&f.workflow, "workflow", "w", "", "only this `WORKFLOW`")
	cmd.Flags().IntVar(&f.aroundDST, "around-dst", 0, "show the nights of this `YEAR` in which the clock changes instead")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "fail when there is a finding of severity warning or worse")
	completeFlag(cmd, "workflow", a.completeWorkflows)
	return cmd
}

func (a *app) plan(ctx context.Context, f planFlags) error {
	if f.days < 1 || f.days > 366 {
		return usagef("--days %d is not between 1 and 366", f.days)
	}
	if a.farServer() != "" {
		return a.planElsewhere(ctx, f)
	}
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	if f.workflow != "" {
		if _, err := cfg.Workflow(f.workflow); err != nil {
			return hintIfNone(&notFoundError{err: err}, "`upkeep list` shows the workflows")
		}
	}
	if f.aroundDST != 0 {
		return a.list(listNights(service.AroundDST(cfg, f.workflow, f.aroundDST)))
	}
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer reader.Close()
	now := time.Now()
	plan, err := service.Forecast(ctx, cfg, reader.slots, f.workflow, now, now.AddDate(0, 0, f.days), 0)
	if err != nil {
		return err
	}
	return a.showForecast(plan, f)
}

// planElsewhere shows what a service elsewhere expects.
func (a *app) planElsewhere(ctx context.Context, f planFlags) error {
	if f.aroundDST != 0 {
		return errHere()
	}
	c, err := a.farther()
	if err != nil {
		return err
	}
	now := time.Now()
	answer, err := c.Plan(ctx, f.workflow, now, now.AddDate(0, 0, f.days), 0)
	if err != nil {
		return err
	}
	plan := forecast.Forecast{From: answer.From, Until: answer.Until, Total: int64(len(answer.Slots)), Listed: int64(len(answer.Slots))}
	for _, s := range answer.Slots {
		zone, err := time.LoadLocation(s.Zone)
		if err != nil {
			zone = time.UTC
		}
		line := forecast.Slot{
			Workflow: s.Workflow, RunsOn: s.RunsOn, Slot: s.Slot.In(zone), Count: max(s.Slots, 1), Usual: seconds(s.UsualSeconds), Fate: forecast.Fate(cmp.Or(string(s.Reason), string(forecast.FateRuns))), Why: s.Note,
		}
		if s.LastSlot != nil {
			line.Last, line.Rule = s.LastSlot.In(zone), s.Note
		}
		if s.EndsAt != nil {
			line.Ends = s.EndsAt.In(zone)
		}
		plan.Slots = append(plan.Slots, line)
	}
	for _, x := range answer.Remarks {
		found := forecast.Finding{Severity: x.Severity, Kind: forecast.Kind(x.Rule), Workflows: x.Workflows, Count: 1, Text: x.Text, Hint: x.Hint}
		if x.At != nil {
			found.At = *x.At
		}
		plan.Findings = append(plan.Findings, found)
	}
	return a.showForecast(plan, f)
}

// showForecast lists a plan with what could go wrong.
func (a *app) showForecast(plan forecast.Forecast, f planFlags) error {
	if err := a.list(a.listPlan(plan)); err != nil {
		return err
	}
	bad := 0
	for _, x := range plan.Findings {
		if a.format == formatTable {
			a.tellFinding(x)
		}
		if x.Severity != jobs.Info {
			bad++
		}
	}
	if a.format == formatTable {
		for kind, n := range plan.Unlisted {
			fmt.Fprintf(a.std.Err, "and %s more about %s\n", count(n, "finding"), kind)
		}
	}
	if f.strict && (bad > 0 || plan.Worst != "" && plan.Worst != jobs.Info) {
		return &findingsFound{count: max(bad, 1)}
	}
	return nil
}

// findingsFound says that a strict look found something; it has been shown
// already.
type findingsFound struct{ count int }

func (e *findingsFound) Error() string { return count(e.count, "finding") }

func (a *app) tellFinding(x forecast.Finding) {
	fmt.Fprintf(a.std.Err, "%s: %s\n", x.Severity, oneLine(x.Text, 0))
	if x.Hint != "" {
		fmt.Fprintf(a.std.Err, "  hint: %s\n", oneLine(x.Hint, 0))
	}
}

// listPlan makes the forms of a plan. Instants are shown in the zone of the
// workflow.
func (a *app) listPlan(plan forecast.Forecast) listing {
	const layout = "Mon 2006-01-02 15:04 MST"
	l := listing{
		columns: []string{"SLOT", "WORKFLOW", "RUNS ON", "SLOTS", "USUALLY", "EXPECTED", "NOTE"},
		empty:   "nothing is due in that time",
		data:    viewPlan(plan),
	}
	p := a.painter(a.std.Out)
	for _, s := range plan.Slots {
		usual, expected, slots := "-", string(s.Fate), ""
		if s.Usual > 0 {
			usual = unit.Took(s.Usual)
		}
		if s.Count > 1 {
			slots, expected = strconv.FormatInt(s.Count, 10), s.Rule
		}
		if s.Fate.Skipped() && s.Count <= 1 {
			expected = p.yellow(expected)
		}
		l.rows = append(l.rows, []string{s.Slot.Format(layout), s.Workflow, api.PlaceWords(s.RunsOn), slots, usual, expected, oneLine(s.Why, 0)})
	}
	return l
}

// planView is the JSON form of a plan.
type planView struct {
	From     time.Time         `json:"from"`
	Until    time.Time         `json:"until"`
	Total    int64             `json:"total"`
	Slots    []plannedView     `json:"slots"`
	Findings []planFindingView `json:"findings"`
}

// plannedView is the JSON form of a coming slot, or of many of one workflow.
type plannedView struct {
	Workflow     string        `json:"workflow"`
	Slot         time.Time     `json:"slot"`
	Local        string        `json:"local"`
	Count        int64         `json:"count"`
	Last         *time.Time    `json:"last"`
	DelaySeconds float64       `json:"delay_seconds"`
	UsualSeconds float64       `json:"usual_seconds"`
	EndsAt       *time.Time    `json:"ends_at"`
	Fate         forecast.Fate `json:"fate"`
	Why          string        `json:"why"`
	RunsOn       string        `json:"runs_on"`
}

// planFindingView is the JSON form of what could go wrong.
type planFindingView struct {
	Severity  jobs.Severity `json:"severity"`
	Kind      forecast.Kind `json:"kind"`
	Workflows []string      `json:"workflows"`
	At        *time.Time    `json:"at"`
	Count     int64         `json:"count"`
	Text      string        `json:"text"`
	Hint      string        `json:"hint"`
}

func viewPlan(plan forecast.Forecast) planView {
	v := planView{From: plan.From.UTC(), Until: plan.Until.UTC(), Total: plan.Total, Slots: []plannedView{}, Findings: []planFindingView{}}
	for _, s := range plan.Slots {
		v.Slots = append(v.Slots, plannedView{
			Workflow: s.Workflow, Slot: s.Slot.UTC(), Local: s.Slot.Format(time.RFC3339), Count: s.Count, Last: api.Instant(s.Last),
			DelaySeconds: s.Delay.Seconds(), UsualSeconds: s.Usual.Seconds(), EndsAt: api.Instant(s.Ends), Fate: s.Fate, Why: s.Why, RunsOn: s.RunsOn,
		})
	}
	for _, x := range plan.Findings {
		names := slices.Clone(x.Workflows)
		if names == nil {
			names = []string{}
		}
		v.Findings = append(v.Findings, planFindingView{
			Severity: x.Severity, Kind: x.Kind, Workflows: names, At: api.Instant(x.At), Count: x.Count, Text: x.Text, Hint: x.Hint,
		})
	}
	return v
}

// nightView is the JSON form of what a workflow does around a clock change.
type nightView struct {
	Zone     string      `json:"zone"`
	At       time.Time   `json:"at"`
	Workflow string      `json:"workflow"`
	Slots    []time.Time `json:"slots"`
	Count    int64       `json:"count"`
	Hazards  []string    `json:"hazards"`
}

func listNights(nights []forecast.Night) listing {
	l := listing{
		columns: []string{"CLOCK CHANGE", "WORKFLOW", "SLOTS", "WHAT IT DOES"},
		empty:   "no schedule has a slot near a clock change of that year",
	}
	views := []nightView{}
	for _, n := range nights {
		at := n.At.In(n.Zone).Format("Mon 2006-01-02 15:04 MST")
		for _, row := range n.Rows {
			v := nightView{Zone: n.Zone.String(), At: n.At.UTC(), Workflow: row.Workflow, Slots: []time.Time{}, Count: row.Count, Hazards: []string{}}
			var clock []string
			for _, slot := range row.Slots {
				v.Slots = append(v.Slots, slot.UTC())
				clock = append(clock, slot.In(n.Zone).Format("15:04 MST"))
			}
			what := "as usual"
			for _, h := range row.Hazards {
				v.Hazards = append(v.Hazards, h.Text)
				what = h.Text
			}
			views = append(views, v)
			l.rows = append(l.rows, []string{at, row.Workflow, strings.Join(clock, " "), what})
		}
	}
	l.data = views
	return l
}
