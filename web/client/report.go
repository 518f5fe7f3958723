package client

import (
	"context"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/web/api"
)

// reportWithin is how long a performance report may take.
const reportWithin = 3 * time.Minute

// Report returns the performance report of a window before now: as Markdown or,
// with html, as one HTML file.
func (c *Client) Report(ctx context.Context, window time.Duration, html bool) ([]byte, error) {
	form := "markdown"
	if html {
		form = "html"
	}
	q := query{}.set("form", form)
	if window > 0 {
		q.set("window", unit.Duration(window).String())
	}
	body, _, err := c.output(ctx, call{method: http.MethodGet, path: "/report", query: q, within: reportWithin})
	return body, err
}

// explainBeside is how much longer than the statement itself the answer to
// Explain may take.
const explainBeside = 30 * time.Second

// Explain asks a database of the configuration how it means to run a statement.
func (c *Client) Explain(ctx context.Context, database string, r api.ExplainRequest) (api.StatementPlan, error) {
	within := explainBeside + max(30*time.Second, time.Duration(r.Seconds*float64(time.Second)))
	var plan api.StatementPlan
	err := c.do(ctx, call{method: http.MethodPost, path: path("databases", database, "explain"), body: r, within: within}, &plan)
	return plan, err
}
