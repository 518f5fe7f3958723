package client

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/web/api"
)

// KPIs returns the operational figures of these names, or all, over a window
// before now; 0 is the window of the daemon's configuration. With rows they say
// what they were computed from.
func (c *Client) KPIs(ctx context.Context, window time.Duration, rows bool, names ...string) (api.KPIs, error) {
	q := query{}.set("name", strings.Join(names, ",")).set("rows", strconv.FormatBool(rows))
	if window > 0 {
		q.set("window", unit.Duration(window).String())
	}
	var list api.KPIs
	err := c.do(ctx, call{method: http.MethodGet, path: "/kpis", query: q}, &list)
	return list, err
}
