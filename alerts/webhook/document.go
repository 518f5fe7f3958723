package webhook

import (
	"strings"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/wording"
	"github.com/ghosteam/upkeep/runner"
)

// version is that of the document. Keys may be added under it; what is taken
// away or changed makes a new one.
const version = 1

// document is the message as JSON. Its keys are promised by doc.
type document struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"`
	Thread   string    `json:"thread"`
	Action   string    `json:"action"`
	Combined bool      `json:"combined"`
	Severity string    `json:"severity"`
	Verdict  string    `json:"verdict"`
	Project  string    `json:"project"`
	Node     string    `json:"node"`
	At       string    `json:"at"`
	Title    string    `json:"title"`
	Text     string    `json:"text"`
	Incident *incident `json:"incident"`
	Run      *run      `json:"run"`
	Failures []failure `json:"failures"`
	Evidence []found   `json:"evidence"`
	Changes  []change  `json:"changes"`
	Items    []item    `json:"items"`
	Commands []command `json:"commands"`
}

type incident struct {
	ID          string  `json:"id"`
	Fingerprint string  `json:"fingerprint"`
	Workflow    string  `json:"workflow"`
	Check       string  `json:"check"`
	Severity    string  `json:"severity"`
	Reason      string  `json:"reason"`
	Title       string  `json:"title"`
	State       string  `json:"state"`
	Count       int     `json:"count"`
	OpenedAt    string  `json:"opened_at"`
	LastAt      string  `json:"last_at"`
	ResolvedAt  string  `json:"resolved_at"`
	DownSeconds float64 `json:"down_seconds"`
	AckedBy     string  `json:"acked_by"`
	AckedUntil  string  `json:"acked_until"`
	Flapping    bool    `json:"flapping"`
}

type run struct {
	ID         string `json:"id"`
	Workflow   string `json:"workflow"`
	Slot       string `json:"slot"`
	Trigger    string `json:"trigger"`
	By         string `json:"by"`
	State      string `json:"state"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
	Node       string `json:"node"`
	StartedAt  string `json:"started_at"`
	FinishedAt string `json:"finished_at"`
}

type failure struct {
	Job        string   `json:"job"`
	Kind       string   `json:"kind"`
	Attempt    int      `json:"attempt"`
	State      string   `json:"state"`
	Reason     string   `json:"reason"`
	Error      string   `json:"error"`
	Hint       string   `json:"hint"`
	ExitCode   int      `json:"exit_code"`
	Output     []string `json:"output"`
	OutputCut  bool     `json:"output_cut"`
	StartedAt  string   `json:"started_at"`
	FinishedAt string   `json:"finished_at"`
}

type found struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

type change struct {
	Kind    string `json:"kind"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	By      string `json:"by"`
	At      string `json:"at"`
}

type item struct {
	Notice   string `json:"notice"`
	Action   string `json:"action"`
	Severity string `json:"severity"`
	Title    string `json:"title"`
	Incident string `json:"incident"`
}

type command struct {
	Does string `json:"does"`
	Line string `json:"line"`
}

// mostItems bounds how much of a digest is listed.
const mostItems = 200

