package web_test

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// unknown asks without saying who.
func unknown(t *testing.T, handler http.Handler, target string, header http.Header) (int, http.Header, string) {
	t.Helper()
	r := newRequest(t, http.MethodGet, target, "")
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.String()
}

// TestPublic shows what anybody may see, and that without being told so nobody
// sees anything.
func TestPublic(t *testing.T) {
	t.Parallel()
	f := stocked()
	close(f.idle)
	shown := web.Shown{}
	o := f.options()
	o.Public = func() web.Shown { return shown }
	handler := web.New(o).Handler()
	for _, target := range []string{"/status", "/badge/daily.svg", "/badge/nothing.svg"} {
		if status, _, body := unknown(t, handler, target, nil); status != http.StatusNotFound || strings.Contains(body, "daily") {
			t.Errorf("%s when nobody said so: %d %s", target, status, body)
		}
	}
	shown = web.Shown{Status: true, Badges: true}
	status, header, body := unknown(t, handler, "/status", nil)
	var s api.Summary
	if err := json.Unmarshal([]byte(body), &s); err != nil || status != http.StatusOK || s.Workflows != 2 || s.Incidents != 2 || s.Status != runner.HealthWarning {
		t.Errorf("%d %v %s", status, err, body)
	}
	if strings.Contains(body, "daily") || header.Get("Cache-Control") != "public, max-age=60" {
		t.Errorf("%s %v", body, header)
	}
	delete(f.pauses, "daily")
	f.successes["daily"] = time.Now()
	badges := map[string]string{"daily": "running", "nothing": "unknown", "manual": "unknown", "%3Cscript%3E": "unknown", "..%2f..%2fetc": "unknown"}
	bodies := map[string]string{}
	for name, word := range badges {
		status, header, body := unknown(t, handler, "/badge/"+name+".svg", nil)
		bodies[name] = body
		if status != http.StatusOK || !strings.Contains(body, ">"+word+"</text>") || !strings.HasPrefix(header.Get("Content-Type"), "image/svg+xml") {
			t.Errorf("%s: %d %s", name, status, body)
		}
		decoder := xml.NewDecoder(strings.NewReader(body))
		for {
			if _, err := decoder.Token(); err == io.EOF { //nolint:errorlint // the decoder returns it as it is
				break
			} else if err != nil {
				t.Fatalf("%s is no XML: %v", name, err)
			}
		}
		if status, _, _ := unknown(t, handler, "/badge/"+name+".svg", http.Header{"If-None-Match": {header.Get("ETag")}}); status != http.StatusNotModified {
			t.Errorf("%s asked again: %d", name, status)
		}
	}
	if bodies["nothing"] != bodies["manual"] {
		t.Errorf("a name that is not configured looks different from one that never ran:\n%s\n%s", bodies["nothing"], bodies["manual"])
	}
	if status, _, _ := unknown(t, handler, "/badge/daily.png", nil); status != http.StatusNotFound {
		t.Errorf("another picture: %d", status)
	}
}

// TestETag asks again for what has not changed, and for what has.
func TestETag(t *testing.T) {
	t.Parallel()
	f := stocked()
	close(f.idle)
	handler := web.New(f.options()).Handler()
	again := func(target, tag string) (int, http.Header, string) {
		t.Helper()
		r := newRequest(t, http.MethodGet, target, "")
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r.WithContext(web.Identify(r.Context(), web.Identity{Name: "anna", Role: web.Admin})))
		return w.Code, w.Header(), w.Body.String()
	}
	for _, target := range []string{"/api/v1/runs", "/api/v1/workflows?recent=5", "/api/v1/incidents", "/api/v1/artifacts", "/api/v1/silences", "/api/v1/nodes", "/api/v1/events", "/api/v1/config"} {
		status, header, _ := ask(t, handler, http.MethodGet, target, "")
		tag := header.Get("ETag")
		if status != http.StatusOK || !strings.HasPrefix(tag, `W/"`) || header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%s: %d %v", target, status, header)
		}
		if status, header, body := again(target, `"other", `+tag); status != http.StatusNotModified || body != "" || header.Get("ETag") != tag {
			t.Errorf("%s again: %d %q %v", target, status, body, header)
		}
		if status, _, body := again(target, `W/"other"`); status != http.StatusOK || body == "" {
			t.Errorf("%s with another tag: %d", target, status)
		}
	}
	_, header, _ := ask(t, handler, http.MethodGet, "/api/v1/runs", "")
	f.put(runner.Run{ID: "019abfff-0000-7000-8000-000000000000", State: runner.Succeeded})
	if status, _, _ := again("/api/v1/runs", header.Get("ETag")); status != http.StatusOK {
		t.Errorf("after a new run: %d", status)
	}
	if _, header, _ := ask(t, handler, http.MethodGet, "/api/v1/runs/nothing", ""); header.Get("ETag") != "" {
		t.Error("a problem has a tag")
	}
}
