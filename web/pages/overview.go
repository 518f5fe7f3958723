package pages

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// overviewView answers whether everything is all right.
type overviewView struct {
	Verdict verdictView
	// Notes are what is odd about the daemon itself.
	Notes     []note
	Failed    []failedRow
	Running   []runningRow
	Lanes     []laneRow
	Rest      string // how the workflows are that are not among the lanes
	Scale     []laneHour
	Coming    []comingRow
	Incidents []openIncident
	// MoreIncidents is how many are open beside those.
	MoreIncidents int
	Storage       storageView
	Workflows     int
	Ran           bool // anything is on record
}

// note is a line about the daemon.
type note struct {
	Tone tone
	Text string
	Href string
}

// comingRow is a slot to come.
type comingRow struct {
	Workflow string
	Slot     time.Time
	Zone     *time.Location
	Paused   bool
}

// openIncident is a fault that has not ended.
type openIncident struct {
	ID, Title string
	Severity  badge
	Opened    time.Time
	Acked     string
}

const (
	overviewRefresh = 10 * time.Second
	// nightLength is how far back the overview looks.
	nightLength = 24 * time.Hour
	// mostDrawn bounds how many runs of that time are drawn, mostBad how many
	// bad ones are certain to be among them.
	mostDrawn, mostBad = 250, 100
	mostComing         = 6
	mostUnderWay       = 20 // runs that have not ended
	mostIncidents      = 6
)

func (p *Pages) registerOverview() { p.page("GET /{$}", p.overview) }

func (p *Pages) overview(v *visit) (page, error) {
	night, err := v.lookBack()
	if err != nil {
		return page{}, err
	}
	view := overviewView{Workflows: len(night.workflows), Ran: night.ran()}
	if view.Failed, err = v.failedRows(night); err != nil {
		return page{}, err
	}
	if view.Running, err = v.runningRows(night.running, night.status.Node); err != nil {
		return page{}, err
	}
	view.Lanes, view.Rest = night.lanes()
	view.Scale = scaleOf(v.now, v.zone(""))
	view.Coming = night.coming()
	for _, i := range night.incidents[:min(mostIncidents, len(night.incidents))] {
		view.Incidents = append(view.Incidents, openIncident{ID: i.ID, Title: i.Title, Severity: badgeOf(i.Severity), Opened: i.OpenedAt, Acked: ackedBy(i, v.now)})
	}
	view.MoreIncidents = len(night.incidents) - len(view.Incidents)
	view.Notes = notesOf(night.status)
	if view.Storage, err = v.storage(night.status); err != nil {
		return page{}, err
	}
	view.Verdict = night.verdict()
	return page{sheet: "overview", title: view.Verdict.Headline, nav: "overview", refresh: overviewRefresh, data: view}, nil
}

// night is what the overview rests on.
type night struct {
	now       time.Time
	workflows []api.Workflow
	// runs are those recorded within nightLength, newest first, and all bad
	// ones of that time.
	runs      []api.RunRecord
	running   []api.RunRecord
	incidents []runner.Incident
	status    api.Status
}

func (v *visit) lookBack() (night, error) {
	n := night{now: v.now}
	var err error
	if n.workflows, err = v.workflows(); err != nil {
		return n, err
	}
	since := v.now.Add(-nightLength)
	recent, err := v.api.RunPage(v.ctx, runner.Filter{Since: since, Limit: mostDrawn}, false)
	if err != nil {
		return n, err
	}
	n.runs = recent.Runs
	if recent.Next != "" { // more than are drawn: what failed has to be among them
		bad, err := v.api.RunPage(v.ctx, runner.Filter{
			Since: since, Limit: mostBad, Before: runner.RunID(recent.Next), States: []runner.State{runner.Failed, runner.Lost, runner.Canceled, runner.Warned},
		}, false)
		if err != nil {
			return n, err
		}
		n.runs = append(n.runs, bad.Runs...)
	}
	n.workflows = withHosts(n.workflows, n.runs)
	open, err := v.api.RunPage(v.ctx, runner.Filter{States: []runner.State{runner.Running, runner.Queued}, Limit: mostUnderWay}, true)
	if err != nil {
		return n, err
	}
	n.running = open.Runs
	if n.incidents, err = v.api.Incidents(v.ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: mostCounted}); err != nil {
		return n, err
	}
	n.status, err = v.api.Status(v.ctx)
	return n, err
}

// ran tells whether any run is on record.
func (n night) ran() bool {
	for _, w := range n.workflows {
		if w.Last != nil {
			return true
		}
	}
	return len(n.runs) > 0
}

// coming are the next slots, soonest first.
func (n night) coming() []comingRow {
	var rows []comingRow
	for _, s := range n.status.Next {
		row := comingRow{Workflow: s.Workflow, Slot: s.Slot, Zone: time.UTC}
		for _, w := range n.workflows {
			if w.Name == s.Workflow {
				row.Zone, row.Paused = location(w.Zone), paused(w, s.Slot)
			}
		}
		if len(rows) < mostComing {
			rows = append(rows, row)
		}
	}
	return rows
}

// paused tells whether a workflow is paused at an instant.
func paused(w api.Workflow, at time.Time) bool {
	return w.Paused != nil && (w.Paused.Until == nil || w.Paused.Until.After(at))
}

// ackedBy names who works on an incident, empty for nobody.
func ackedBy(i runner.Incident, now time.Time) string {
	if i.AckedAt.IsZero() || !i.AckedUntil.IsZero() && i.AckedUntil.Before(now) {
		return ""
	}
	return i.AckedBy
}

// notesOf says what is odd about the daemon.
func notesOf(s api.Status) []note {
	var notes []note
	if s.Draining {
		notes = append(notes, note{Tone: toneWarn, Text: "This node drains: nothing more starts on it.", Href: "/system"})
	}
	if s.Config.State == api.ConfigDegraded {
		notes = append(notes, note{Tone: toneBad, Text: "The configuration on disk was refused, and the one before it is in force: " + jobs.OneLine(s.Config.Reason), Href: "/system"})
	}
	for _, problem := range s.Problems {
		if problem.Name == "config" && s.Config.State == api.ConfigDegraded {
			continue
		}
		t := toneWarn
		if problem.Fatal {
			t = toneBad
		}
		where := "/system"
		if problem.Name == "cluster" {
			where += "#nodes"
		}
		notes = append(notes, note{Tone: t, Text: problem.Text, Href: where})
	}
	if s.Outbox.Dead > 0 {
		notes = append(notes, note{Tone: toneBad, Text: fmt.Sprintf("%s could not be delivered to a channel: somebody was not told.", count(s.Outbox.Dead, "message")), Href: "/system"})
	}
	return notes
}
