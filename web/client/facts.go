package client

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// AddSamples is runner.Sampler's Observe.
func (c *Client) AddSamples(ctx context.Context, samples ...runner.Sample) error {
	if len(samples) == 0 {
		return nil
	}
	var recorded api.Recorded
	return c.do(ctx, call{method: http.MethodPost, path: "/samples", body: api.NewSamplesRequest(samples)}, &recorded)
}

// AddEvents records events, one after the other. The daemon says who brings them
// and gives them an ID.
func (c *Client) AddEvents(ctx context.Context, happenings ...runner.Happening) error {
	for _, h := range happenings {
		var recorded api.Recorded
		request := api.HappeningRequest{Kind: h.Kind, Subject: h.Subject, Text: h.Text, At: api.Instant(h.At)}
		if err := c.do(ctx, call{method: http.MethodPost, path: "/events", body: request}, &recorded); err != nil {
			return err
		}
	}
	return nil
}
