package pages

import (
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// workflowView is the page of one workflow.
type workflowView struct {
	workflowRow

	Zone       *time.Location
	ZoneName   string
	Facts      [][2]string
	Params     []api.WorkflowParam
	Jobs       []string
	Graph      graphView
	Nodes      []nodeRow
	Durations  chartView
	Calendar   calendarView
	Runs       []runRow
	Definition string
	Digest     string
	Stale      bool
	// Places are where a run may be asked for; none with one node.
	Places []choice
}

// nodeRow is a job of the graph as a row.
type nodeRow struct {
	Name, Kind, Description string
	Needs                   string
	Terms                   string
	State                   *badge
}

const (
	// charted is how many runs the chart of durations shows.
	charted = 100
	// listedRuns is how many runs the page of a workflow lists.
	listedRuns = 12
	// hostsPerSlot is how many nodes a slot is expected to have when it has a run
	// on every node: with more, fewer slots are listed.
	hostsPerSlot = 20
)

func (p *Pages) workflow(v *visit) (page, error) {
	d, err := v.api.WorkflowDetail(v.ctx, v.PathValue("name"), charted)
	if err != nil {
		return page{}, err
	}
	zone := location(d.Zone)
	d.Workflow = withSlot(d.Workflow)
	view := workflowView{
		workflowRow: rowOf(d.Workflow, v.now), Zone: zone, ZoneName: d.Zone, Facts: factsOf(d), Params: d.Params, Jobs: d.Jobs,
		Definition: safe(d.Definition), Digest: d.Digest, Stale: d.Fresh != nil && !*d.Fresh,
	}
	view.Strip = stripOf(d.Name, d.Recent, zone)
	states, err := v.newestStates(d)
	if err != nil {
		return page{}, err
	}
	view.Graph = graphOf(d.Graph, states, func(job string) string {
		if d.Last == nil {
			return ""
		}
		return runPath(d.Last.ID) + "#job-" + job
	})
	for _, j := range d.Graph {
		view.Nodes = append(view.Nodes, nodeOf(j, states))
	}
	view.Durations = durationsOf(d.Recent, zone)
	if view.Calendar, err = v.calendar(d.Name, zone); err != nil {
		return page{}, err
	}
	read := listedRuns
	if strings.HasPrefix(d.RunsOn, onEvery) {
		read = listedRuns * hostsPerSlot
	}
	list, err := v.api.RunPage(v.ctx, runner.Filter{Workflow: d.Name, Limit: read}, false)
	if err != nil {
		return page{}, err
	}
	view.Runs = v.slotRows(list.Runs, listedRuns)
	if p.o.Who(v.ctx).Operator {
		view.Places = v.places(d.RunsOn)
	}
	return page{sheet: "workflow", title: d.Name, nav: "workflows", refresh: listRefresh, zone: zone, data: view}, nil
}

// newestStates are the states of the jobs in the newest run.
func (v *visit) newestStates(d api.WorkflowDetail) (map[string]badge, error) {
	states := map[string]badge{}
	if d.Last == nil {
		return states, nil
	}
	record, err := v.api.Record(v.ctx, string(d.Last.ID))
	if err != nil {
		return nil, err
	}
	for name, job := range record.Jobs {
		states[name] = badgeOf(job.State)
	}
	return states, nil
}

// factsOf are the terms of a workflow that are not as usual, and those that
// everybody asks for.
func factsOf(d api.WorkflowDetail) [][2]string {
	var facts [][2]string
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, [2]string{name, text})
		}
	}
	add("Schedule", d.Schedule)
	if d.Usual != nil {
		add("Usually takes", tookSeconds(d.Usual.MedianSeconds)+"; 95 of 100 at most "+tookSeconds(d.Usual.P95Seconds))
	}
	if d.Timeout > 0 {
		add("At most", tookSeconds(d.Timeout))
	}
	if d.FreshWithinSeconds > 0 {
		add("To succeed every", roughly(time.Duration(d.FreshWithinSeconds*float64(time.Second))))
	}
	add("If the last still runs", overlapText(d.Overlap))
	add("Missed slots", d.CatchUp)
	add("Window", d.Window)
	if d.RunsOn != onAny {
		add("Runs on", placeWords(d.RunsOn))
	}
	if d.Jitter > 0 {
		add("Delayed by up to", tookSeconds(d.Jitter))
	}
	if d.Approval {
		add("Approval", "its scheduled runs wait for somebody")
	}
	add("Makes backups", words(d.Makes))
	return facts
}

func overlapText(o runner.Overlap) string {
	switch o {
	case "skip":
		return "the slot is skipped"
	case "queue":
		return "the run waits for it"
	case "allow":
		return "both run"
	}
	return string(o)
}

func nodeOf(j api.JobNode, states map[string]badge) nodeRow {
	row := nodeRow{Name: j.Name, Kind: j.Kind, Description: j.Description, Needs: words(j.Needs)}
	if b, ok := states[j.Name]; ok {
		row.State = &b
	}
	var terms []string
	switch j.When {
	case "always":
		terms = append(terms, "always")
	case "failure":
		terms = append(terms, "when something failed")
	}
	if j.If != "" {
		terms = append(terms, "if "+j.If)
	}
	if j.TimeoutSeconds > 0 {
		terms = append(terms, "at most "+tookSeconds(j.TimeoutSeconds))
	}
	if j.Retries > 0 {
		terms = append(terms, "retried "+times(j.Retries))
	}
	if j.ContinueOnError {
		terms = append(terms, "its failure is a warning")
	}
	if len(j.Locks) > 0 {
		terms = append(terms, "locks "+words(j.Locks))
	}
	row.Terms = strings.Join(terms, "; ")
	return row
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return count(n, "time")
}

// durationsOf charts how long runs took, which come newest first.
func durationsOf(list []api.RecentRun, zone *time.Location) chartView {
	list = foldRecent(list)
	chart := chartView{
		ID: "durations", Title: "How long the newest runs took; a click opens the run", XName: "started", Series: []string{"state", "took"},
		Plot: plot{Unit: "seconds", Zone: zone.String(), Height: 190},
	}
	lines := []chartLine{{Label: "did its work", Tone: "accent", Span: true}, {Label: "warned", Tone: "warn", Points: true}, {Label: "failed", Tone: "bad", Points: true}}
	for _, r := range slices.Backward(list) {
		if r.StartedAt == nil || r.DurationSeconds == 0 || r.State == runner.Skipped {
			continue
		}
		took := r.DurationSeconds
		var good, warned, failed *float64
		switch {
		case r.State.Done():
			good = &took
		default:
			failed = &took
		}
		if r.State == runner.Warned {
			warned = &took
		}
		chart.Plot.X = append(chart.Plot.X, unix(*r.StartedAt))
		chart.Plot.Href = append(chart.Plot.Href, runPath(r.ID))
		for i, y := range []*float64{good, warned, failed} {
			lines[i].Y = append(lines[i].Y, y)
		}
		chart.Rows = append(chart.Rows, chartRow{X: r.StartedAt.In(zone).Format("2006-01-02 15:04"), Y: []string{string(r.State), tookSeconds(took)}})
	}
	slices.Reverse(chart.Rows)
	for i, line := range lines {
		if i == 0 || slices.ContainsFunc(line.Y, func(y *float64) bool { return y != nil }) {
			chart.Plot.Series = append(chart.Plot.Series, line)
		}
	}
	chart.Points = len(chart.Plot.X)
	return chart
}
