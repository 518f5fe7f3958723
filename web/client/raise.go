package client

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// SendAlert says that something is wrong, or no longer is.
func (c *Client) SendAlert(ctx context.Context, r api.AlertRequest) (api.Alerted, error) {
	var done api.Alerted
	err := c.do(ctx, call{method: http.MethodPost, path: "/alerts", body: r}, &done)
	return done, err
}
