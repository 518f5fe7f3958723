package client

import (
	"context"
	"net/http"
	"strconv"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

var _ runner.AuditReader = (*Client)(nil)

// Actions returns the lines of the audit that f selects, newest first.
func (c *Client) Actions(ctx context.Context, f runner.ActionFilter) ([]runner.Action, error) {
	left := f.Limit
	if left <= 0 {
		left = usualLimit
	}
	var out []runner.Action
	for before := f.Before; left > 0; {
		q := query{}.set("who", f.Who).set("what", f.What).set("end", string(f.End)).set("since", stamp(f.Since)).set("until", stamp(f.Until)).
			set("before", before).set("limit", strconv.Itoa(min(left, longestPage)))
		var page api.Actions
		if err := c.do(ctx, call{method: http.MethodGet, path: "/audit", query: q}, &page); err != nil {
			return nil, err
		}
		for _, a := range page.Actions {
			out = append(out, a.Runner())
		}
		left -= len(page.Actions)
		if before = page.Next; before == "" {
			break
		}
	}
	return out, nil
}
