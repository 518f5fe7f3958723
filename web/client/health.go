package client

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// freshWithin is how long checks may take that are asked anew.
const freshWithin = 5 * time.Minute

// Checks tells how the checks of the names are, or all when there are none. With
// fresh they are asked anew first.
func (c *Client) Checks(ctx context.Context, fresh bool, names ...string) (api.Checks, error) {
	k := call{method: http.MethodGet, path: "/checks", query: query{}.set("check", strings.Join(names, ","))}
	if fresh {
		k.query.set("fresh", "true")
		k.within = freshWithin
	}
	var checks api.Checks
	err := c.do(ctx, k, &checks)
	return checks, err
}
