package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// Samples returns what is on record of a series in [since, until), in the order
// of time, at most the latest limit; zero values leave the choice to the daemon.
func (c *Client) Samples(ctx context.Context, series string, since, until time.Time, limit int) (api.Samples, error) {
	var samples api.Samples
	q := query{}.set("series", series).set("since", stamp(since)).set("until", stamp(until))
	if limit > 0 {
		q.set("limit", strconv.Itoa(limit))
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/samples", query: q}, &samples)
	return samples, err
}
