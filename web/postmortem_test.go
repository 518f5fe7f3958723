package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
)

// postMortems writes one line, about one incident.
type postMortems struct{}

func (postMortems) PostMortem(_ context.Context, id string, html bool, w io.Writer) error {
	if id != "01b0" {
		return fmt.Errorf("incident %s: %w", id, runner.ErrNotFound)
	}
	_, err := fmt.Fprintf(w, "about %s, html %t", id, html)
	return err
}

func TestPostMortem(t *testing.T) {
	t.Parallel()
	o := newFake().options()
	o.PostMortems = postMortems{}
	none := newFake().options()
	for target, want := range map[string]struct {
		o           web.Options
		status      int
		contentType string
		says        string
	}{
		"/incidents/01b0/report":               {o, http.StatusOK, "text/markdown; charset=utf-8", "about 01b0, html false"},
		"/incidents/01b0/report?form=html":     {o, http.StatusOK, "text/html; charset=utf-8", "about 01b0, html true"},
		"/incidents/01b1/report":               {o, http.StatusNotFound, "application/problem+json", "not_found"},
		"/incidents/01b0/report?form=pdf":      {o, http.StatusUnprocessableEntity, "application/problem+json", "invalid"},
		"/incidents/01b0/report?form=markdown": {none, http.StatusServiceUnavailable, "application/problem+json", "upkeep incident report"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, web.Prefix+target, nil)
		r = r.WithContext(web.Identify(r.Context(), web.Identity{Name: "eve", Role: web.Viewer}))
		answer := httptest.NewRecorder()
		web.New(want.o).Handler().ServeHTTP(answer, r)
		if answer.Code != want.status || answer.Header().Get("Content-Type") != want.contentType || !strings.Contains(answer.Body.String(), want.says) {
			t.Errorf("%s: %d %s %s", target, answer.Code, answer.Header().Get("Content-Type"), answer.Body)
		}
	}
}
