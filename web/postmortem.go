package web

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ghosteam/upkeep/web/api"
)

// PostMortems writes down what is on record of incidents.
type PostMortems interface {
	// PostMortem writes that of one incident, as Markdown or, with html, as one
	// HTML file that needs nothing else. The error wraps runner.ErrNotFound or a
	// *runner.AmbiguousError when no incident has the ID.
	PostMortem(ctx context.Context, idOrPrefix string, html bool, w io.Writer) error
}

// registerPostMortems adds the reports on incidents.
func (s *Server) registerPostMortems() {
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	add(s, operation{
		id: "get-post-mortem", method: http.MethodGet, path: "/incidents/{id}/report", tag: "alerts", summary: "Get the post-mortem of an incident",
		doc:     "What happened when, what was found, who was told, what had changed before, how the check answered around it, and what people have to add; as Markdown, or as one HTML file that needs nothing from elsewhere.",
		content: map[string]*huma.MediaType{"text/markdown": text, "text/html": text},
	}, s.getPostMortem)
}

type getPostMortem struct {
	ByAlertID

	Form string `query:"form" enum:"markdown,html" default:"markdown"`
}

// writtenReport is an answer for people.
type writtenReport struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// written is a report in one of its two forms.
func written(text []byte, html bool) *writtenReport {
	if html {
		return &writtenReport{ContentType: "text/html; charset=utf-8", Body: text}
	}
	return &writtenReport{ContentType: "text/markdown; charset=utf-8", Body: text}
}

func (s *Server) getPostMortem(ctx context.Context, in *getPostMortem) (*writtenReport, error) {
	if s.o.PostMortems == nil {
		return nil, api.NewProblem(api.CodeUnavailable, "`upkeep incident report` writes it without a service", "this process writes no reports")
	}
	var b bytes.Buffer
	html := in.Form == "html"
	if err := s.o.PostMortems.PostMortem(ctx, in.ID, html, &b); err != nil {
		return nil, err
	}
	return written(b.Bytes(), html), nil
}
