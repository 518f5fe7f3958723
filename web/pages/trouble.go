package pages

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// failedRow is a workflow whose newest run did not do its work, with what a
// person can do about it.
type failedRow struct {
	Workflow  string
	Host      string // the node whose own run it is
	ID        runner.RunID
	State     badge
	At        *time.Time
	Zone      *time.Location
	Why       string
	Job       string
	Error     string
	Hint      string
	CanRetry  bool
	Warnings  []string
	LogsOf    string
	Succeeded *time.Time
}

const (
	// mostFailed bounds how many failures are told at length.
	mostFailed = 5
	// longestError bounds what is shown of an error, in bytes.
	longestError = 600
)

// failedRows are the failures that nothing has made up for.
func (v *visit) failedRows(n night) ([]failedRow, error) {
	var rows []failedRow
	for _, w := range n.workflows {
		if w.Last == nil || !bad(w.Last.State) && !w.Last.Interrupted && w.Last.State != runner.Warned || len(rows) == mostFailed {
			continue
		}
		record, err := v.api.Record(v.ctx, string(w.Last.ID))
		if err != nil {
			return nil, err
		}
		rows = append(rows, failedOf(w, record))
	}
	slices.SortStableFunc(rows, func(a, b failedRow) int { return cmp.Compare(urgency(a.State.Tone), urgency(b.State.Tone)) })
	return rows, nil
}

// urgency orders tones, the worst first.
func urgency(t tone) int {
	return slices.Index([]tone{toneBad, toneWarn, toneBusy, toneIdle, toneGood}, t)
}

func failedOf(w api.Workflow, r api.RunRecord) failedRow {
	row := failedRow{
		Workflow: w.Name, Host: r.Host, ID: r.ID, State: runBadge(r.State, r.Interrupted, false), At: r.FinishedAt, Zone: location(w.Zone),
		Why: because(r.Reason), Error: cut(safe(r.Message), longestError), CanRetry: bad(r.State) || r.Interrupted, Succeeded: w.LastSuccess,
	}
	if r.Interrupted {
		row.Why = "nobody works on it"
	}
	if row.At == nil {
		row.At = r.StartedAt
	}
	for _, name := range sortedJobs(r.Jobs) {
		job := r.Jobs[name]
		switch {
		case bad(job.State) && row.Job == "":
			row.Job, row.Error, row.Hint = name, cut(safe(job.Error), longestError), safe(job.Hint)
		case job.State == runner.Warned:
			row.Warnings = append(row.Warnings, name+": "+cut(safe(job.Summary), longestError))
		}
	}
	return row
}

// sortedJobs are the names of jobs, the bad ones first.
func sortedJobs(jobs map[string]api.Job) []string {
	names := make([]string, 0, len(jobs))
	for name := range jobs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(urgency(badgeOf(jobs[a].State).Tone), urgency(badgeOf(jobs[b].State).Tone)), cmp.Compare(a, b))
	})
	return names
}

// runningRow is a run under way, or one that waits.
type runningRow struct {
	Workflow string
	Node     string // which works on it, where there are several
	ID       runner.RunID
	State    badge
	Since    time.Time
	Zone     *time.Location
	Busy     []string
	Done     int
	Jobs     int
	Share    *meterView
	Approval bool
	Queued   bool
}

// runningRows are the runs that have not ended, as seen from a node.
func (v *visit) runningRows(list []api.RunRecord, here string) ([]runningRow, error) {
	known, err := v.workflows()
	if err != nil {
		return nil, err
	}
	var rows []runningRow
	for _, r := range list {
		row := runningRow{Workflow: r.Workflow, ID: r.ID, State: runBadge(r.State, r.Interrupted, needsApproval(r.Run)), Since: r.QueuedAt, Zone: v.zone(r.Workflow), Approval: needsApproval(r.Run), Queued: r.State == runner.Queued}
		if r.StartedAt != nil {
			row.Since = *r.StartedAt
		}
		if row.Node = r.Host; row.Node == "" && r.Node != here {
			row.Node = r.Node
		}
		for _, w := range known {
			if w.Name == r.Workflow {
				row.Jobs = len(w.Jobs)
			}
		}
		if len(r.Only) > 0 {
			row.Jobs = len(r.Only)
		}
		for name, job := range r.Jobs {
			if job.State.Final() {
				row.Done++
			} else {
				row.Busy = append(row.Busy, name)
			}
		}
		slices.Sort(row.Busy)
		row.Jobs = max(row.Jobs, row.Done+len(row.Busy))
		if row.Jobs > 0 && !row.Queued {
			row.Share = &meterView{Tone: toneBusy, Percent: 100 * row.Done / row.Jobs, Text: fmt.Sprintf("%d of %s done", row.Done, count(row.Jobs, "job"))}
		}
		rows = append(rows, row)
	}
	return rows, nil
}
