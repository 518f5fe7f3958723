package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/socket"
)

func dialer(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, path) }
}

func request(workflow string) api.RunRequest { return api.RunRequest{Workflow: workflow} }

// TestRefusals asks for what makes no sense.
func TestRefusals(t *testing.T) {
	t.Parallel()
	d := start(t, newFake())
	tests := map[string]struct {
		method, target, body string
		header               http.Header
		status               int
		code                 api.Code
		says                 string
	}{
		"no such address":    {method: "GET", target: "/api/v1/nothing", status: 404, code: api.CodeNotFound},
		"no such method":     {method: "PUT", target: "/api/v1/runs", status: 405, code: api.CodeNoMethod, says: "GET, HEAD, POST"},
		"no such run":        {method: "GET", target: "/api/v1/runs/123456", status: 404, code: api.CodeNotFound},
		"unknown field":      {method: "POST", target: "/api/v1/runs", body: `{"workflow":"daily","force":true}`, status: 422, code: api.CodeInvalid, says: "body.force"},
		"missing field":      {method: "POST", target: "/api/v1/runs", body: `{}`, status: 422, code: api.CodeInvalid, says: "workflow"},
		"wrong type":         {method: "POST", target: "/api/v1/runs", body: `{"workflow":7}`, status: 422, code: api.CodeInvalid, says: "body.workflow"},
		"empty name":         {method: "POST", target: "/api/v1/runs", body: `{"workflow":""}`, status: 422, code: api.CodeInvalid},
		"wrong trigger":      {method: "POST", target: "/api/v1/runs", body: `{"workflow":"daily","trigger":"schedule"}`, status: 422, code: api.CodeInvalid, says: "body.trigger"},
		"no body":            {method: "POST", target: "/api/v1/runs", status: 400, code: api.CodeInvalid},
		"broken JSON":        {method: "POST", target: "/api/v1/runs", body: `{"workflow":`, status: 400, code: api.CodeInvalid},
		"not JSON":           {method: "POST", target: "/api/v1/runs", body: `workflow=daily`, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, status: 415, code: api.CodeUnsupported},
		"too large":          {method: "POST", target: "/api/v1/runs", body: strings.Repeat(" ", 1<<20), status: 413, code: api.CodeTooLarge},
		"unknown parameter":  {method: "GET", target: "/api/v1/runs?workfow=daily", status: 422, code: api.CodeInvalid, says: "query.workfow"},
		"unknown state":      {method: "GET", target: "/api/v1/runs?state=done", status: 422, code: api.CodeInvalid, says: "query.state"},
		"limit too large":    {method: "GET", target: "/api/v1/runs?limit=1001", status: 422, code: api.CodeInvalid, says: "query.limit"},
		"limit too small":    {method: "GET", target: "/api/v1/runs?limit=0", status: 422, code: api.CodeInvalid, says: "query.limit"},
		"wrong instant":      {method: "GET", target: "/api/v1/runs?since=yesterday", status: 422, code: api.CodeInvalid, says: "query.since"},
		"no runs":            {method: "GET", target: "/api/v1/attempts", status: 422, code: api.CodeInvalid, says: "query.run"},
		"pause for nothing":  {method: "POST", target: "/api/v1/workflows/daily/pause", body: `{}`, status: 422, code: api.CodeInvalid, says: "reason"},
		"pause in the past":  {method: "POST", target: "/api/v1/workflows/daily/pause", body: `{"reason":"x","until":"2001-01-01T00:00:00Z"}`, status: 422, code: api.CodeInvalid},
		"endless plan":       {method: "GET", target: "/api/v1/plan?from=2026-01-01T00:00:00Z&until=2036-01-01T00:00:00Z", status: 422, code: api.CodeInvalid},
		"backward plan":      {method: "GET", target: "/api/v1/plan?from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", status: 422, code: api.CodeInvalid},
		"endless drain":      {method: "POST", target: "/api/v1/drain", body: `{"max_seconds":1e9}`, status: 422, code: api.CodeInvalid},
		"forged name":        {method: "POST", target: "/api/v1/reload", header: http.Header{web.ByHeader: {strings.Repeat("x", 101)}}, status: 422, code: api.CodeInvalid},
		"name with controls": {method: "POST", target: "/api/v1/reload", header: http.Header{web.ByHeader: {"a\tb"}}, status: 422, code: api.CodeInvalid},
		"NUL":                {method: "GET", target: "/api/v1/runs/a%00b", status: 422, code: api.CodeInvalid},
		"NUL in a parameter": {method: "GET", target: "/api/v1/runs?workflow=%00", status: 422, code: api.CodeInvalid},
		"not UTF-8":          {method: "GET", target: "/api/v1/runs?workflow=%ff", status: 422, code: api.CodeInvalid},
		"broken escape":      {method: "GET", target: "/api/v1/runs?workflow=%zz", status: 422, code: api.CodeInvalid},
		"attempt 0":          {method: "GET", target: "/api/v1/runs/123456/attempts/a/0/output", status: 422, code: api.CodeInvalid, says: "path.number"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRequest(t, test.method, test.target, test.body)
			maps.Copy(r.Header, test.header)
			status, header, body := d.raw(t, r)
			var p api.Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			if status != test.status || p.Status != status || p.Code != test.code || p.ExitCode != test.code.Exit() {
				t.Errorf("got %d %s", status, body)
			}
			if !strings.Contains(body, test.says) {
				t.Errorf("%q is not in %s", test.says, body)
			}
			if got := header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			if id := header.Get(web.RequestIDHeader); id == "" || p.RequestID != id {
				t.Errorf("request ID %q, in the body %q", id, p.RequestID)
			}
		})
	}
	t.Cleanup(func() {
		if calls := d.called(); len(calls) != 0 {
			t.Errorf("something was done: %q", calls)
		}
	})
}

