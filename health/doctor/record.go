package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Record is the ledger as steps read it.
type Record struct {
	Runs   runner.Reader
	Alerts runner.AlertReader
	// Happenings returns events.
	Happenings func(ctx context.Context, f runner.HappeningFilter) ([]runner.Happening, error)
	// Pauses returns the pauses in force; nil when nobody tells.
	Pauses func(ctx context.Context) ([]runner.Pause, error)
	// Locks returns the named locks in use; nil when nobody tells.
	Locks func(ctx context.Context) ([]runner.LockHolder, error)
}

// Opener opens the ledger, or says why it cannot be read. It is called by
// several goroutines.
type Opener func(ctx context.Context) (*Record, error)

// Workflow is a workflow of the configuration.
type Workflow struct {
	Name string
	// FreshWithin is the longest time without a success; 0 for any.
	FreshWithin time.Duration
	// Scheduled tells that it runs by itself, next at Next.
	Scheduled bool
	Next      time.Time
}

// LastRun is how a workflow went last.
type LastRun struct {
	Workflow string
	Run      runner.RunID `json:",omitempty"`
	State    runner.State `json:",omitempty"`
	Reason   runner.Reason
	At       time.Time
	// Failure says in one line what went wrong.
	Failure string `json:",omitempty"`
	// Success is when it last succeeded; zero for never.
	Success time.Time
	Next    time.Time
	Paused  string `json:",omitempty"`
}

// LastRuns returns the step that looks at how every workflow went last.
func LastRuns(open Opener, list []Workflow, now func() time.Time) Step {
	return Step{Name: "runs", Title: "the last run of every workflow", Look: func(ctx context.Context) (Found, error) {
		r, err := open(ctx)
		if err != nil {
			return Found{}, err
		}
		names := make([]string, len(list))
		for i, w := range list {
			names[i] = w.Name
		}
		latest, err := r.Runs.Latest(ctx, names)
		if err != nil {
			return Found{}, fmt.Errorf("read the latest runs: %w", err)
		}
		paused, f := pausesOf(ctx, r)
		bad, rows := 0, []LastRun{}
		for _, w := range list {
			row := LastRun{Workflow: w.Name, Next: w.Next, Paused: paused[w.Name]}
			if run, ran := latest[w.Name]; ran {
				if err := r.fill(ctx, &row, run); err != nil {
					return Found{}, err
				}
			}
			found := row.judge(w, now())
			bad += len(found)
			f.Findings = append(f.Findings, found...)
			rows = append(rows, row)
			f.Lines = append(f.Lines, row.line())
		}
		if r.Locks != nil {
			if locks, err := r.Locks(ctx); err == nil {
				for _, l := range locks {
					f.Lines = append(f.Lines, fmt.Sprintf("lock %s: %s.%s since %s", l.Lock, l.Workflow, l.Job, l.AcquiredAt.UTC().Format(time.RFC3339)))
				}
			}
		}
		f.Facts, f.Summary = rows, fmt.Sprintf("%d workflows, %d of them not well", len(list), bad)
		return f, nil
	}}
}

// pausesOf are the reasons of pauses by workflow.
func pausesOf(ctx context.Context, r *Record) (map[string]string, Found) {
	out, f := map[string]string{}, Found{}
	if r.Pauses == nil {
		return out, f
	}
	list, err := r.Pauses(ctx)
	if err != nil {
		f.Unseen = append(f.Unseen, Unseen{What: "which workflows are paused", Why: line(err.Error())})
	}
	for _, p := range list {
		out[p.Workflow] = "by " + p.By + ": " + p.Why
	}
	return out, f
}

// fill reads what became of a run.
func (r *Record) fill(ctx context.Context, row *LastRun, run runner.Run) error {
	row.Run, row.State, row.Reason, row.At = run.ID, run.State, run.Reason, run.QueuedAt
	if !run.FinishedAt.IsZero() {
		row.At = run.FinishedAt
	}
	good, err := r.Runs.Runs(ctx, runner.Filter{Workflow: row.Workflow, States: []runner.State{runner.Succeeded, runner.Warned}, Limit: 1})
	if err != nil {
		return fmt.Errorf("read the last success of %s: %w", row.Workflow, err)
	}
	if len(good) > 0 {
		row.Success = good[0].FinishedAt
	}
	if run.State != runner.Failed && run.State != runner.Lost && run.State != runner.Warned {
		return nil
	}
	row.Failure = line(run.Message)
	attempts, err := r.Runs.Attempts(ctx, run.ID)
	if err != nil {
		return fmt.Errorf("read the attempts of run %s: %w", run.ID, err)
	}
	for _, a := range attempts {
		if a.Error != "" && !a.Superseded && (a.State == runner.Failed || a.State == runner.Lost) {
			first, _, _ := strings.Cut(a.Error, "\n")
			row.Failure = line(fmt.Sprintf("%s (%s): %s", a.Job, a.Kind, first))
			break
		}
	}
	return nil
}

