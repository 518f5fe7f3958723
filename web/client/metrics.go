package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Metrics writes the metrics of the daemon to w, as Prometheus reads them.
func (c *Client) Metrics(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Within, ErrSilent)
	defer cancel()
	response, err := c.send(ctx, call{method: http.MethodGet, root: true, path: "/metrics"})
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if _, err := io.Copy(w, io.LimitReader(response.Body, mostAnswer)); err != nil {
		if ctx.Err() != nil {
			return c.lost(ctx, err)
		}
		return fmt.Errorf("pass the metrics on: %w", err)
	}
	return nil
}
