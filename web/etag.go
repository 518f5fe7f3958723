package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// tagged gives the answers of the API tags, so that who asks again for what has
// not changed is told that alone.
type tagged struct{ mux *http.ServeMux }

var _ humago.Mux = tagged{}

// HandleFunc adds a handler.
func (t tagged) HandleFunc(pattern string, handle func(http.ResponseWriter, *http.Request)) {
	if !strings.HasPrefix(pattern, http.MethodGet+" ") {
		t.mux.HandleFunc(pattern, handle)
		return
	}
	t.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		held := &held{ResponseWriter: w}
		handle(held, r)
		held.finish(r)
	})
}

// ServeHTTP answers.
func (t tagged) ServeHTTP(w http.ResponseWriter, r *http.Request) { t.mux.ServeHTTP(w, r) }

// held keeps an answer of JSON back until it is whole. Everything else passes.
type held struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
	passes bool
}

// WriteHeader keeps the status.
func (h *held) WriteHeader(status int) {
	if h.status != 0 {
		return
	}
	h.status = status
	if h.passes = status != http.StatusOK || h.Header().Get("Content-Type") != "application/json"; h.passes {
		h.ResponseWriter.WriteHeader(status)
	}
}

// Write keeps a part of the body.
func (h *held) Write(p []byte) (int, error) {
	if h.status == 0 {
		h.WriteHeader(http.StatusOK)
	}
	if h.passes {
		return h.ResponseWriter.Write(p)
	}
	return h.body.Write(p)
}

// Unwrap is for http.ResponseController.
func (h *held) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// finish sends the answer with its tag, or that nothing has changed. The tag is
// a weak one: it is that of the JSON, however it is compressed on the way.
func (h *held) finish(r *http.Request) {
	if h.passes || h.status == 0 {
		return
	}
	sum := sha256.Sum256(h.body.Bytes())
	tag := `W/"` + hex.EncodeToString(sum[:12]) + `"`
	header := h.Header()
	header.Set("ETag", tag)
	header.Set("Cache-Control", "private, no-cache")
	if matches(r.Header.Values("If-None-Match"), tag) {
		header.Del("Content-Type")
		h.ResponseWriter.WriteHeader(http.StatusNotModified)
		return
	}
	h.ResponseWriter.WriteHeader(h.status)
	_, _ = h.ResponseWriter.Write(h.body.Bytes()) // a client that has gone needs no answer
}

// matches tells whether a tag is among those of If-None-Match, by the weak
// comparison of RFC 9110, 8.8.3.2.
func matches(headers []string, tag string) bool {
	for one := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}
