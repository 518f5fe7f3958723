package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// patient is how long what touches other machines, or every file of the
// configuration, may take.
const patient = 2 * time.Minute

// Start asks for a run and returns when it is on record. Asking is safe to
// repeat on the way: the daemon starts one run for one call.
func (c *Client) Start(ctx context.Context, r api.RunRequest) (api.RunAccepted, error) {
	return c.StartOnce(ctx, uuid.NewString(), r)
}

// StartOnce is Start for one of several calls that mean the same run: those
// with the same key, of 1 to 255 bytes, and the same request.
func (c *Client) StartOnce(ctx context.Context, key string, r api.RunRequest) (api.RunAccepted, error) {
	var accepted api.RunAccepted
	header := http.Header{"Idempotency-Key": {key}}
	err := c.do(ctx, call{method: http.MethodPost, path: "/runs", header: header, body: r}, &accepted)
	return accepted, err
}

// Cancel asks for the end of a run and returns its state before.
func (c *Client) Cancel(ctx context.Context, id runner.RunID) (runner.State, error) {
	var accepted api.CancelAccepted
	err := c.do(ctx, call{method: http.MethodPost, path: path("runs", string(id), "cancel")}, &accepted)
	return accepted.Before, err
}

// Retry continues a run; from is a job to repeat with all that need it, or
// empty.
func (c *Client) Retry(ctx context.Context, id runner.RunID, from string) error {
	var acted api.Acted
	return c.do(ctx, call{method: http.MethodPost, path: path("runs", string(id), "retry"), body: api.RetryRequest{From: from}}, &acted)
}

// Approve lets a run go that waits for approval.
func (c *Client) Approve(ctx context.Context, id runner.RunID) error {
	var acted api.Acted
	return c.do(ctx, call{method: http.MethodPost, path: path("runs", string(id), "approve")}, &acted)
}

// Workflows returns the configured workflows in the order of the
// configuration.
func (c *Client) Workflows(ctx context.Context) ([]api.Workflow, error) {
	var answer api.Workflows
	err := c.do(ctx, call{method: http.MethodGet, path: "/workflows"}, &answer)
	return answer.Workflows, err
}

// Pause keeps the slots of a workflow from running until the given time, the
// zero time for until somebody ends it.
func (c *Client) Pause(ctx context.Context, workflow, reason string, until time.Time) (runner.Pause, error) {
	request := api.PauseRequest{Reason: reason}
	if !until.IsZero() {
		request.Until = &until
	}
	var pause api.Pause
	if err := c.do(ctx, call{method: http.MethodPost, path: path("workflows", workflow, "pause"), body: request}, &pause); err != nil {
		return runner.Pause{}, err
	}
	return pause.Runner(), nil
}

// Unpause ends a pause and tells whether there was one.
func (c *Client) Unpause(ctx context.Context, workflow string) (bool, error) {
	var answer api.Unpaused
	err := c.do(ctx, call{method: http.MethodDelete, path: path("workflows", workflow, "pause")}, &answer)
	return answer.Was, err
}

// Pauses returns the pauses in force, ordered by workflow.
func (c *Client) Pauses(ctx context.Context) ([]runner.Pause, error) {
	var answer api.Pauses
	if err := c.do(ctx, call{method: http.MethodGet, path: "/pauses"}, &answer); err != nil {
		return nil, err
	}
	pauses := make([]runner.Pause, len(answer.Pauses))
	for i, p := range answer.Pauses {
		pauses[i] = p.Runner()
	}
	return pauses, nil
}

// Plan returns the coming slots in [from, until) of one workflow, or of all
// when the name is empty, at most limit; zero values leave the choice to the
// daemon.
func (c *Client) Plan(ctx context.Context, workflow string, from, until time.Time, limit int) (api.Plan, error) {
	q := query{}.set("workflow", workflow).set("from", stamp(from)).set("until", stamp(until))
	if limit > 0 {
		q.set("limit", strconv.Itoa(limit))
	}
	var plan api.Plan
	err := c.do(ctx, call{method: http.MethodGet, path: "/plan", query: q}, &plan)
	return plan, err
}

// Why explains what became of the slots of a day; an empty date is the last
// slot, an empty node all of them.
func (c *Client) Why(ctx context.Context, workflow, date, node string) (api.Why, error) {
	var why api.Why
	err := c.do(ctx, call{method: http.MethodGet, path: path("workflows", workflow, "why"), query: query{}.set("date", date).set("node", node)}, &why)
	return why, err
}

// Status tells how the daemon is.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	var status api.Status
	err := c.do(ctx, call{method: http.MethodGet, path: "/status"}, &status)
	return status, err
}

// Health tells the daemon's health in short.
func (c *Client) Health(ctx context.Context) (api.Health, error) {
	var health api.Health
	err := c.do(ctx, call{method: http.MethodGet, path: "/health"}, &health)
	return health, err
}

// Nodes returns the nodes on record, ordered by name and registration.
func (c *Client) Nodes(ctx context.Context) ([]api.Node, error) {
	var answer api.Nodes
	err := c.do(ctx, call{method: http.MethodGet, path: "/nodes"}, &answer)
	return answer.Nodes, err
}

// Drain keeps new runs from starting. With untilIdle it waits until nothing
// runs, for at most the given time, 0 for a day; Idle tells whether that came
// about.
func (c *Client) Drain(ctx context.Context, untilIdle bool, most time.Duration) (api.Drain, error) {
	request := api.DrainRequest{Mode: api.DrainNow}
	within := c.o.Within
	if untilIdle {
		if most <= 0 {
			most = 24 * time.Hour
		}
		request.Mode, request.MaxSeconds = api.DrainUntilIdle, most.Seconds()
		within += most
	}
	var drain api.Drain
	err := c.do(ctx, call{method: http.MethodPost, path: "/drain", body: request, within: within}, &drain)
	return drain, err
}

// Undrain lets runs start again and tells whether there was a drain.
func (c *Client) Undrain(ctx context.Context) (bool, error) {
	var answer api.Undrained
	err := c.do(ctx, call{method: http.MethodDelete, path: "/drain"}, &answer)
	return answer.Was, err
}

// Reload loads the configuration anew. A file that does not load is no error:
// the answer is degraded then and says why.
func (c *Client) Reload(ctx context.Context) (api.Reload, error) {
	var reload api.Reload
	err := c.do(ctx, call{method: http.MethodPost, path: "/reload", within: patient}, &reload)
	return reload, err
}