func (l LastRun) line() string {
	if l.Run == "" {
		return l.Workflow + ": has never run"
	}
	text := fmt.Sprintf("%s: %s at %s", l.Workflow, l.State, l.At.UTC().Format(time.RFC3339))
	if l.Failure != "" {
		text += ": " + l.Failure
	}
	if l.Paused != "" {
		text += ", paused " + l.Paused
	}
	return text
}

// judge says what is wrong with a workflow.
func (l LastRun) judge(w Workflow, now time.Time) []Finding {
	var out []Finding
	add := func(id string, s jobs.Severity, text, means, next string) {
		out = append(out, Finding{ID: id + ":" + w.Name, Severity: s, Text: text, Means: means, Next: next})
	}
	switch l.State {
	case runner.Failed, runner.Lost:
		add("run", jobs.Critical, fmt.Sprintf("%s %s %s ago: %s", w.Name, l.State, ago(now.Sub(l.At)), l.Failure), "what it should have done is not done", "upkeep show "+string(l.Run))
	case runner.Warned:
		add("run", jobs.Warning, fmt.Sprintf("%s ended with warnings %s ago: %s", w.Name, ago(now.Sub(l.At)), l.Failure), "it did its work, and something is not as it should be", "upkeep show "+string(l.Run))
	case runner.Succeeded, runner.Canceled, runner.Skipped, runner.Queued, runner.Running:
	}
	if w.FreshWithin > 0 && l.Run != "" && now.Sub(l.Success) > w.FreshWithin {
		since := "never"
		if !l.Success.IsZero() {
			since = ago(now.Sub(l.Success)) + " ago"
		}
		add("stale", jobs.Critical, fmt.Sprintf("%s succeeded last %s, and must at least every %s", w.Name, since, ago(w.FreshWithin)), "what depends on it is out of date", "upkeep why "+w.Name)
	}
	if l.Paused != "" {
		add("paused", jobs.Info, w.Name+" is paused "+l.Paused, "it does not run by itself", "upkeep unpause "+w.Name)
	}
	return out
}

// Outbox is what is owed to channels.
type Outbox struct {
	Pending, Dead int
	Oldest        time.Time
	Notices       []Owed
}

// Owed is a notice that was not delivered.
type Owed struct {
	ID, Channel string
	Action      runner.NoticeAction
	State       runner.NoticeState
	Attempts    int
	Created     time.Time
	Error       string
}

const (
	// outboxStuck is how long a notice may be owed.
	outboxStuck = 5 * time.Minute
	mostNotices = 500
)

// Owing returns the step that looks at the outbox. Notices that were given up
// before since are not counted.
func Owing(open Opener, since time.Duration, now func() time.Time) Step {
	return Step{Name: "outbox", Title: "notices that are owed", Look: func(ctx context.Context) (Found, error) {
		r, err := open(ctx)
		if err != nil {
			return Found{}, err
		}
		list, err := r.Alerts.Notices(ctx, runner.NoticeFilter{States: []runner.NoticeState{runner.NoticePending, runner.NoticeSending, runner.NoticeDead}, Limit: mostNotices})
		if err != nil {
			return Found{}, fmt.Errorf("read the outbox: %w", err)
		}
		o := Outbox{Notices: []Owed{}}
		for _, n := range list {
			if n.State == runner.NoticeDead {
				if now().Sub(n.CreatedAt) > since {
					continue
				}
				o.Dead++
			} else {
				if n.Withheld {
					continue
				}
				o.Pending++
				if o.Oldest.IsZero() || n.CreatedAt.Before(o.Oldest) {
					o.Oldest = n.CreatedAt
				}
			}
			o.Notices = append(o.Notices, Owed{ID: n.ID, Channel: n.Channel, Action: n.Action, State: n.State, Attempts: n.Attempts, Created: n.CreatedAt, Error: line(n.Error)})
		}
		f := Found{Facts: o, Findings: o.judge(now()), Summary: fmt.Sprintf("%d owed, %d given up", o.Pending, o.Dead)}
		for _, n := range o.Notices {
			f.Lines = append(f.Lines, fmt.Sprintf("%s %s to %s: %s after %d attempts: %s", n.Created.UTC().Format(time.RFC3339), n.Action, n.Channel, n.State, n.Attempts, n.Error))
		}
		return f, nil
	}}
}

