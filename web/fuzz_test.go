package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/web"
)

// streams tells whether what is answered at a path goes on until somebody ends
// it.
func streams(path string) bool {
	return strings.HasSuffix(path, "/events") || strings.HasSuffix(path, "/changes")
}

// TestAnything asks every address with whatever comes to mind: no answer may
// be a fault of the server.
func TestAnything(t *testing.T) {
	t.Parallel()
	f := stocked()
	close(f.idle)
	o := f.options()
	kept := &keys{}
	o.Tokens, o.Audit, o.PostMortems = kept, kept, postMortems{}
	handler := web.New(o).Handler()
	paths := specification(t, handler)["paths"].(map[string]any)
	type address struct{ method, path string }
	var addresses []address
	for path, item := range paths {
		for method := range item.(map[string]any) {
			if !streams(path) { // which have no end
				addresses = append(addresses, address{strings.ToUpper(method), path})
			}
		}
	}
	words := rapid.OneOf(texts(), rapid.SampledFrom([]string{"daily", "019ab", "1", "-1", "0", "true", "2026-11-01T00:00:00Z", "running,failed", "1e999", "null"}))
	names := rapid.SampledFrom([]string{"workflow", "state", "since", "until", "from", "limit", "before", "run", "date", "spec", "jobs", "except"})
	bodies := rapid.OneOf(texts(), rapid.SampledFrom([]string{"", "{}", "[]", "null", `{"workflow":"daily"}`, `{"reason":"x"}`, `{"workflow":"daily","params":{"a":null}}`, `{"mode":"now"}`, `{"max_seconds":-1}`, `{"until":""}`}))
	rapid.Check(t, func(r *rapid.T) {
		a := rapid.SampledFrom(addresses).Draw(r, "address")
		target := a.path
		for strings.Contains(target, "{") {
			before, rest, _ := strings.Cut(target, "{")
			_, after, _ := strings.Cut(rest, "}")
			target = before + url.PathEscape(words.Draw(r, "part")) + after
		}
		query := url.Values{}
		for _, name := range rapid.SliceOfN(names, 0, 3).Draw(r, "names") {
			query.Set(name, words.Draw(r, "value"))
		}
		status, header, body := ask(t, handler, a.method, target+"?"+query.Encode(), bodies.Draw(r, "body"))
		if status >= http.StatusInternalServerError {
			r.Errorf("%s %s?%s: %d %s", a.method, target, query.Encode(), status, body)
		}
		if status >= http.StatusBadRequest && header.Get("Content-Type") != "application/problem+json" {
			r.Errorf("%s %s?%s: %d %s", a.method, target, query.Encode(), status, header.Get("Content-Type"))
		}
	})
}