// TestRefusals_HideSecrets shows that an answer repeats nothing of what was
// sent, and nothing of an error that nobody expected.
func TestRefusals_HideSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	d := start(t, newFake())
	ask := func(target, body string) string {
		t.Helper()
		_, _, answer := d.raw(t, newRequest(t, http.MethodPost, target, body))
		if strings.Contains(answer, secret) {
			t.Errorf("the answer has the secret: %s", answer)
		}
		return answer
	}
	ask("/api/v1/runs", `{"workflow":"daily","params":{"password":["`+secret+`"]}}`)
	ask("/api/v1/runs", `{"workflow":"daily","trigger":"`+secret+`"}`)
	panicked := ask("/api/v1/runs", `{"workflow":"panics"}`)
	if !strings.Contains(panicked, `"code":"internal"`) {
		t.Errorf("a panic is answered with %s", panicked)
	}
	d.setFail(fmt.Errorf("open postgres://upkeep:%s@db/x: refused", secret))
	if answer := ask("/api/v1/runs", `{"workflow":"daily"}`); !strings.Contains(answer, `"code":"internal"`) {
		t.Errorf("an error is answered with %s", answer)
	}
	for _, want := range []string{`msg="a request panicked"`, `msg="a request failed"`, "request_id="} {
		if !strings.Contains(d.log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, d.log)
		}
	}
}

// TestIdentity shows who may ask.
func TestIdentity(t *testing.T) {
	t.Parallel()
	handler := web.New(newFake().options()).Handler()
	tests := map[string]struct {
		who    *web.Identity
		target string
		status int
		code   api.Code
	}{
		"nobody":              {target: "/api/v1/status", status: 401, code: api.CodeUnauthenticated},
		"nobody, the spec":    {target: "/api/v1/openapi.json", status: 401, code: api.CodeUnauthenticated},
		"a stranger":          {who: &web.Identity{Name: "eve"}, target: "/api/v1/status", status: 403, code: api.CodeForbidden},
		"a stranger, nowhere": {who: &web.Identity{Name: "eve"}, target: "/x", status: 403, code: api.CodeForbidden},
		"a friend":            {who: &web.Identity{Name: "anna", Role: web.Admin}, target: "/api/v1/status", status: 200},
		"nobody, alive":       {target: "/livez", status: 200},
		"nobody, ready":       {target: "/readyz", status: 200},
		"nobody, health":      {target: "/health", status: 200},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRequest(t, http.MethodGet, test.target, "")
			if test.who != nil {
				r = r.WithContext(web.Identify(r.Context(), *test.who))
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), string(test.code)) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
}

// TestHealth shows what monitoring sees.
func TestHealth(t *testing.T) {
	t.Parallel()
	ledger := api.StatusCheck{Name: "ledger", OK: true, Fatal: true, Text: "answers"}
	config := api.StatusCheck{Name: "config", OK: true, Text: "loaded"}
	broken := func(c api.StatusCheck) api.StatusCheck {
		c.OK, c.Text = false, "does not"
		return c
	}
	tests := map[string]struct {
		checks []api.StatusCheck
		status int
		word   string
		ready  string
	}{
		"nothing to check": {status: 200, word: "ok", ready: "ready\n"},
		"well":             {checks: []api.StatusCheck{ledger, config}, status: 200, word: "ok", ready: "[+] ledger: answers\n[+] config: loaded\nready\n"},
		"degraded":         {checks: []api.StatusCheck{ledger, broken(config)}, status: 200, word: "degraded", ready: "[+] ledger: answers\n[-] config: does not\nready\n"},
		"failing":          {checks: []api.StatusCheck{broken(ledger), broken(config)}, status: 503, word: "failing", ready: "[-] ledger: does not\n[-] config: does not\nnot ready\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.checks = test.checks
			d := start(t, f)
			status, _, body := d.raw(t, newRequest(t, http.MethodGet, "/readyz?verbose", ""))
			if status != test.status || body != test.ready {
				t.Errorf("readyz: %d %q", status, body)
			}
			status, _, body = d.raw(t, newRequest(t, http.MethodGet, "/livez", ""))
			if status != 200 || body != "ok\n" {
				t.Errorf("livez: %d %q", status, body)
			}
			health, err := d.client.Health(t.Context())
			if err != nil || health.Status != test.word || len(health.Checks) != len(test.checks) {
				t.Errorf("client: %+v, %v", health, err)
			}
		})
	}
}
