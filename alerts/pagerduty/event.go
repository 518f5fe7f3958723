package pagerduty

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/wording"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Limits of the Events API v2: https://developer.pagerduty.com/docs/send-alert-event
// and https://developer.pagerduty.com/docs/events-api-v2-overview#size-limits.
const (
	longestSummary = 1024 // characters
	longestKey     = 255  // characters
	longestName    = 255  // characters of source, component, group and class; PagerDuty names no limit
	mostEvent      = 500_000
)

// The actions of events.
const (
	trigger     = "trigger"
	acknowledge = "acknowledge"
	resolve     = "resolve"
)

// The shapes of an event.
type (
	event struct {
		RoutingKey string  `json:"routing_key"`
		Action     string  `json:"event_action"`
		DedupKey   string  `json:"dedup_key"`
		Payload    payload `json:"payload"`
		Client     string  `json:"client,omitempty"`
		Links      []link  `json:"links,omitempty"`
	}
	payload struct {
		Summary   string         `json:"summary"`
		Source    string         `json:"source"`
		Severity  string         `json:"severity"`
		Timestamp string         `json:"timestamp,omitempty"`
		Component string         `json:"component,omitempty"`
		Group     string         `json:"group,omitempty"`
		Class     string         `json:"class,omitempty"`
		Details   map[string]any `json:"custom_details,omitempty"`
	}
	link struct {
		Href string `json:"href"`
		Text string `json:"text,omitempty"`
	}
)

// pages tells whether a message is sent. Ends and acknowledgements are: the
// incident may have been graver before. So are tests, which somebody waits for.
func (c *Channel) pages(m alerts.Message) bool {
	switch m.Action {
	case runner.NoticeResolve, runner.NoticeAck, runner.NoticeTest, runner.NoticeChange:
		return true
	default:
		return slices.Contains(c.o.Severities, severity(m))
	}
}

func severity(m alerts.Message) jobs.Severity { return wording.Severity(m) }

func actionOf(m alerts.Message) string {
	switch m.Action {
	case runner.NoticeResolve:
		return resolve
	case runner.NoticeAck:
		return acknowledge
	default:
		return trigger
	}
}

// compose writes the event. The same message always gives the same one.
func (c *Channel) compose(m alerts.Message) *event {
	e := &event{
		RoutingKey: c.o.IntegrationKey.Reveal(), Action: actionOf(m), DedupKey: key(m), Client: "upkeep",
		Payload: payload{
			Summary: cut(summary(m), longestSummary), Severity: string(severity(m)), Timestamp: began(m).UTC().Format(time.RFC3339),
			Group: name(cmp.Or(c.o.Group, m.Project)), Details: details(m),
		},
	}
	node := m.Node
	if m.Run != nil {
		node = cmp.Or(m.Run.Node, node)
	}
	e.Payload.Source = cmp.Or(name(node), name(m.Project), "upkeep")
	if i := m.Incident; i != nil {
		e.Payload.Component, e.Payload.Class = name(cmp.Or(i.Check, i.Workflow, "upkeep")), name(i.Reason)
	} else {
		e.Payload.Component, e.Payload.Class = "upkeep", string(m.Action)
	}
	for _, l := range c.o.Links {
		e.Links = append(e.Links, link{Href: l.Href, Text: name(l.Text)})
	}
	return e
}

// key names the alert of an incident, the same for all its messages; what
// belongs to no incident has one of its own.
func key(m alerts.Message) string {
	id := "notice/" + m.ID
	if m.Incident != nil {
		id = m.Incident.ID
	}
	text := "upkeep/" + m.Project + "/" + id
	if len(text) <= longestKey && wording.Line(text) == text {
		return text
	}
	sum := sha256.Sum256([]byte(m.Project + "\x00" + id))
	return "upkeep/" + hex.EncodeToString(sum[:])
}

func summary(m alerts.Message) string {
	line := m.Title
	if m.Action == runner.NoticeTest || m.Action == runner.NoticeRemind || m.Action == runner.NoticeWeekly {
		line = wording.Headline(m)
	}
	if m.Project != "" {
		line = "[" + wording.One(m.Project) + "] " + line
	}
	return cmp.Or(wording.One(line), "something is wrong")
}

