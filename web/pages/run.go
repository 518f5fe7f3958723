package pages

import (
	"cmp"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// runView is the page of one run.
type runView struct {
	ID         runner.RunID
	Workflow   string
	State      badge
	Why        string
	Message    string
	Live       bool
	DryRun     bool
	Zone       *time.Location
	Facts      []runFact
	Params     [][2]string
	Troubles   []jobTrouble
	Left       string
	Gantt      ganttView
	Host       string
	Hosts      *hostsView // the same slot on all nodes, nil without others
	Waits      []lockWait
	Log        *logView
	Values     []valueRow
	Good       *lastRun
	Findings   []findingRow
	Changes    []runChange
	Artifacts  []api.RunArtifact
	Incidents  []api.IncidentOfRun
	Definition string
	Digest     string

	CanCancel, CanRetry, Approval bool
	RetryFrom                     []string
	RetryJob                      string
}

// runFact is a line about a run: a text, or an instant.
type runFact struct {
	Name, Text, Href string
	At               *time.Time
}

// jobTrouble is a job that did not do its work.
type jobTrouble struct {
	Job, Error, Hint, Why string
	State                 badge
	Try                   int
}

// findingRow is something that a job found.
type findingRow struct {
	Job, Text string
	Severity  badge
}

// runChange is something that a job changed about the system.
type runChange struct{ Job, Kind, Subject, Text string }

// liveRefresh is how often a run that goes on is looked at when nobody says
// that something changed.
const liveRefresh = 5 * time.Second

func (p *Pages) run(v *visit) (page, error) {
	d, err := v.api.RunDetail(v.ctx, v.PathValue("id"))
	if err != nil {
		return page{}, err
	}
	r := d.Run
	zone := v.zone(r.Workflow)
	view := runView{
		ID: r.ID, Workflow: r.Workflow, State: runBadge(r.State, r.Interrupted, needsApproval(r.Run)), Why: because(r.Reason), Message: safe(r.Message), Live: d.Live, DryRun: r.DryRun, Zone: zone,
		Facts: runFacts(d), Params: paramsOf(r.Params), Troubles: troublesOf(d.Attempts), Gantt: ganttOf(d, v.now), Values: valuesOf(d.Values), Good: lastOf(d.Good),
		Artifacts: d.Artifacts, Incidents: d.Incidents, Definition: safe(r.Spec.Text), Digest: r.Spec.Digest,
		CanCancel: !r.State.Final(), CanRetry: len(d.Retry) > 0, RetryFrom: d.Retry, Approval: needsApproval(r.Run),
	}
	if r.Interrupted {
		view.Why = "nobody works on it; retry continues it"
	}
	if len(view.Troubles) > 0 {
		view.RetryJob = view.Troubles[0].Job
	}
	if d.Estimate != nil && r.State == runner.Running {
		view.Left = "about " + roughly(time.Duration(*d.Estimate*float64(time.Second))) + " left"
		if *d.Estimate <= 0 {
			view.Left = "longer than usual"
		}
	}
	for _, a := range d.Attempts {
		if !a.Superseded {
			view.gather(a)
		}
	}
	if d.Live {
		locks, err := v.api.Locks(v.ctx)
		if err != nil {
			return page{}, err
		}
		view.Waits = waitsOf(r.ID, locks)
	}
	if view.Log, err = v.log(d); err != nil {
		return page{}, err
	}
	view.Host = r.Host
	if view.Hosts, err = v.hosts(r); err != nil {
		return page{}, err
	}
	shown := page{sheet: "run", title: r.Workflow + " " + string(view.State.Word), nav: "runs", zone: zone, data: view}
	if d.Live {
		shown.refresh = liveRefresh
	}
	return shown, nil
}

// gather adds what an attempt found and changed.
func (view *runView) gather(a api.AttemptRecord) {
	for _, f := range a.Findings {
		view.Findings = append(view.Findings, findingRow{Job: a.Job, Text: safe(f.Text), Severity: badgeOf(f.Severity)})
	}
	for _, e := range a.Events {
		view.Changes = append(view.Changes, runChange{Job: a.Job, Kind: e.Kind, Subject: safe(e.Subject), Text: safe(e.Text)})
	}
	slices.SortStableFunc(view.Findings, func(a, b findingRow) int { return rankOf(b.Severity.Word) - rankOf(a.Severity.Word) })
}

// runFacts are when, why and where.
func runFacts(d api.RunDetail) []runFact {
	r := d.Run
	why := triggered(r.Trigger)
	facts := []runFact{{Name: "Why it exists", Text: why}, {Name: "Due", At: &r.Slot}, {Name: "Started", At: r.StartedAt}, {Name: "Ended", At: r.FinishedAt}}
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, runFact{Name: name, Text: safe(text)})
		}
	}
	if r.FinishedAt != nil && r.StartedAt != nil {
		text := tookSeconds(r.DurationSeconds)
		if d.Usual != nil {
			text += ", usually " + tookSeconds(d.Usual.MedianSeconds)
		}
		add("Took", text)
	}
	add("Asked for by", r.By)
	add("Node", r.Node)
	add("Approved by", r.ApprovedBy)
	add("Canceled by", r.CanceledBy)
	add("Retried by", r.ReopenedBy)
	if len(r.Only) > 0 {
		add("Only the jobs", words(r.Only))
	}
	if r.Slots > 1 {
		add("Stands for", count(int(r.Slots), "slot"))
	}
	return facts
}

// paramsOf are the parameters by name.
func paramsOf(params map[string]string) [][2]string {
	var list [][2]string
	for name, value := range params {
		list = append(list, [2]string{safe(name), safe(value)})
	}
	slices.SortFunc(list, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	return list
}

// troublesOf are the jobs whose newest attempt did not do its work, each with
// what it says.
func troublesOf(list []api.AttemptRecord) []jobTrouble {
	var out []jobTrouble
	for _, a := range api.NewestPerJob(list, func(a api.AttemptRecord) string { return a.Job }) {
		if !bad(a.State) || a.Error == "" {
			continue
		}
		out = append(out, jobTrouble{Job: a.Job, Error: cut(safe(a.Error), 4*longestError), Hint: safe(a.Hint), Why: because(a.Reason), State: badgeOf(a.State), Try: a.Number})
	}
	return out
}

// outcomeOf is what an attempt came to, in the words of the job.
func outcomeOf(a api.AttemptRecord) string {
	switch {
	case a.Error != "":
		return jobs.OneLine(a.Error)
	case a.Summary != "":
		return a.Summary
	case a.State == runner.Running:
		return a.Planned
	}
	return because(a.Reason)
}
