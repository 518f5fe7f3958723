package client

import (
	"context"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// LogLevels returns the levels from which on records are logged, by logger.
func (c *Client) LogLevels(ctx context.Context) ([]api.LogLevel, error) {
	var answer api.LogLevels
	err := c.do(ctx, call{method: http.MethodGet, path: "/log/levels"}, &answer)
	return answer.Levels, err
}

// SetLogLevel changes the level of a logger, or of all when the name is empty,
// for a while, or until the daemon ends when that is 0.
func (c *Client) SetLogLevel(ctx context.Context, logger, level string, lasts time.Duration) ([]api.LogLevel, error) {
	var answer api.LogLevels
	request := api.LogLevelRequest{Logger: logger, Level: level, ForSeconds: lasts.Seconds()}
	err := c.do(ctx, call{method: http.MethodPut, path: "/log/levels", body: request}, &answer)
	return answer.Levels, err
}

// ResetLogLevel makes the configured level hold again and tells whether another
// one did.
func (c *Client) ResetLogLevel(ctx context.Context, logger string) (bool, error) {
	var answer api.LogLevelReset
	err := c.do(ctx, call{method: http.MethodDelete, path: "/log/levels", query: query{}.set("logger", logger)}, &answer)
	return answer.Was, err
}
