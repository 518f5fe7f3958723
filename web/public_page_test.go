package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/web"
)

// TestPublicPage shows that people see a page where programs get JSON, and
// neither does without the configuration's word.
func TestPublicPage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		shown       bool
		accept      string
		status      int
		contentType string
		says        string
	}{
		"page":   {true, "text/html,application/xhtml+xml", http.StatusOK, "text/html; charset=utf-8", "Checks that are well"},
		"JSON":   {true, "*/*", http.StatusOK, "application/json", `"workflows"`},
		"closed": {false, "text/html", http.StatusNotFound, "application/problem+json", "nothing at this address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newFake().options()
			o.Public = func() web.Shown { return web.Shown{Status: test.shown} }
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/status", nil)
			r.Header.Set("Accept", test.accept)
			answer := httptest.NewRecorder()
			web.New(o).Handler().ServeHTTP(answer, r)
			if answer.Code != test.status || answer.Header().Get("Content-Type") != test.contentType || !strings.Contains(answer.Body.String(), test.says) {
				t.Errorf("%d %s %s", answer.Code, answer.Header().Get("Content-Type"), answer.Body)
			}
		})
	}
}
