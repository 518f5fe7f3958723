package service

import (
	"context"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/forecast"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// catalog is the configuration in force as the API shows it.
type catalog struct{ e *Engine }

var _ web.Catalog = catalog{}

// Workflows implements web.Catalog.
func (c catalog) Workflows() []web.Workflow { return configuredWorkflows(c.e.Config(), time.Now()) }

func configuredWorkflows(cfg *configs.Config, now time.Time) []web.Workflow {
	list := make([]web.Workflow, 0, len(cfg.Workflows))
	for _, w := range cfg.Workflows {
		v := web.Workflow{
			Name: w.Name, Description: w.Description, Schedule: "on request", Zone: w.Zone.String(), FreshWithin: w.FreshWithin, RunsOn: w.Where(),
		}
		for _, j := range w.Jobs {
			v.Jobs = append(v.Jobs, j.Name)
		}
		if w.Trigger != nil {
			v.Schedule = "when " + w.Trigger.String()
		}
		if next, ok := w.Schedule.Next(now); ok {
			v.Schedule, v.Next = w.Schedule.Describe(), next.UTC()
		}
		list = append(list, v)
	}
	return list
}

// Plan implements web.Catalog.
func (c catalog) Plan(ctx context.Context, workflow string, from, until time.Time, limit int) (api.Plan, error) {
	cfg := c.e.Config()
	if workflow != "" {
		if _, err := cfg.Workflow(workflow); err != nil {
			return api.Plan{}, noWorkflow(err)
		}
	}
	f, err := Forecast(ctx, cfg, c.e.ledger, workflow, from, until, limit)
	if err != nil {
		return api.Plan{}, err
	}
	return planOf(f), nil
}

// Forecast says what is to be expected of a configuration, of one workflow or,
// when the name is empty, of all, at most limit lines.
func Forecast(ctx context.Context, cfg *configs.Config, slots runner.SlotReader, workflow string, from, until time.Time, limit int) (forecast.Forecast, error) {
	in := forecast.Input{Now: from, Until: until, MaxRunning: cfg.MaxRunning, MaxLines: limit}
	var names []string
	for _, w := range cfg.Workflows {
		if workflow != "" && w.Name != workflow || w.Schedule.IsZero() {
			continue
		}
		names = append(names, w.Name)
		in.Workflows = append(in.Workflows, forecastable(cfg, w))
	}
	var err error
	if in.Usual, err = slots.Usual(ctx, names); err != nil {
		return forecast.Forecast{}, err
	}
	if in.Pauses, err = slots.Pauses(ctx); err != nil {
		return forecast.Forecast{}, err
	}
	return forecast.Of(in), nil
}

// delayOf is by how much the starts of a workflow are delayed, as the ticker
// of this node does it.
func delayOf(cfg *configs.Config, w *configs.Workflow) time.Duration {
	host := cfg.Node
	if shared(cfg) && !w.EveryNode {
		host = "" // it starts at the same instant whichever node decides
	}
	return schedule.Jitter(w.Jitter, w.Name, host).Truncate(time.Second)
}

// forecastable is what the forecast needs to know about a workflow.
func forecastable(cfg *configs.Config, w *configs.Workflow) forecast.Workflow {
	v := forecast.Workflow{
		Name: w.Name, Schedule: w.Schedule, Window: w.Window, Delay: delayOf(cfg, w),
		Overlap: w.Overlap, Timeout: w.Timeout, RunsOn: w.Where(),
	}
	v.Locks = LocksOf(cfg, w.Name)
	return v
}

// planOf is a forecast as the API answers it.
func planOf(f forecast.Forecast) api.Plan {
	p := api.Plan{From: f.From.UTC(), Until: f.Until.UTC(), Slots: []api.PlannedSlot{}, Remarks: []api.Remark{}, More: f.Listed < f.Total}
	for _, s := range f.Slots {
		v := api.PlannedSlot{
			Workflow: s.Workflow, Slot: s.Slot.UTC(), Local: s.Slot.Format("2006-01-02 15:04:05"), Zone: s.Slot.Location().String(), RunsOn: s.RunsOn,
			UsualSeconds: s.Usual.Seconds(), Beside: []string{}, Note: s.Why, Slots: max(s.Count, 1), EndsAt: api.Instant(s.Ends),
		}
		if s.Fate.Skipped() {
			v.Reason = runner.Reason(s.Fate)
		}
		if s.Count > 1 {
			v.Note, v.LastSlot = fmt.Sprintf("%s: %d slots", s.Rule, s.Count), api.Instant(s.Last)
		}
		p.Slots = append(p.Slots, v)
	}
	for _, x := range f.Findings {
		name := ""
		if len(x.Workflows) > 0 {
			name = x.Workflows[0]
		}
		p.Remarks = append(p.Remarks, api.Remark{
			Workflow: name, Rule: string(x.Kind), At: api.Instant(x.At), Text: x.Text, Hint: x.Hint, Severity: x.Severity, Workflows: append([]string{}, x.Workflows...),
		})
	}
	return p
}

// Why implements web.Catalog.
func (c catalog) Why(ctx context.Context, workflow, date, node string) (api.Why, error) {
	cfg := c.e.Config()
	var members []api.Member
	if shared(cfg) {
		var err error
		if members, err = MembersOf(ctx, c.e.ledger); err != nil {
			return api.Why{}, err
		}
	}
	answer, err := Explain(ctx, cfg, c.e.ledger, members, Inquiry{workflow, date, node}, time.Now())
	if err != nil {
		return api.Why{}, err
	}
	return WhyOf(cfg, workflow, answer), nil
}

// Nodes implements web.Catalog.
func (c catalog) Nodes(ctx context.Context) ([]api.Node, error) {
	nodes, err := c.e.ledger.Nodes(ctx)
	return NodesOf(nodes), err
}

// NodesOf are nodes as the API answers them.
func NodesOf(nodes []ledger.Node) []api.Node {
	list := make([]api.Node, len(nodes))
	for i, n := range nodes {
		list[i] = api.Node{
			Instance: n.Instance, Name: n.Name, Host: n.Host, PID: n.PID, Version: n.Version, Command: n.Command,
			Labels: append([]string{}, n.Labels...), RegisteredAt: n.RegisteredAt.UTC(), LeaseUntil: api.Instant(n.LeaseUntil), Alive: n.Alive,
		}
	}
	return list
}

// AroundDST returns what workflows do around the clock changes of a year.
func AroundDST(cfg *configs.Config, workflow string, year int) []forecast.Night {
	var list []forecast.Workflow
	for _, w := range cfg.Workflows {
		if workflow == "" || w.Name == workflow {
			list = append(list, forecastable(cfg, w))
		}
	}
	return forecast.AroundDST(year, list)
}

// mostUnderWay bounds how many runs under way are counted.
const mostUnderWay = 10_000

// sinceOf is when a workflow was first seen; zero when it was not yet.
func sinceOf(workflow string, cursors []runner.Cursor) time.Time {
	for _, c := range cursors {
		if c.Workflow == workflow && c.Host == "" {
			return c.Since
		}
	}
	return time.Time{}
}

// Workflows lists a configuration with what the ledger says about it, for
// where no service runs. interrupted tells whether nobody works on an open
// run.
func Workflows(ctx context.Context, cfg *configs.Config, runs runner.Reader, slots runner.SlotReader, interrupted func(context.Context, runner.Run) (bool, error)) ([]api.Workflow, error) {
	configured := configuredWorkflows(cfg, time.Now())
	names := make([]string, len(configured))
	for i, w := range configured {
		names[i] = w.Name
	}
	latest, err := runs.Latest(ctx, names)
	if err != nil {
		return nil, err
	}
	successes, err := slots.Successes(ctx, names)
	if err != nil {
		return nil, err
	}
	pauses, err := slots.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	cursors, err := slots.Cursors(ctx, "")
	if err != nil {
		return nil, err
	}
	var shares []runner.Share
	if names := web.Shared(configured); len(names) > 0 {
		if shares, err = slots.Shares(ctx, names); err != nil {
			return nil, err
		}
	}
	underWay, err := runs.Runs(ctx, runner.Filter{States: []runner.State{runner.Running}, Limit: mostUnderWay})
	if err != nil {
		return nil, err
	}
	list := make([]api.Workflow, len(configured))
	for i, w := range configured {
		v := api.Workflow{
			Name: w.Name, Description: w.Description, Schedule: w.Schedule, Zone: w.Zone, Next: api.Instant(w.Next), RunsOn: w.RunsOn,
			Jobs: append([]string{}, w.Jobs...), LastSuccess: api.Instant(successes[w.Name]), FreshWithinSeconds: w.FreshWithin.Seconds(),
		}
		for _, run := range underWay {
			if run.Spec.Workflow == w.Name {
				v.Running++
			}
		}
		v.Fresh = web.Fresh(w, successes[w.Name], sinceOf(w.Name, cursors), shares, time.Now())
		for _, p := range pauses {
			if p.Workflow == w.Name {
				pause := api.NewPause(p)
				v.Paused = &pause
			}
		}
		if run, ok := latest[w.Name]; ok {
			cut, err := interrupted(ctx, run)
			if err != nil {
				return nil, err
			}
			v.Last = api.NewLast(run, cut)
		}
		list[i] = v
	}
	return list, nil
}