// began is when the fault did, or the notice was made.
func began(m alerts.Message) time.Time {
	if m.Incident != nil && !m.Incident.OpenedAt.IsZero() && m.Action != runner.NoticeResolve && m.Action != runner.NoticeAck {
		return m.Incident.OpenedAt
	}
	return m.At
}

// name makes foreign text fit for a short field.
func name(text string) string { return cut(wording.One(text), longestName) }

// cut shortens to so many characters.
func cut(text string, limit int) string {
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// details are what PagerDuty shows as a table.
func details(m alerts.Message) map[string]any {
	out := map[string]any{"notice": wording.Line(m.ID), "project": wording.One(m.Project), "action": string(m.Action)}
	if m.Incident != nil {
		out["incident"], out["fingerprint"] = wording.Line(m.Incident.ID), wording.One(m.Incident.Fingerprint)
	}
	for _, f := range wording.Facts(m) {
		out[strings.ToLower(f.Name)] = f.Value
	}
	if lead := wording.Lead(m); lead != "" {
		out["note"] = lead
	}
	if text := wording.Lines(m.Text); text != "" {
		out["text"] = text
	}
	var failures []map[string]any
	evidence := map[string]any{}
	for _, f := range wording.Failures(m) {
		if f.Found {
			evidence[strings.TrimPrefix(f.Head, "found: ")] = f.Output
			continue
		}
		one := map[string]any{"what": f.Head}
		if f.Error != "" {
			one["error"] = f.Error
		}
		if f.Hint != "" {
			one["hint"] = f.Hint
		}
		if len(f.Output) > 0 {
			one["output"] = f.Output
		}
		failures = append(failures, one)
	}
	if len(failures) > 0 {
		out["failures"] = failures
	}
	if len(evidence) > 0 {
		out["evidence"] = evidence
	}
	if changes := changed(m); len(changes) > 0 {
		out["changed before"] = changes
	}
	var commands []string
	for _, c := range wording.Commands(m) {
		commands = append(commands, strings.TrimSuffix(c.Line+"   # "+c.Does, "   # "))
	}
	if len(commands) > 0 {
		out["commands"] = commands
	}
	return out
}

// changed lists what had changed before the fault, the latest first.
func changed(m alerts.Message) []string {
	var list []string
	for _, h := range m.Changes {
		line := fmt.Sprintf("%s %s %s: %s", wording.When(m, h.At), wording.One(h.Kind), wording.One(h.Subject), wording.One(h.Text))
		if h.By != "" {
			line += " (by " + wording.One(h.By) + ")"
		}
		list = append(list, line)
	}
	return list
}

// encode writes the event. One that is too long loses output first, then what
// was found, then what failed, then all details.
func (e *event) encode() ([]byte, error) {
	without := func(key string) func() { return func() { delete(e.Payload.Details, key) } }
	for _, shorten := range []func(){func() {}, e.withoutOutput, without("evidence"), without("failures"), func() { e.Payload.Details = nil }} {
		shorten()
		text, err := encode(e)
		if err != nil {
			return nil, &alerts.PermanentError{Err: fmt.Errorf("write the event: %w", err)}
		}
		if len(text) <= mostEvent {
			return text, nil
		}
	}
	return nil, &alerts.PermanentError{Err: fmt.Errorf("the event is longer than %d bytes without any details", mostEvent)}
}

func (e *event) withoutOutput() {
	failures, _ := e.Payload.Details["failures"].([]map[string]any)
	for _, one := range failures {
		if _, given := one["output"]; given {
			one["output"] = "left out: the event would be too long"
		}
	}
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return b.Bytes(), err
}

// reply is what PagerDuty answers.
type reply struct {
	Status   string   `json:"status"`
	Message  string   `json:"message"`
	DedupKey string   `json:"dedup_key"`
	Errors   []string `json:"errors"`
}

// read understands an answer; of one that is not PagerDuty's it returns
// nothing.
func read(body []byte) reply {
	var r reply
	if err := json.Unmarshal(body, &r); err != nil {
		return reply{}
	}
	return r
}
