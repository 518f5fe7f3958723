package web

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/client"
	"github.com/ghosteam/upkeep/web/pages"
)

// viaPages is what the record says behind the name of who used a page.
const viaPages = "web"

// registerPages adds the pages for people.
func (s *Server) registerPages() {
	shown, err := pages.New(pages.Options{
		API:       client.New(client.Options{Transport: within{s}, By: viaPages, Patience: -1}),
		Who:       viewerOf,
		Login:     access.Login,
		Logout:    access.Logout,
		RequestID: requestID,
		Log:       s.log,
	})
	if err != nil {
		// The templates are part of this program, and a test renders each.
		s.log.LogAttrs(context.Background(), slog.LevelError, "there are no pages", slog.Any("error", err))
		return
	}
	s.pages = shown
	for _, pattern := range shown.Patterns() {
		s.mux.Handle(pattern, shown)
	}
}

// viewerOf is who asks, as pages show it.
func viewerOf(ctx context.Context) pages.Viewer {
	who, known := access.Of(ctx)
	if !known || who.Anonymous() {
		return pages.Viewer{Operator: who.Role.Allows(Operator), Admin: who.Role.Allows(Admin)}
	}
	return pages.Viewer{
		Name: who.Name, Role: string(who.Role), Operator: who.Role.Allows(Operator), Admin: who.Role.Allows(Admin),
		CanLogOut: who.Means == access.ByCookie,
	}
}

// within carries the requests of pages to the API of this process, in the name
// of who asked for the page.
type within struct{ s *Server }

// RoundTrip answers a request whose context is that of a request that the guard
// let in.
func (t within) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, context.Cause(r.Context())
	}
	answer := &answer{header: http.Header{}}
	rec := &recorder{ResponseWriter: answer, control: http.NewResponseController(answer)}
	rec.Header().Set(RequestIDHeader, requestID(r.Context()))
	if ctx, admitted := t.s.admit(r.Context(), rec, r); admitted {
		t.s.route(t.s.mux, rec, r.WithContext(ctx))
	}
	if answer.status == 0 {
		answer.status = http.StatusOK
	}
	return &http.Response{
		Status: http.StatusText(answer.status), StatusCode: answer.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: answer.header, Body: io.NopCloser(&answer.body), ContentLength: int64(answer.body.Len()), Request: r,
	}, nil
}

// answer keeps what a handler answers.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}
