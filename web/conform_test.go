package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ghosteam/upkeep/web"
)

// specification is the document that the server answers.
func specification(t *testing.T, handler http.Handler) map[string]any {
	t.Helper()
	_, _, body := ask(t, handler, http.MethodGet, "/api/v1/openapi.json", "")
	var spec map[string]any
	if err := json.Unmarshal([]byte(body), &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

func ask(t *testing.T, handler http.Handler, method, target, body string) (int, http.Header, string) {
	t.Helper()
	r := newRequest(t, method, target, body)
	r = r.WithContext(web.Identify(r.Context(), web.Identity{Name: "anna", Role: web.Admin}))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.String()
}

// at walks down a decoded document.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

// TestConform shows that what is answered is what the document says, and that
// the document leaves no operation out.
func TestConform(t *testing.T) {
	t.Parallel()
	f := stocked()
	close(f.idle)
	o := f.options()
	kept := &keys{}
	o.Tokens, o.Audit = kept, kept
	handler := web.New(o).Handler()
	spec := specification(t, handler)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", spec); err != nil {
		t.Fatal(err)
	}
	const id, until = "019ab004", `{"reason":"tests","until":"2100-01-01T00:00:00Z"}`
	calls := []struct{ method, path, target, body string }{
		{"get", "/api/v1/runs", "/api/v1/runs?spec=true", ""},
		{"get", "/api/v1/runs/{id}", "/api/v1/runs/" + id, ""},
		{"get", "/api/v1/runs/{id}", "/api/v1/runs/nothing", ""},
		{"get", "/api/v1/runs/{id}", "/api/v1/runs/019ab", ""},
		{"get", "/api/v1/runs/{id}/attempts", "/api/v1/runs/" + id + "/attempts", ""},
		{"get", "/api/v1/attempts", "/api/v1/attempts?run=" + id, ""},
		{"get", "/api/v1/attempts", "/api/v1/attempts", ""},
		{"get", "/api/v1/latest", "/api/v1/latest?workflow=daily,manual", ""},
		{"get", "/api/v1/workflows/{workflow}/jobs/{job}/past", "/api/v1/workflows/daily/jobs/backup/past", ""},
		{"get", "/api/v1/caller", "/api/v1/caller", ""},
		{"post", "/api/v1/tokens", "/api/v1/tokens", `{"name":"grafana","role":"viewer"}`},
		{"post", "/api/v1/tokens", "/api/v1/tokens", `{"name":"grafana","role":"none"}`},
		{"get", "/api/v1/tokens", "/api/v1/tokens", ""},
		{"delete", "/api/v1/tokens/{token}", "/api/v1/tokens/grafana", ""},
		{"delete", "/api/v1/tokens/{token}", "/api/v1/tokens/nobody", ""},
		{"get", "/api/v1/audit", "/api/v1/audit", ""},
		{"get", "/api/v1/runs", "/api/v1/runs?q=DAI&limit=2", ""},
		{"get", "/api/v1/runs/{id}/detail", "/api/v1/runs/" + id + "/detail", ""},
		{"get", "/api/v1/workflows", "/api/v1/workflows?recent=30", ""},
		{"get", "/api/v1/workflows/{workflow}", "/api/v1/workflows/daily", ""},
		{"get", "/api/v1/workflows/{workflow}", "/api/v1/workflows/nothing", ""},
		{"get", "/api/v1/workflows/{workflow}/slots", "/api/v1/workflows/daily/slots?from=2026-11-01T00:00:00Z&until=2026-11-10T00:00:00Z", ""},
		{"get", "/api/v1/workflows/{workflow}/slots", "/api/v1/workflows/daily/slots?from=2026-11-01T00:00:00Z&until=2026-10-10T00:00:00Z", ""},
		{"get", "/api/v1/config", "/api/v1/config", ""},
		{"get", "/api/v1/artifacts", "/api/v1/artifacts?limit=1", ""},
		{"get", "/api/v1/artifacts", "/api/v1/artifacts?before=x", ""},
		{"get", "/api/v1/artifacts/{id}", "/api/v1/artifacts/20261103-120000.000-aaaaaaaaaa", ""},
		{"get", "/api/v1/artifacts/{id}", "/api/v1/artifacts/nothing", ""},
		{"get", "/api/v1/samples", "/api/v1/samples?series=accuracy&points=2", ""},
		{"post", "/api/v1/runs", "/api/v1/runs", `{"workflow":"daily"}`},
		{"post", "/api/v1/runs", "/api/v1/runs", `{"workflow":7}`},
		{"post", "/api/v1/runs/{id}/cancel", "/api/v1/runs/" + id + "/cancel", ""},
		{"post", "/api/v1/runs/{id}/retry", "/api/v1/runs/" + id + "/retry", `{"from":"backup"}`},
		{"post", "/api/v1/runs/{id}/retry", "/api/v1/runs/" + id + "/retry", ""},
		{"post", "/api/v1/runs/{id}/approve", "/api/v1/runs/" + id + "/approve", ""},
		{"get", "/api/v1/workflows", "/api/v1/workflows", ""},
		{"post", "/api/v1/workflows/{workflow}/pause", "/api/v1/workflows/daily/pause", until},
		{"get", "/api/v1/pauses", "/api/v1/pauses", ""},
		{"delete", "/api/v1/workflows/{workflow}/pause", "/api/v1/workflows/daily/pause", ""},
		{"get", "/api/v1/plan", "/api/v1/plan", ""},
		{"get", "/api/v1/workflows/{workflow}/why", "/api/v1/workflows/daily/why?date=2026-11-01", ""},
		{"get", "/api/v1/incidents", "/api/v1/incidents", ""},
		{"get", "/api/v1/incidents/{id}", "/api/v1/incidents/01a1", ""},
		{"post", "/api/v1/incidents/{id}/ack", "/api/v1/incidents/01a1/ack", ""},
		{"post", "/api/v1/incidents/{id}/ack", "/api/v1/incidents/01a1/ack", `{"note":"on it","until":"2100-01-01T00:00:00Z"}`},
		{"post", "/api/v1/incidents/{id}/began", "/api/v1/incidents/01a1/began", `{"at":"2026-01-01T00:00:00Z"}`},
		{"post", "/api/v1/incidents/{id}/note", "/api/v1/incidents/01a1/note", `{"text":"restarted"}`},
		{"post", "/api/v1/incidents/{id}/resolve", "/api/v1/incidents/01a1/resolve", ""},
		{"post", "/api/v1/silences", "/api/v1/silences", `{"check":"db*","why":"moving","until":"2100-01-01T00:00:00Z"}`},
		{"post", "/api/v1/silences", "/api/v1/silences", `{"why":"moving","until":"2100-01-01T00:00:00Z"}`},
		{"get", "/api/v1/silences", "/api/v1/silences?all=true", ""},
		{"delete", "/api/v1/silences/{id}", "/api/v1/silences/01c0", ""},
		{"get", "/api/v1/notices", "/api/v1/notices", ""},
		{"post", "/api/v1/notices/{id}/retry", "/api/v1/notices/01b2/retry", ""},
		{"post", "/api/v1/notices/{id}/drop", "/api/v1/notices/01b2/drop", ""},
		{"post", "/api/v1/notices/{id}/drop", "/api/v1/notices/01b2/drop", `{"reason":"old"}`},
		{"post", "/api/v1/channels/{name}/test", "/api/v1/channels/ops/test", ""},
		{"post", "/api/v1/alerts", "/api/v1/alerts", `{"type":"drift","message":"81 %","severity":"critical","metadata":{"model":"v41"}}`},
		{"post", "/api/v1/samples", "/api/v1/samples", `{"samples":[{"series":"accuracy","value":0.93}]}`},
		{"post", "/api/v1/samples", "/api/v1/samples", `{"samples":[{"series":"Not a name","value":1}]}`},
		{"get", "/api/v1/samples", "/api/v1/samples?series=accuracy", ""},
		{"get", "/api/v1/samples", "/api/v1/samples", ""},
		{"get", "/api/v1/series", "/api/v1/series?prefix=acc", ""},
		{"post", "/api/v1/events", "/api/v1/events", `{"kind":"deploy","subject":"api","text":"1.4.2: ok"}`},
		{"get", "/api/v1/events", "/api/v1/events?kind=deploy", ""},
		{"get", "/api/v1/kpis", "/api/v1/kpis?window=7d&rows=true&name=uptime,mttr", ""},
		{"get", "/api/v1/kpis", "/api/v1/kpis?window=1m", ""},
		{"get", "/api/v1/runbooks", "/api/v1/runbooks", ""},
		{"get", "/api/v1/runbooks/{workflow}", "/api/v1/runbooks/mend", ""},
		{"get", "/api/v1/runbooks/{workflow}", "/api/v1/runbooks/nothing", ""},
		{"get", "/api/v1/runbooks/{workflow}/plan", "/api/v1/runbooks/mend/plan", ""},
		{"post", "/api/v1/databases/{name}/explain", "/api/v1/databases/main/explain", `{"sql":"SELECT 1","analyze":true}`},
		{"post", "/api/v1/databases/{name}/explain", "/api/v1/databases/main/explain", `{"sql":"SELECT 1","diff":"before"}`},
		{"post", "/api/v1/databases/{name}/explain", "/api/v1/databases/nothing/explain", `{"sql":"SELECT 1"}`},
		{"post", "/api/v1/databases/{name}/explain", "/api/v1/databases/main/explain", `{"sql":""}`},
		{"get", "/api/v1/nodes", "/api/v1/nodes", ""},
		{"get", "/api/v1/locks", "/api/v1/locks", ""},
		{"delete", "/api/v1/nodes/{name}", "/api/v1/nodes/db-9", ""},
		{"delete", "/api/v1/nodes/{name}", "/api/v1/nodes/alive", ""},
		{"get", "/api/v1/status", "/api/v1/status", ""},
		{"get", "/api/v1/health", "/api/v1/health", ""},
		{"get", "/api/v1/checks", "/api/v1/checks?fresh=true", ""},
		{"get", "/api/v1/checks", "/api/v1/checks?check=nothing", ""},
		{"post", "/api/v1/drain", "/api/v1/drain", ""},
		{"post", "/api/v1/drain", "/api/v1/drain", `{"mode":"until_idle"}`},
		{"delete", "/api/v1/drain", "/api/v1/drain", ""},
		{"post", "/api/v1/reload", "/api/v1/reload", ""},
		{"get", "/api/v1/log/levels", "/api/v1/log/levels", ""},
		{"put", "/api/v1/log/levels", "/api/v1/log/levels", `{"level":"debug","logger":"http","for_seconds":60}`},
		{"put", "/api/v1/log/levels", "/api/v1/log/levels", `{"level":"loud"}`},
		{"delete", "/api/v1/log/levels", "/api/v1/log/levels?logger=http", ""},
	}
	asked := map[string]bool{
		// These do not answer JSON; tests of their own ask them.
		"post /api/v1/artifacts/verify": true, "post /api/v1/artifacts/drill": true, "post /api/v1/artifacts/restore": true, "post /api/v1/artifacts/prune": true, "get /api/v1/report": true,
		"get /api/v1/incidents/{id}/report": true, "get /api/v1/changes": true, "get /api/v1/runs/{id}/attempts/{job}/{number}/output/events": true, "get /api/v1/runs/{id}/events": true, "get /api/v1/runs/{id}/attempts/{job}/{number}/output": true,
	}
	for _, c := range calls {
		status, header, body := ask(t, handler, strings.ToUpper(c.method), c.target, c.body)
		if status < http.StatusMultipleChoices {
			asked[c.method+" "+c.path] = true
		}
		conform(t, compiler, spec, status, header, body, c.method, c.path)
	}
	for path, item := range spec["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if !asked[method+" "+path] {
				t.Errorf("no answer of %s %s was a success", method, path)
			}
		}
	}
}

func conform(t *testing.T, compiler *jsonschema.Compiler, spec map[string]any, code int, header http.Header, body, method, path string) {
	t.Helper()
	status, media := strconv.Itoa(code), header.Get("Content-Type")
	if code >= http.StatusInternalServerError {
		t.Errorf("%s %s: %s %s", method, path, status, body)
	}
	where := status
	if at(spec, "paths", path, method, "responses", status) == nil {
		where = "default"
	}
	if at(spec, "paths", path, method, "responses", where, "content", media) == nil {
		t.Errorf("%s %s: the document knows no %s as %s", method, path, status, media)
		return
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	schema, err := compiler.Compile("openapi.json#/paths/" + escape.Replace(path) + "/" + method + "/responses/" + where + "/content/" + escape.Replace(media) + "/schema")
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, body)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s %s: %v\n%s", method, path, err, body)
	}
}
