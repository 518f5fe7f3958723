package client

import (
	"context"
	"net/http"
)

// PostMortem returns the post-mortem of an incident, by its ID or an unambiguous
// beginning of it: as Markdown or, with html, as one HTML file.
func (c *Client) PostMortem(ctx context.Context, idOrPrefix string, html bool) ([]byte, error) {
	form := "markdown"
	if html {
		form = "html"
	}
	body, _, err := c.output(ctx, call{method: http.MethodGet, path: path("incidents", idOrPrefix, "report"), query: query{}.set("form", form)})
	return body, err
}