// judge says what is wrong with the outbox.
func (o Outbox) judge(now time.Time) []Finding {
	var out []Finding
	why := func(states ...runner.NoticeState) string {
		for _, n := range o.Notices {
			for _, s := range states {
				if n.State == s && n.Error != "" {
					return fmt.Sprintf("; %s: %s", n.Channel, n.Error)
				}
			}
		}
		return ""
	}
	if o.Pending > 0 && now.Sub(o.Oldest) > outboxStuck {
		out = append(out, Finding{
			ID: "stuck", Severity: jobs.Critical, Text: fmt.Sprintf("%d notices are owed, the oldest for %s%s", o.Pending, ago(now.Sub(o.Oldest)), why(runner.NoticePending, runner.NoticeSending)),
			Means: "nobody is told of what is wrong", Next: "upkeep alert outbox list",
		})
	}
	if o.Dead > 0 {
		out = append(out, Finding{
			ID: "dead", Severity: jobs.Warning, Text: fmt.Sprintf("%d notices were given up%s", o.Dead, why(runner.NoticeDead)),
			Means: "somebody was not told", Next: "upkeep alert outbox list",
		})
	}
	return out
}

const mostIncidents = 100

// Incident is an open incident.
type Incident struct {
	ID, Fingerprint, Title, AckedBy string
	Severity                        jobs.Severity
	Opened, Last                    time.Time
	Count                           int
	Suppressed                      string
}

// OpenIncidents returns the step that looks at open incidents.
func OpenIncidents(open Opener, now func() time.Time) Step {
	return Step{Name: "incidents", Title: "open incidents", Look: func(ctx context.Context) (Found, error) {
		r, err := open(ctx)
		if err != nil {
			return Found{}, err
		}
		list, err := r.Alerts.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: mostIncidents})
		if err != nil {
			return Found{}, fmt.Errorf("read the incidents: %w", err)
		}
		f := Found{Summary: fmt.Sprintf("%d open", len(list))}
		views := []Incident{}
		for _, i := range list {
			v := Incident{
				ID: i.ID, Fingerprint: i.Fingerprint, Title: line(i.Title), Severity: i.Severity, Opened: i.OpenedAt, Last: i.LastAt, Count: i.Count, AckedBy: i.AckedBy, Suppressed: i.Suppressed,
			}
			views = append(views, v)
			text := fmt.Sprintf("%s, open for %s, %d times", v.Title, ago(now().Sub(v.Opened)), v.Count)
			if v.AckedBy != "" {
				text += ", acknowledged by " + v.AckedBy
			}
			f.Lines = append(f.Lines, fmt.Sprintf("%s %s", v.Severity, text))
			severity := v.Severity
			if severity.Rank() < 0 {
				severity = jobs.Critical
			}
			f.Findings = append(f.Findings, Finding{
				ID: "incident:" + jobs.FindingIDFrom(v.Fingerprint), Severity: severity, Text: text,
				Means: "it lasts until what is wrong has ended", Next: "upkeep incident show " + v.ID,
			})
		}
		f.Facts = views
		return f, nil
	}}
}

const mostEvents = 200

// Changes returns the step that looks at what happened to the system lately.
func Changes(open Opener, since time.Duration, now func() time.Time) Step {
	return Step{Name: "changes", Title: "what changed", Look: func(ctx context.Context) (Found, error) {
		r, err := open(ctx)
		if err != nil {
			return Found{}, err
		}
		list, err := r.Happenings(ctx, runner.HappeningFilter{Since: now().Add(-since), Limit: mostEvents})
		if err != nil {
			return Found{}, fmt.Errorf("read the events: %w", err)
		}
		f := Found{Summary: fmt.Sprintf("%d events in %s", len(list), ago(since))}
		type event struct {
			At                      time.Time
			Kind, Subject, Text, By string
		}
		views := []event{}
		for _, h := range list {
			v := event{h.At, h.Kind, line(h.Subject), line(h.Text), h.By}
			views = append(views, v)
			f.Lines = append(f.Lines, fmt.Sprintf("%s %s %s: %s (%s)", v.At.UTC().Format(time.RFC3339), v.Kind, v.Subject, v.Text, v.By))
		}
		if len(list) > 0 {
			f.Summary += fmt.Sprintf(", the last one: %s of %s", views[0].Kind, views[0].Subject)
		}
		f.Facts = views
		return f, nil
	}}
}
