package client

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Incidents is that of runner.AlertReader.
func (c *Client) Incidents(ctx context.Context, f runner.IncidentFilter) ([]runner.Incident, error) {
	q := query{}.set("fingerprint", f.Fingerprint).set("state", words(f.States))
	var out []runner.Incident
	err := c.pages(f.Limit, f.Before, q, func(q query) (string, int, error) {
		var page api.Incidents
		err := c.do(ctx, call{method: http.MethodGet, path: "/incidents", query: q}, &page)
		for _, i := range page.Incidents {
			out = append(out, i.Runner())
		}
		return page.Next, len(page.Incidents), err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// pages reads pages until limit is reached; 0 means the usual one.
func (c *Client) pages(limit int, before string, q query, page func(query) (next string, count int, err error)) error {
	if limit <= 0 {
		limit = usualLimit
	}
	for limit > 0 {
		next, count, err := page(q.set("before", before).set("limit", strconv.Itoa(min(limit, longestPage))))
		if err != nil || next == "" {
			return err
		}
		before, limit = next, limit-count
	}
	return nil
}

// Incident is that of runner.AlertReader.
func (c *Client) Incident(ctx context.Context, idOrPrefix string) (runner.Incident, error) {
	if idOrPrefix == "" {
		return runner.Incident{}, fmt.Errorf("an incident without an ID: %w", runner.ErrNotFound)
	}
	var incident api.Incident
	if err := c.do(ctx, call{method: http.MethodGet, path: path("incidents", idOrPrefix)}, &incident); err != nil {
		return runner.Incident{}, err
	}
	return incident.Runner(), nil
}

// Notices is that of runner.AlertReader.
func (c *Client) Notices(ctx context.Context, f runner.NoticeFilter) ([]runner.Notice, error) {
	q := query{}.set("incident", f.Incident).set("channel", f.Channel).set("state", words(f.States))
	var out []runner.Notice
	err := c.pages(f.Limit, f.Before, q, func(q query) (string, int, error) {
		var page api.Notices
		err := c.do(ctx, call{method: http.MethodGet, path: "/notices", query: q}, &page)
		for _, n := range page.Notices {
			out = append(out, n.Runner())
		}
		return page.Next, len(page.Notices), err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RetryNotice makes a dead or waiting notice due now.
func (c *Client) RetryNotice(ctx context.Context, id string) error {
	var done api.Done
	return c.do(ctx, call{method: http.MethodPost, path: path("notices", id, "retry")}, &done)
}

// DropNotice gives a notice up.
func (c *Client) DropNotice(ctx context.Context, id, reason string) error {
	var done api.Done
	return c.do(ctx, call{method: http.MethodPost, path: path("notices", id, "drop"), body: api.DropRequest{Reason: reason}}, &done)
}

// TestChannel sends a test message to a channel and returns what the channel
// answered.
func (c *Client) TestChannel(ctx context.Context, name string) (receipt string, err error) {
	var tested api.Tested
	err = c.do(ctx, call{method: http.MethodPost, path: path("channels", name, "test"), within: patient}, &tested)
	return tested.Receipt, err
}
