package client

import (
	"context"
	"net/http"
	"strconv"

	"github.com/ghosteam/upkeep/web/api"
)

// ArtifactFilter selects artifacts. Empty fields select all.
type ArtifactFilter struct {
	Workflow, Job, Store string
	// Retention is "keep" or "remove".
	Retention string
	// Wrong selects what is damaged, suspect or unproven.
	Wrong bool
	// Before continues a list: only artifacts after the one with this ID.
	Before string
	// Limit is the most to return, at most 1000; 0 leaves it to the daemon.
	Limit int
}

// Artifacts returns a page of the artifacts that f selects, newest first, with
// what is known of the stores.
func (c *Client) Artifacts(ctx context.Context, f ArtifactFilter) (api.Backups, error) {
	q := query{}.set("workflow", f.Workflow).set("job", f.Job).set("store", f.Store).set("retention", f.Retention).set("before", f.Before)
	if f.Wrong {
		q.set("wrong", "true")
	}
	if f.Limit > 0 {
		q.set("limit", strconv.Itoa(min(f.Limit, longestPage)))
	}
	var page api.Backups
	err := c.do(ctx, call{method: http.MethodGet, path: "/artifacts", query: q, within: patient}, &page)
	return page, err
}

// Artifact returns one artifact with what it consists of and how to restore it.
func (c *Client) Artifact(ctx context.Context, id string) (api.BackupDetail, error) {
	var detail api.BackupDetail
	err := c.do(ctx, call{method: http.MethodGet, path: path("artifacts", id), within: patient}, &detail)
	return detail, err
}

// Config returns the configuration in force, with secrets redacted.
func (c *Client) Config(ctx context.Context) (api.ConfigText, error) {
	var config api.ConfigText
	err := c.do(ctx, call{method: http.MethodGet, path: "/config"}, &config)
	return config, err
}
