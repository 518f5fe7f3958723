package client

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// Locks returns the named locks that are configured, held or waited for, by name.
func (c *Client) Locks(ctx context.Context) ([]api.Lock, error) {
	var answer api.Locks
	err := c.do(ctx, call{method: http.MethodGet, path: "/locks"}, &answer)
	return answer.Locks, err
}
