package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/web/api"
)

// Reports writes down what happened. Its method may be called from several
// goroutines; it does not work for many at once.
type Reports interface {
	// Report writes the performance report of a window before now, as Markdown
	// or, with html, as one HTML file that needs nothing else. CodeUnavailable
	// when too much else is being written.
	Report(ctx context.Context, window time.Duration, html bool, w io.Writer) error
}

// registerReports adds the performance report.
func (s *Server) registerReports() {
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	add(s, operation{
		id: "get-report", method: http.MethodGet, path: "/report", tag: "facts", summary: "Get a performance report",
		doc:     "The operational figures, the runs of every workflow with their durations and failures, the backups with their proof and sizes, the checks with their latencies, incidents, how storage grows, and what changed; as Markdown, or as one HTML file that needs nothing from elsewhere. One is written at a time.",
		content: map[string]*huma.MediaType{"text/markdown": text, "text/html": text},
	}, s.getReport)
}

type getReport struct {
	Window string `query:"window" maxLength:"20" default:"7d" doc:"how far back, such as 30d"`
	Form   string `query:"form" enum:"markdown,html" default:"markdown"`
}

func (s *Server) getReport(ctx context.Context, in *getReport) (*writtenReport, error) {
	window, err := windowOf(in.Window)
	if err != nil {
		return nil, err
	}
	html := in.Form == "html"
	var b bytes.Buffer
	if err := s.o.Reports.Report(ctx, window, html, &b); err != nil {
		return nil, err
	}
	return written(b.Bytes(), html), nil
}

// windowOf reads how far to look back; 0 when nothing is said.
func windowOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	window, err := unit.ParseDuration(text)
	if err != nil || window < shortestKPIs || window > longestKPIs {
		return 0, api.NewProblem(api.CodeInvalid, "write a duration from 1h to 732d, such as 30d", "the window is no such duration")
	}
	return window, nil
}
