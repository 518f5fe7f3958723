package client

import (
	"context"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// IncidentDetail returns one incident with all that is known of it.
func (c *Client) IncidentDetail(ctx context.Context, idOrPrefix string) (api.IncidentDetail, error) {
	var detail api.IncidentDetail
	err := c.do(ctx, call{method: http.MethodGet, path: path("incidents", idOrPrefix)}, &detail)
	return detail, err
}

// AckIncident says that who asks works on an incident until the given time, the
// zero time for no end.
func (c *Client) AckIncident(ctx context.Context, id, note string, until time.Time) error {
	var done api.Done
	return c.do(ctx, call{method: http.MethodPost, path: path("incidents", id, "ack"), body: api.AckRequest{Note: note, Until: api.Instant(until)}}, &done)
}

// NoteIncident adds a line to the timeline of an incident.
func (c *Client) NoteIncident(ctx context.Context, id, text string) error {
	var done api.Done
	return c.do(ctx, call{method: http.MethodPost, path: path("incidents", id, "note"), body: api.NoteRequest{Text: text}}, &done)
}

// ResolveIncident ends an incident by hand.
func (c *Client) ResolveIncident(ctx context.Context, id, note string) error {
	var done api.Done
	return c.do(ctx, call{method: http.MethodPost, path: path("incidents", id, "resolve"), body: api.ResolveRequest{Note: note}}, &done)
}

// Silences returns the silences that have not ended, or all, the newest first.
func (c *Client) Silences(ctx context.Context, all bool) ([]runner.Silence, error) {
	q := query{}
	if all {
		q.set("all", "true")
	}
	var answer api.Silences
	if err := c.do(ctx, call{method: http.MethodGet, path: "/silences", query: q}, &answer); err != nil {
		return nil, err
	}
	list := make([]runner.Silence, len(answer.Silences))
	for i, s := range answer.Silences {
		list[i] = s.Runner()
	}
	return list, nil
}

// Silence keeps incidents from being told for a while.
func (c *Client) Silence(ctx context.Context, r api.SilenceRequest) (runner.Silence, error) {
	var silence api.Silence
	err := c.do(ctx, call{method: http.MethodPost, path: "/silences", body: r}, &silence)
	return silence.Runner(), err
}

// EndSilence ends a silence.
func (c *Client) EndSilence(ctx context.Context, id string) error {
	var done api.Done
	return c.do(ctx, call{method: http.MethodDelete, path: path("silences", id)}, &done)
}
