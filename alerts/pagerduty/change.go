package pagerduty

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/post"
	"github.com/ghosteam/upkeep/alerts/internal/wording"
)

// The shapes of a change event:
// https://developer.pagerduty.com/docs/send-change-events.
type (
	changeEvent struct {
		RoutingKey string        `json:"routing_key"`
		Payload    changePayload `json:"payload"`
		Links      []link        `json:"links,omitempty"`
	}
	changePayload struct {
		Summary   string         `json:"summary"`
		Timestamp string         `json:"timestamp"`
		Source    string         `json:"source"`
		Details   map[string]any `json:"custom_details,omitempty"`
	}
)

// composeChange writes the event of a deploy.
func (c *Channel) composeChange(m alerts.Message) *changeEvent {
	at := m.At
	details := map[string]any{"project": wording.One(m.Project), "notice": wording.Line(m.ID)}
	for _, h := range m.Changes {
		at = h.At
		details["kind"], details["subject"], details["what"], details["by"] = wording.One(h.Kind), wording.One(h.Subject), wording.One(h.Text), wording.One(h.By)
	}
	e := &changeEvent{RoutingKey: c.o.IntegrationKey.Reveal(), Payload: changePayload{
		Summary: cut(summary(m), longestSummary), Timestamp: at.UTC().Format(time.RFC3339),
		Source: cmp.Or(name(m.Node), name(m.Project), "upkeep"), Details: details,
	}}
	for _, l := range c.o.Links {
		e.Links = append(e.Links, link{Href: l.Href, Text: name(l.Text)})
	}
	return e
}

// sendChange hands a change over.
func (c *Channel) sendChange(ctx context.Context, m alerts.Message) (string, error) {
	text, err := encode(c.composeChange(m))
	if err != nil {
		return "", &alerts.PermanentError{Err: err}
	}
	a, err := c.client.Do(ctx, post.Request{
		Method: http.MethodPost, URL: changeAddress(c.o.address()), Header: http.Header{"Content-Type": {"application/json"}}, Body: text,
	})
	if err != nil {
		return "", err
	}
	if a.Status == http.StatusAccepted {
		return c.client.Receipt(a, read(a.Body).Message), nil
	}
	return "", c.client.Refused(a, refused(a))
}

// changeAddress is where changes go, beside where events do.
func changeAddress(events string) string {
	return strings.TrimSuffix(events, "/enqueue") + "/change/enqueue"
}