// documentOf writes a message. Foreign texts become valid, bounded and free of
// control characters, so that the document is bounded too.
func documentOf(m alerts.Message) document {
	zone := m.At.Location()
	d := document{
		Version: version, ID: wording.Line(m.ID), Thread: wording.Line(m.Thread), Action: string(m.Action), Combined: m.Combined,
		Severity: string(wording.Severity(m)), Verdict: wording.Verdict(m), Project: wording.One(m.Project), Node: wording.One(m.Node),
		At: moment(m.At, zone), Title: wording.One(m.Title), Text: wording.Lines(m.Text),
		Failures: []failure{}, Evidence: []found{}, Changes: []change{}, Items: []item{}, Commands: []command{},
	}
	d.incident(m)
	d.run(m)
	d.story(m)
	told := wording.Failures(m)
	for i, f := range m.Failures {
		shown := told[i]
		d.Failures = append(d.Failures, failure{
			Job: wording.One(f.Job), Kind: wording.One(f.Kind), Attempt: f.Number, State: string(f.State), Reason: wording.One(string(f.Reason)),
			Error: shown.Error, Hint: shown.Hint, ExitCode: f.ExitCode, Output: append([]string{}, shown.Output...), OutputCut: f.Cut,
			StartedAt: moment(f.StartedAt, zone), FinishedAt: moment(f.FinishedAt, zone),
		})
	}
	for _, one := range m.Items[:min(len(m.Items), mostItems)] {
		shown := item{Notice: wording.Line(one.Notice), Action: string(one.Action), Title: wording.One(one.Title)}
		if one.Incident != nil {
			shown.Severity, shown.Incident = wording.One(string(one.Incident.Severity)), wording.Line(one.Incident.ID)
		}
		d.Items = append(d.Items, shown)
	}
	for _, c := range wording.Commands(m) {
		d.Commands = append(d.Commands, command{Does: c.Does, Line: c.Line})
	}
	return d
}

// mostEvidence bounds one piece of evidence, in bytes, so that the whole stays far
// below mostBody; mostPieces how many there are.
const (
	mostEvidence = 16 << 10
	mostPieces   = 16
)

// story adds what was found and what had changed.
func (d *document) story(m alerts.Message) {
	for _, e := range m.Evidence[:min(len(m.Evidence), mostPieces)] {
		text := wording.Lines(e.Text)
		if len(text) > mostEvidence {
			text = strings.ToValidUTF8(text[:mostEvidence], "") + "…"
		}
		d.Evidence = append(d.Evidence, found{Name: wording.One(e.Name), Text: text})
	}
	for _, h := range m.Changes {
		d.Changes = append(d.Changes, change{
			Kind: wording.One(h.Kind), Subject: wording.One(h.Subject), Text: wording.One(h.Text), By: wording.One(h.By), At: moment(h.At, m.At.Location()),
		})
	}
}

func (d *document) incident(m alerts.Message) {
	i, zone := m.Incident, m.At.Location()
	if i == nil {
		return
	}
	d.Incident = &incident{
		ID: wording.Line(i.ID), Fingerprint: wording.One(i.Fingerprint), Workflow: wording.One(i.Workflow), Check: wording.One(i.Check),
		Severity: wording.One(string(i.Severity)), Reason: wording.One(i.Reason), Title: wording.One(i.Title), State: string(i.State), Count: i.Count,
		OpenedAt: moment(i.OpenedAt, zone), LastAt: moment(i.LastAt, zone), ResolvedAt: moment(i.ResolvedAt, zone), DownSeconds: m.Down().Seconds(),
		AckedBy: wording.One(i.AckedBy), AckedUntil: moment(i.AckedUntil, zone), Flapping: i.Flapping,
	}
}

func (d *document) run(m alerts.Message) {
	r, zone := m.Run, m.At.Location()
	if r == nil {
		return
	}
	d.Run = &run{
		ID: wording.Line(string(r.ID)), Workflow: wording.One(r.Spec.Workflow), Slot: moment(r.Slot, zone), Trigger: string(r.Trigger),
		By: wording.One(r.By), State: string(r.State), Reason: wording.One(string(r.Reason)), Message: wording.One(r.Message),
		Node: wording.One(r.Node), StartedAt: moment(r.StartedAt, zone), FinishedAt: moment(r.FinishedAt, zone),
	}
}

// samples are messages to try a template on: one with everything, with texts
// that need quoting, and one that belongs to nothing.
func samples() []alerts.Message {
	const text = "a \"quoted\" text\\ with {{braces}} and\nlines"
	full := alerts.Sample(alerts.Origin{Project: text, Node: text}, runner.NoticeOpen)
	full.Title, full.Text = text, text
	out := []alerts.Message{full}
	for _, action := range alerts.Samples() {
		out = append(out, alerts.Sample(alerts.Origin{Project: text, Node: text}, action))
	}
	return out
}
