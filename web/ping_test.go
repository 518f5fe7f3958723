package web_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// TestPing_Public: who knows the slug of a public heartbeat may tell it without an
// identity, but not too often; of others nobody without one learns whether there
// are any.
func TestPing_Public(t *testing.T) {
	t.Parallel()
	f := stocked()
	close(f.idle)
	m := &monitor{}
	o := f.options()
	o.Monitor = m
	handler := web.New(o).Handler()
	const open = "/ping/open-3f9c1d7e5b2a8064"
	if status, _, body := unknown(t, handler, open+"/7", nil); status != http.StatusOK || body != "OK\n" {
		t.Fatalf("%d %s", status, body)
	}
	if got := m.pings["open-3f9c1d7e5b2a8064"]; got != (api.PingRequest{Code: 7}) {
		t.Errorf("it was told %+v", got)
	}
	var answers []string
	for _, slug := range []string{"nightly", "nobody", "open-3f9c1d7e5b2a8063"} {
		status, _, body := unknown(t, handler, "/api/v1/ping/"+slug, nil)
		if status != http.StatusUnauthorized {
			t.Errorf("%s: %d", slug, status)
		}
		head, _, _ := strings.Cut(body, `"request_id"`)
		answers = append(answers, head)
	}
	if answers[0] != answers[1] || answers[0] != answers[2] {
		t.Errorf("the answers tell which slugs there are: %q", answers)
	}
	refused := 0
	for range 80 {
		status, header, _ := unknown(t, handler, open, nil)
		if status == http.StatusTooManyRequests && header.Get("Retry-After") != "" {
			refused++
		}
	}
	if refused == 0 {
		t.Error("80 pings at once are taken from one address")
	}
	// Who may tell any is not bounded by that.
	if status, _, body := ask(t, handler, http.MethodGet, "/ping/nightly", ""); status != http.StatusOK {
		t.Errorf("an operator: %d %s", status, body)
	}
}

// TestPing_Log: whoever reads the log learns no slug, for one that is public is a
// secret.
func TestPing_Log(t *testing.T) {
	t.Parallel()
	const slug = "open-3f9c1d7e5b2a8064"
	for address, want := range map[string]string{
		"/ping/" + slug:           "path=/ping/<redacted> status=200",
		"/ping/" + slug + "/fail": "path=/ping/<redacted> status=200",
		"/api/v1/ping/" + slug:    "path=/api/v1/ping/<redacted> status=200",
		"//ping/" + slug:          "path=/ping/<redacted> ",
		"/x/../ping/" + slug:      "path=/ping/<redacted> ",
		"/runs/ping":              "path=/runs/ping ",
	} {
		f := stocked()
		close(f.idle)
		var log bytes.Buffer
		o := f.options()
		o.Monitor, o.Log = &monitor{}, slog.New(slog.NewTextHandler(&log, nil))
		unknown(t, web.New(o).Handler(), address, nil)
		if text := log.String(); strings.Contains(text, slug) || !strings.Contains(text, want) {
			t.Errorf("%s: the log has no %q: %s", address, want, text)
		}
	}
}
