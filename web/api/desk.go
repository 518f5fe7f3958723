package api

import (
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// IncidentDetail is an incident with all that is known of it.
type IncidentDetail struct {
	Incident

	Timeline []Entry     `json:"timeline" nullable:"false" doc:"the earliest first"`
	Notices  []Notice    `json:"notices" nullable:"false" doc:"who was told what, the earliest first"`
	Changes  []Happening `json:"changes" nullable:"false" doc:"what happened to the system in the hour before it was first seen, the latest first"`
}

// NewIncidentDetail makes the JSON form of an incident with all that is known
// of it.
func NewIncidentDetail(i runner.Incident, timeline []runner.Entry, notices []runner.Notice, changes []runner.Happening) IncidentDetail {
	v := IncidentDetail{Incident: NewIncident(i), Timeline: []Entry{}, Notices: []Notice{}, Changes: []Happening{}}
	for _, e := range timeline {
		v.Timeline = append(v.Timeline, NewEntry(e))
	}
	for _, n := range notices {
		v.Notices = append(v.Notices, NewNotice(n))
	}
	for _, h := range changes {
		v.Changes = append(v.Changes, NewHappening(h))
	}
	return v
}

// Entry is one line of an incident's timeline.
type Entry struct {
	At   time.Time        `json:"at"`
	Kind runner.EntryKind `json:"kind" doc:"one of opened, evidence, worse, better, acked, unacked, note, began, suppressed, released, flapping, steady, runbook and resolved"`
	Name string           `json:"name" doc:"of evidence: what it is"`
	Text string           `json:"text" doc:"of evidence: several lines"`
	By   string           `json:"by" doc:"who did it; empty for upkeep itself"`
}

// NewEntry makes the JSON form of an entry.
func NewEntry(e runner.Entry) Entry {
	e.At = e.At.UTC()
	return Entry(e)
}

// Runner turns the answer back into an entry.
func (v Entry) Runner() runner.Entry { return runner.Entry(v) }

// Silence keeps incidents from being told for a while.
type Silence struct {
	ID       string     `json:"id"`
	Workflow string     `json:"workflow" doc:"a pattern; empty when it does not matter"`
	Check    string     `json:"check" doc:"a pattern; empty when it does not matter"`
	Reason   string     `json:"reason" doc:"a pattern; empty when it does not matter"`
	Severity string     `json:"severity" enum:",info,warning,critical"`
	Why      string     `json:"why"`
	By       string     `json:"by"`
	Since    time.Time  `json:"since"`
	Until    time.Time  `json:"until"`
	EndedAt  *time.Time `json:"ended_at" doc:"when somebody ended it early"`
}

// NewSilence makes the JSON form of a silence.
func NewSilence(s runner.Silence) Silence {
	return Silence{
		ID: s.ID, Workflow: s.Workflow, Check: s.Check, Reason: s.Reason, Severity: s.Severity,
		Why: s.Why, By: s.By, Since: s.Since.UTC(), Until: s.Until.UTC(), EndedAt: Instant(s.EndedAt),
	}
}

// Runner turns the answer back into a silence.
func (v Silence) Runner() runner.Silence {
	return runner.Silence{
		ID: v.ID, Workflow: v.Workflow, Check: v.Check, Reason: v.Reason, Severity: v.Severity,
		Why: v.Why, By: v.By, Since: v.Since.UTC(), Until: v.Until.UTC(), EndedAt: moment(v.EndedAt),
	}
}

// Silences are silences, the newest first.
type Silences struct {
	Silences []Silence `json:"silences" nullable:"false"`
}

// SilenceRequest asks for a silence.
type SilenceRequest struct {
	Workflow string        `json:"workflow,omitempty" maxLength:"255" doc:"a pattern of names; * ? [a-z] and {a,b} are understood"`
	Check    string        `json:"check,omitempty" maxLength:"255" doc:"a pattern of names"`
	Reason   string        `json:"reason,omitempty" maxLength:"255" doc:"a pattern of reasons, such as missed"`
	Severity jobs.Severity `json:"severity,omitempty" enum:"info,warning,critical"`
	All      bool          `json:"all,omitempty" doc:"every incident; needed when nothing else selects"`
	Why      string        `json:"why" minLength:"1" maxLength:"1000" doc:"what for"`
	Since    *time.Time    `json:"since,omitempty" doc:"when it begins; without it, now"`
	Until    time.Time     `json:"until" doc:"when it ends"`
}

// Runner turns the request into the silence that somebody asks for, or says
// why it makes no sense.
func (r SilenceRequest) Runner(by string, now time.Time) (runner.Silence, error) {
	s := runner.Silence{
		Workflow: r.Workflow, Check: r.Check, Reason: r.Reason, Severity: string(r.Severity),
		Why: r.Why, By: by, Since: moment(r.Since), Until: r.Until.UTC(),
	}
	if s.Since.IsZero() {
		s.Since = now
	}
	selective := s.Workflow != "" || s.Check != "" || s.Reason != "" || s.Severity != ""
	switch {
	case r.All == selective:
		return s, NewProblem(CodeInvalid, "select by workflow, check, reason or severity, or say that all are meant", "it must be clear which incidents are silenced")
	case s.Workflow != "" && s.Check != "":
		return s, NewProblem(CodeInvalid, "make a silence for each", "no fault is one of a workflow and of a check")
	case !s.Until.After(s.Since) || !s.Until.After(now):
		return s, NewProblem(CodeInvalid, "name an instant in the future", "the silence would end before it begins")
	}
	for _, pattern := range []string{s.Workflow, s.Check, s.Reason} {
		if !doublestar.ValidatePattern(pattern) {
			return s, NewProblem(CodeInvalid, "* ? [a-z] and {a,b} are understood", pattern+" is not a pattern")
		}
	}
	return s, nil
}

// AckRequest says that somebody works on an incident.
type AckRequest struct {
	Note  string     `json:"note,omitempty" maxLength:"4000"`
	Until *time.Time `json:"until,omitempty" doc:"until when that counts; without it, until it gets worse or ends"`
}

// NoteRequest adds a line to a timeline.
type NoteRequest struct {
	Text string `json:"text" minLength:"1" maxLength:"4000"`
}

// BeganRequest says when the fault of an incident really began.
type BeganRequest struct {
	At time.Time `json:"at" doc:"not after the incident opened"`
}

// ResolveRequest ends an incident by hand.
type ResolveRequest struct {
	Note string `json:"note,omitempty" maxLength:"4000"`
}
