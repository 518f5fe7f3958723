package pages

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// workflowsView lists the workflows.
type workflowsView struct {
	Rows []workflowRow
	// All is how many are configured, Fit how many of them have what was searched
	// for in their name or description.
	All, Fit int
	Search   string
	Many     bool // more than can be seen at a glance
	Pager    pagerView
	Empty    emptyView
}

// workflowRow is one workflow in the list.
type workflowRow struct {
	// Place is where it runs; empty for any node.
	Place                       string
	Name, Description, Schedule string
	Zone                        *time.Location
	Next                        *time.Time
	Last                        *lastRun
	Strip                       stripView
	Usual                       string
	Running                     int
	Paused                      *api.Pause
	Fresh                       *meterView
	LastSuccess                 *time.Time
}

// lastRun is the newest run of a workflow.
type lastRun struct {
	ID    runner.RunID
	State badge
	Why   string
	At    time.Time
	Took  float64
}

const (
	listRefresh = 15 * time.Second
	// stripLength is how many runs a strip shows.
	stripLength = 30
	// workflowsPerPage is how many workflows a page lists, manyWorkflows from how
	// many on one searches.
	workflowsPerPage = 50
	manyWorkflows    = 12
)

func (p *Pages) registerWorkflows() {
	p.page("GET /workflows", p.workflowList)
	p.page("GET /workflows/{name}", p.workflow)
	p.action("POST /do/workflows/{name}/run", p.startRun)
	p.action("POST /do/workflows/{name}/pause", p.pauseWorkflow)
	p.action("POST /do/workflows/{name}/unpause", p.unpauseWorkflow)
}

func (p *Pages) workflowList(v *visit) (page, error) {
	list, err := v.api.RecentWorkflows(v.ctx, stripLength)
	if err != nil {
		return page{}, err
	}
	view := workflowsView{Empty: emptyView{
		Title: "No workflow is configured", Text: "A workflow is a named plan: a schedule and jobs. A starter configuration for this machine is one command away.", Command: "upkeep init",
	}}
	view.Pager.ByName = true
	view.All, view.Search = len(list), v.query("q")
	view.Many = view.All > manyWorkflows || view.Search != ""
	list = slices.DeleteFunc(list, func(w api.Workflow) bool {
		return !strings.Contains(strings.ToLower(w.Name+"\n"+w.Description), strings.ToLower(view.Search))
	})
	view.Fit = len(list)
	if after := v.query("after"); after != "" {
		at := slices.IndexFunc(list, func(w api.Workflow) bool { return w.Name == after })
		list, view.Pager.First = list[at+1:], v.with("after", "")
	}
	if len(list) > workflowsPerPage {
		list = list[:workflowsPerPage]
		view.Pager.Next = v.with("after", list[workflowsPerPage-1].Name)
	}
	for _, w := range list {
		view.Rows = append(view.Rows, rowOf(withSlot(w), v.now))
	}
	if view.Search != "" {
		view.Empty = emptyView{Title: "No workflow fits", Text: "None has that in its name or description."}
	}
	return page{sheet: "workflows", title: "Workflows", nav: "workflows", refresh: listRefresh, data: view}, nil
}

func rowOf(w api.Workflow, now time.Time) workflowRow {
	zone := location(w.Zone)
	row := workflowRow{
		Name: w.Name, Description: w.Description, Schedule: w.Schedule, Zone: zone, Next: w.Next, Last: lastOf(w.Last),
		Strip: stripOf(w.Name, w.Recent, zone), Running: w.Running, Fresh: freshness(w, now), LastSuccess: w.LastSuccess,
	}
	if w.RunsOn != onAny && w.RunsOn != "" {
		row.Place = api.PlaceWords(w.RunsOn)
	}
	if w.Usual != nil {
		row.Usual = tookSeconds(w.Usual.MedianSeconds)
	}
	if paused(w, now) {
		row.Paused = w.Paused
	}
	if row.Fresh != nil && row.Fresh.Tone != toneBad && w.LastSuccess != nil {
		row.Fresh.Text = "succeeded " + row.Fresh.Text
	}
	return row
}

func lastOf(l *api.Last) *lastRun {
	if l == nil {
		return nil
	}
	last := &lastRun{ID: l.ID, State: runBadge(l.State, l.Interrupted, false), Why: because(l.Reason), At: l.QueuedAt, Took: l.DurationSeconds}
	if l.StartedAt != nil {
		last.At = *l.StartedAt
	}
	if l.Interrupted {
		last.Why = "nobody works on it"
	}
	return last
}

// stripOf draws the newest runs of a workflow, which come newest first.
func stripOf(workflow string, list []api.RecentRun, zone *time.Location) stripView {
	list = foldRecent(list)
	list = list[:min(stripLength, len(list))]
	strip := stripView{Label: fmt.Sprintf("The last %s of %s, the oldest first", count(len(list), "run"), workflow)}
	for _, r := range slices.Backward(list) {
		at := r.Slot
		if r.StartedAt != nil {
			at = *r.StartedAt
		}
		title := string(r.State) + " " + at.In(zone).Format("Mon 2 Jan 15:04")
		if r.DurationSeconds > 0 {
			title += ", took " + tookSeconds(r.DurationSeconds)
		}
		if why := because(r.Reason); why != "" {
			title += ": " + why
		}
		if r.DryRun {
			title += ", dry run"
		}
		strip.Marks = append(strip.Marks, stripMark{Tone: badgeOf(r.State).Tone, Href: "/runs/" + string(r.ID), Title: title})
	}
	return strip
}
