package client

import (
	"context"
	"net/http"
	"strconv"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// RunPage returns one page of the runs that f selects, newest first, of at most
// f.Limit, which is at most 1000; with what to give as f.Before for the next.
// Without jobs it is quicker, and the runs have none.
func (c *Client) RunPage(ctx context.Context, f runner.Filter, jobs bool) (api.Runs, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = usualLimit
	}
	q := query{}.set("workflow", f.Workflow).set("state", words(f.States)).set("trigger", words(f.Triggers)).
		set("slot", stamp(f.Slot)).set("since", stamp(f.Since)).set("until", stamp(f.Until)).set("before", string(f.Before)).
		set("limit", strconv.Itoa(min(limit, longestPage))).set("jobs", strconv.FormatBool(jobs))
	var page api.Runs
	err := c.do(ctx, call{method: http.MethodGet, path: "/runs", query: q}, &page)
	return page, err
}
