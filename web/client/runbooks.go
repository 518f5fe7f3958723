package client

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// Runbooks returns the workflows that checks start, in the order of the
// configuration.
func (c *Client) Runbooks(ctx context.Context) ([]api.Runbook, error) {
	var list api.Runbooks
	err := c.do(ctx, call{method: http.MethodGet, path: "/runbooks"}, &list)
	return list.Runbooks, err
}

// Runbook returns one runbook with its latest runs.
func (c *Client) Runbook(ctx context.Context, name string) (api.RunbookStory, error) {
	var story api.RunbookStory
	err := c.do(ctx, call{method: http.MethodGet, path: path("runbooks", name)}, &story)
	return story, err
}

// RunbookPlan tells what a runbook would run now, and what would refuse it.
func (c *Client) RunbookPlan(ctx context.Context, name string) (api.RunbookPlan, error) {
	var plan api.RunbookPlan
	err := c.do(ctx, call{method: http.MethodGet, path: path("runbooks", name, "plan")}, &plan)
	return plan, err
}
