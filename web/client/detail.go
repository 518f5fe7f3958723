package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// RecentWorkflows is Workflows, each with its newest runs, at most so many, and
// how long it usually takes.
func (c *Client) RecentWorkflows(ctx context.Context, recent int) ([]api.Workflow, error) {
	var answer api.Workflows
	err := c.do(ctx, call{method: http.MethodGet, path: "/workflows", query: query{"recent": {strconv.Itoa(recent)}}}, &answer)
	return answer.Workflows, err
}

// WorkflowDetail returns a configured workflow with its definition and its
// newest runs, at most so many.
func (c *Client) WorkflowDetail(ctx context.Context, workflow string, recent int) (api.WorkflowDetail, error) {
	var detail api.WorkflowDetail
	err := c.do(ctx, call{method: http.MethodGet, path: path("workflows", workflow), query: query{"recent": {strconv.Itoa(recent)}}}, &detail)
	return detail, err
}

// Calendar returns the slots of a workflow in [from, until), past and coming, at
// most limit; zero values leave the choice to the daemon.
func (c *Client) Calendar(ctx context.Context, workflow string, from, until time.Time, limit int) (api.Calendar, error) {
	q := query{}.set("from", stamp(from)).set("until", stamp(until))
	if limit > 0 {
		q.set("limit", strconv.Itoa(limit))
	}
	var calendar api.Calendar
	err := c.do(ctx, call{method: http.MethodGet, path: path("workflows", workflow, "slots"), query: q}, &calendar)
	return calendar, err
}

// RunDetail returns one run, by its ID or an unambiguous beginning of it, with
// all that a page about it shows.
func (c *Client) RunDetail(ctx context.Context, idOrPrefix string) (api.RunDetail, error) {
	var detail api.RunDetail
	err := c.do(ctx, call{method: http.MethodGet, path: path("runs", idOrPrefix, "detail")}, &detail)
	return detail, err
}
