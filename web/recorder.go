package web

import (
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// recorder remembers what was answered, and gives each write a deadline of its
// own, so that a client that does not read holds nothing up for long.
type recorder struct {
	http.ResponseWriter

	control *http.ResponseController
	status  int
	bytes   int64
	// route is the pattern that the address fits, empty for none; began is when
	// the answer did; broken tells that its handler panicked.
	route  string
	began  time.Time
	broken bool
	// failed tells that what was asked for failed after the answer had begun.
	failed bool
	// body is what the request brought, for the audit.
	body []byte
}

// WriteHeader sends the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status, r.began = status, time.Now()
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status, r.began = http.StatusOK, time.Now()
	}
	r.deadline(r.control.SetWriteDeadline, writeWithin)
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Flush sends what is buffered.
func (r *recorder) Flush() {
	r.deadline(r.control.SetWriteDeadline, writeWithin)
	_ = r.control.Flush() // the next write tells
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// deadline sets a deadline of the connection, or none for 0.
func (r *recorder) deadline(set func(time.Time) error, within time.Duration) {
	var at time.Time
	if within > 0 {
		at = time.Now().Add(within)
	}
	_ = set(at) // a connection without deadlines, such as a test's, has none to keep
}

// probe takes the status and the headers of an answer, and no body.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header            { return p.header }
func (p *probe) WriteHeader(status int)         { p.status = status }
func (p *probe) Write(body []byte) (int, error) { return len(body), nil }

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a client that has gone needs no answer
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}
