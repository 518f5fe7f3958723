package alertstest

import (
	"net/http"
	"slices"
	"sync"
	"testing"
)

// Hook is a server inside the test that takes any JSON.
type Hook struct {
	*receiver

	// URL takes messages; its path holds a secret.
	URL string

	mu       sync.Mutex
	requests []Request
}

// Request is what a Hook took.
type Request struct {
	Method, Path string
	Header       http.Header
	Body         []byte
	// Text is all texts of the body.
	Text string
}

// NewHook starts a server with that certificate, or without TLS when plain,
// that ends with the test.
func NewHook(t testing.TB, certificate Certificate, plain bool) *Hook {
	t.Helper()
	h := &Hook{}
	h.receiver = newReceiver(t, certificate, plain, h.handle)
	h.URL = h.base + "/hooks/4f1d8a7be2c04c"
	return h
}

// Requests returns what was taken, oldest first.
func (h *Hook) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.requests)
}

func (h *Hook) handle(r *http.Request, body []byte) response {
	var all any
	if err := strict(body, &all); err != nil {
		return response{status: http.StatusBadRequest, body: err.Error()}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Body: body, Text: texts(all)})
	return response{status: http.StatusAccepted, body: "taken"}
}
