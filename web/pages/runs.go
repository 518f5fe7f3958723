package pages

import (
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// runsView lists runs.
type runsView struct {
	Rows []runRow
	// Workflows are those to choose from; with too many one writes a name.
	Workflows               []choice
	Workflow                string
	States, Triggers, Since []choice
	Filtered                bool
	Pager                   pagerView
	Empty                   emptyView
}

// choice is an option of a filter.
type choice struct {
	Value, Text string
	Chosen      bool
}

// runRow is one run in a list.
type runRow struct {
	ID       runner.RunID
	Workflow string
	State    badge
	At       time.Time
	Zone     *time.Location
	Took     string
	Why      string
	Message  string
	Trigger  string
	By       string
	DryRun   bool
	Slots    int64
	// Host is the node whose own run it is; Hosts are all of the slot when the row
	// stands for them.
	Host  string
	Hosts *hostsView
}

// runsPerPage is how many runs a page lists, mostChoices the most workflows to
// choose from.
const (
	runsPerPage = 50
	mostChoices = 200
)

func (p *Pages) registerRuns() {
	p.page("GET /runs", p.runList)
	p.page("GET /runs/{id}", p.run)
	p.action("POST /do/runs/{id}/cancel", p.cancelRun)
	p.action("POST /do/runs/{id}/retry", p.retryRun)
	p.action("POST /do/runs/{id}/approve", p.approveRun)
}

func (p *Pages) runList(v *visit) (page, error) {
	filter, err := v.runFilter()
	if err != nil {
		return page{}, err
	}
	list, err := v.api.RunPage(v.ctx, filter, false)
	if err != nil {
		return page{}, err
	}
	view := runsView{Filtered: len(filter.States)+len(filter.Triggers) > 0 || filter.Workflow != "" || !filter.Since.IsZero()}
	for _, r := range list.Runs {
		view.Rows = append(view.Rows, v.runRow(r))
	}
	if list.Next != "" {
		view.Pager.Next = v.with("before", list.Next)
	}
	if filter.Before != "" {
		view.Pager.First = v.with("before", "")
	}
	if err := v.choices(&view); err != nil {
		return page{}, err
	}
	view.Empty = emptyView{Title: "Nothing has run yet", Text: "A run appears here as soon as it is due or somebody asks for it.", Command: "upkeep run WORKFLOW"}
	if view.Filtered || filter.Before != "" {
		view.Empty = emptyView{Title: "No run fits", Text: "Choose other filters, or none."}
	}
	shown := page{sheet: "runs", title: "Runs", nav: "runs", data: view}
	if filter.Before == "" {
		shown.refresh = listRefresh
	}
	return shown, nil
}

// runFilter reads what the address asks for.
func (v *visit) runFilter() (runner.Filter, error) {
	f := runner.Filter{Workflow: v.query("workflow"), Before: runner.RunID(v.query("before")), Limit: runsPerPage}
	for word := range strings.SplitSeq(v.query("state"), ",") {
		if word != "" {
			f.States = append(f.States, runner.State(word))
		}
	}
	if word := v.query("trigger"); word != "" {
		f.Triggers = []runner.Trigger{runner.Trigger(word)}
	}
	if word := v.query("since"); word != "" {
		if back, err := unit.ParseDuration(word); err == nil {
			f.Since = v.now.Add(-back)
			return f, nil
		}
		day, err := time.ParseInLocation(time.DateOnly, word, v.zone(f.Workflow))
		if err != nil {
			return f, api.NewProblem(api.CodeInvalid, "write a date such as 2026-11-23, or how long ago, such as 7d", "since makes no sense")
		}
		f.Since = day
	}
	return f, nil
}

// choices are the filters, with what is chosen.
func (v *visit) choices(view *runsView) error {
	configured, err := v.workflows()
	if err != nil {
		return err
	}
	chosen := v.query("workflow")
	view.Workflow = chosen
	if len(configured) <= mostChoices {
		view.Workflows = []choice{{Text: "all workflows"}}
		for _, w := range configured {
			view.Workflows = append(view.Workflows, choice{Value: w.Name, Text: w.Name})
		}
		if !choose(view.Workflows, chosen) { // it is no longer configured
			view.Workflows = append(view.Workflows, choice{chosen, chosen, true})
		}
	}
	view.States = []choice{{Text: "any state"}, {Value: "failed,lost", Text: "failed or lost"}, {Value: "queued,running", Text: "not ended"}}
	for _, s := range runner.States() {
		view.States = append(view.States, choice{Value: string(s), Text: string(s)})
	}
	view.Triggers = []choice{{Text: "any trigger"}}
	for _, t := range runner.Triggers() {
		view.Triggers = append(view.Triggers, choice{Value: string(t), Text: triggered(t)})
	}
	view.Since = []choice{{Text: "any time"}, {Value: "24h", Text: "last 24 hours"}, {Value: "7d", Text: "last 7 days"}, {Value: "30d", Text: "last 30 days"}}
	choose(view.States, v.query("state"))
	choose(view.Triggers, v.query("trigger"))
	if since := v.query("since"); !choose(view.Since, since) {
		view.Since = append(view.Since, choice{since, "since " + since, true})
	}
	return nil
}

// choose marks what is chosen, and tells whether it is among the choices.
func choose(list []choice, value string) bool {
	at := slices.IndexFunc(list, func(c choice) bool { return c.Value == value })
	if at >= 0 {
		list[at].Chosen = true
	}
	return at >= 0
}

func (v *visit) runRow(r api.RunRecord) runRow {
	row := runRow{
		ID: r.ID, Workflow: r.Workflow, State: runBadge(r.State, r.Interrupted, needsApproval(r.Run)), At: r.QueuedAt, Zone: v.zone(r.Workflow), Why: because(r.Reason),
		Message: cut(safe(r.Message), longestMessage), Trigger: triggered(r.Trigger), By: r.By, DryRun: r.DryRun, Slots: r.Slots, Host: r.Host,
	}
	if r.Interrupted {
		row.Why = "nobody works on it"
	}
	if r.StartedAt != nil {
		row.At = *r.StartedAt
		row.Took = tookSeconds(v.now.Sub(row.At).Seconds())
	}
	if r.FinishedAt != nil {
		row.Took = tookSeconds(r.DurationSeconds)
		if r.State == runner.Skipped {
			row.Took = ""
		}
	}
	return row
}

// longestMessage bounds the text of a run in a list, in bytes.
const longestMessage = 160
