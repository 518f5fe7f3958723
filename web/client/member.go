package client

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// Members returns the nodes that belong to the system, ordered by name.
func (c *Client) Members(ctx context.Context) ([]api.Member, error) {
	var answer api.Nodes
	err := c.do(ctx, call{method: http.MethodGet, path: "/nodes"}, &answer)
	return answer.Members, err
}

// ForgetNode takes a node that is gone for good off the list.
func (c *Client) ForgetNode(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path("nodes", name)}, &api.Forgotten{})
}
