package api

import (
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Incident is a fault with a beginning and an end.
type Incident struct {
	ID          string               `json:"id"`
	Fingerprint string               `json:"fingerprint" doc:"identifies what is wrong across its occurrences"`
	State       runner.IncidentState `json:"state" enum:"open,resolved"`
	Workflow    string               `json:"workflow" doc:"the workflow at fault; empty for none"`
	Check       string               `json:"check" doc:"the check at fault; empty for none"`
	Severity    jobs.Severity        `json:"severity" enum:"info,warning,critical"`
	Reason      string               `json:"reason" doc:"the word for what happened last"`
	Title       string               `json:"title"`
	Run         runner.RunID         `json:"run" doc:"the run that showed it last; empty for none"`
	Resolver    runner.RunID         `json:"resolver" doc:"the run that resolved it; empty for none"`
	Channels    []string             `json:"channels" nullable:"false" doc:"who was told"`
	Count       int                  `json:"count" doc:"how often it happened since it opened"`
	At          time.Time            `json:"at" doc:"when it happened last"`
	OpenedAt    time.Time            `json:"opened_at"`
	LastAt      time.Time            `json:"last_at"`
	ResolvedAt  *time.Time           `json:"resolved_at"`
	LastGood    *time.Time           `json:"last_good" doc:"the last good answer of the check before it began"`
	FirstBad    *time.Time           `json:"first_bad" doc:"the first bad answer of the check"`
	Parent      string               `json:"parent" doc:"the fingerprint of the fault that causes this one; empty for none"`
	AckedAt     *time.Time           `json:"acked_at" doc:"when somebody took it over"`
	AckedBy     string               `json:"acked_by"`
	AckedUntil  *time.Time           `json:"acked_until" doc:"until when that counts; null for no end"`
	Suppressed  string               `json:"suppressed" doc:"why nobody is told at present: silence ID, parent FINGERPRINT or window WORKFLOW; empty when people are told"`
	Flapping    bool                 `json:"flapping" doc:"it comes and goes, and stays open until it has been well for a while"`
}

// NewIncident makes the JSON form of an incident.
func NewIncident(i runner.Incident) Incident {
	return Incident{
		ID: i.ID, Fingerprint: i.Fingerprint, State: i.State, Workflow: i.Workflow, Severity: i.Severity,
		Reason: i.Reason, Title: i.Title, Run: i.Run, Resolver: i.Resolver, Channels: filled(i.Channels),
		Count: i.Count, At: i.At.UTC(), OpenedAt: i.OpenedAt.UTC(), LastAt: i.LastAt.UTC(), ResolvedAt: Instant(i.ResolvedAt),
		Check: i.Check, LastGood: Instant(i.LastGood), FirstBad: Instant(i.FirstBad), Parent: i.Parent,
		AckedAt: Instant(i.AckedAt), AckedBy: i.AckedBy, AckedUntil: Instant(i.AckedUntil), Suppressed: i.Suppressed, Flapping: i.Flapping,
	}
}

// Runner turns the answer back into an incident.
func (v Incident) Runner() runner.Incident {
	i := runner.Incident{
		ID: v.ID,
		Fault: runner.Fault{
			Fingerprint: v.Fingerprint, Workflow: v.Workflow, Severity: v.Severity, Reason: v.Reason,
			Title: v.Title, Run: v.Run, At: v.At.UTC(), Check: v.Check, Parent: v.Parent,
			LastGood: moment(v.LastGood), FirstBad: moment(v.FirstBad),
		},
		State: v.State, Count: v.Count, OpenedAt: v.OpenedAt.UTC(), LastAt: v.LastAt.UTC(),
		ResolvedAt: moment(v.ResolvedAt), Resolver: v.Resolver,
		AckedAt: moment(v.AckedAt), AckedBy: v.AckedBy, AckedUntil: moment(v.AckedUntil), Suppressed: v.Suppressed, Flapping: v.Flapping,
	}
	if len(v.Channels) > 0 {
		i.Channels = v.Channels
	}
	return i
}

// Incidents is a page of incidents, newest first.
type Incidents struct {
	Incidents []Incident `json:"incidents" nullable:"false"`
	Next      string     `json:"next" doc:"what to give as before for the next page; empty on the last one"`
}

// Notice is one message owed to one channel.
type Notice struct {
	ID        string              `json:"id"`
	Incident  string              `json:"incident" doc:"empty for reminders, digests and tests"`
	Channel   string              `json:"channel"`
	Action    runner.NoticeAction `json:"action" enum:"open,worse,repeat,ack,resolve,remind,digest,weekly,change,test"`
	Seq       int                 `json:"seq" doc:"tells several of one action apart"`
	Combined  bool                `json:"combined" doc:"it also stands for an opening that was never sent"`
	Subject   string              `json:"subject" doc:"of a reminder, a digest or a test"`
	Text      string              `json:"text" doc:"of a reminder, a digest or a test; of others why this channel is told"`
	State     runner.NoticeState  `json:"state" enum:"pending,sending,sent,dead,superseded"`
	Attempts  int                 `json:"attempts" doc:"how often it was tried"`
	CreatedAt time.Time           `json:"created_at"`
	NextAt    *time.Time          `json:"next_at" doc:"when it may be tried next"`
	EndedAt   *time.Time          `json:"ended_at"`
	Receipt   string              `json:"receipt" doc:"what the channel answered"`
	Error     string              `json:"error" doc:"why the last attempt failed"`
	Withheld  bool                `json:"withheld" doc:"it is pending because nobody is to be told of its incident at present"`
}

// NewNotice makes the JSON form of a notice.
func NewNotice(n runner.Notice) Notice {
	return Notice{
		ID: n.ID, Incident: n.Incident, Channel: n.Channel, Action: n.Action, Seq: n.Seq, Combined: n.Combined,
		Subject: n.Subject, Text: n.Text, State: n.State, Attempts: n.Attempts, CreatedAt: n.CreatedAt.UTC(),
		NextAt: Instant(n.NextAt), EndedAt: Instant(n.EndedAt), Receipt: n.Receipt, Error: n.Error, Withheld: n.Withheld,
	}
}

// Runner turns the answer back into a notice.
func (v Notice) Runner() runner.Notice {
	return runner.Notice{
		ID: v.ID, Incident: v.Incident, Channel: v.Channel, Action: v.Action, Seq: v.Seq, Combined: v.Combined,
		Subject: v.Subject, Text: v.Text, State: v.State, Attempts: v.Attempts, CreatedAt: v.CreatedAt.UTC(),
		NextAt: moment(v.NextAt), EndedAt: moment(v.EndedAt), Receipt: v.Receipt, Error: v.Error, Withheld: v.Withheld,
	}
}

// Notices is a page of notices, newest first.
type Notices struct {
	Notices []Notice `json:"notices" nullable:"false"`
	Next    string   `json:"next" doc:"what to give as before for the next page; empty on the last one"`
}
