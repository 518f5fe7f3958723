package client

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Caller tells who this client is to the daemon, and what it may do.
func (c *Client) Caller(ctx context.Context) (api.Caller, error) {
	var caller api.Caller
	err := c.do(ctx, call{method: http.MethodGet, path: "/caller"}, &caller)
	return caller, err
}

// Tokens returns the tokens, those in use first.
func (c *Client) Tokens(ctx context.Context) ([]runner.Token, error) {
	var answer api.Tokens
	if err := c.do(ctx, call{method: http.MethodGet, path: "/tokens"}, &answer); err != nil {
		return nil, err
	}
	list := make([]runner.Token, len(answer.Tokens))
	for i, t := range answer.Tokens {
		list[i] = t.Runner()
	}
	return list, nil
}

// CreateToken makes a token. Its text is in the answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, r api.TokenRequest) (api.TokenMade, error) {
	var made api.TokenMade
	err := c.do(ctx, call{method: http.MethodPost, path: "/tokens", body: r}, &made)
	return made, err
}

// RevokeToken takes the token in use of that name or ID back.
func (c *Client) RevokeToken(ctx context.Context, nameOrID string) (runner.Token, error) {
	var t api.Token
	err := c.do(ctx, call{method: http.MethodDelete, path: path("tokens", nameOrID)}, &t)
	return t.Runner(), err
}
