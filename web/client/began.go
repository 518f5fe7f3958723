package client

import (
	"context"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// BeganIncident says when the fault of an incident really began.
func (c *Client) BeganIncident(ctx context.Context, id string, at time.Time) error {
	var done api.Done
	return c.do(ctx, call{method: http.MethodPost, path: path("incidents", id, "began"), body: api.BeganRequest{At: at.UTC()}}, &done)
}
