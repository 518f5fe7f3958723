package client

import (
	"context"
	"net/http"
	"strconv"

	"github.com/ghosteam/upkeep/web/api"
)

// Ping tells a heartbeat how the work goes that it stands for. When it returns
// nil, the ping is on record.
func (c *Client) Ping(ctx context.Context, slug string, p api.PingRequest) error {
	parts := []string{"ping", slug}
	switch {
	case p.Start:
		parts = append(parts, "start")
	case p.Code != 0:
		parts = append(parts, strconv.Itoa(p.Code))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Within, ErrSilent)
	defer cancel()
	response, err := c.send(ctx, call{method: http.MethodPost, path: path(parts...), text: p.Text})
	if err != nil {
		return err
	}
	return response.Body.Close()
}
