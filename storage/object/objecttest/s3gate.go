package objecttest

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// S3Gate is the way to a real S3 server, on which chosen requests meet faults:
// those that need no knowledge of what the server holds (Status, Reset, Stall,
// AfterWork, BytesPerSecond, Do). Addresses are in the path style; signatures
// stay what they are.
type S3Gate struct {
	// URL is the endpoint of the gate.
	URL string

	s3Faults
	http  *httptest.Server
	proxy *httputil.ReverseProxy

	mu    sync.Mutex
	shape s3Shape
}

// s3Shape is what all requests meet.
type s3Shape int

const (
	s3Open s3Shape = iota
	s3Cut
	s3Storm
)

// NewS3Gate starts a gate before the server at target, which ends with the
// test. The test fails when a fault was never met.
func NewS3Gate(t testing.TB, target string, faults ...S3Fault) *S3Gate {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	way := &http.Transport{DisableCompression: true}
	g := &S3Gate{proxy: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: way,
		ErrorLog:  log.New(io.Discard, "", 0), // clients that have gone
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler)
		},
	}}
	g.http = httptest.NewUnstartedServer(http.HandlerFunc(g.serve))
	g.http.Config.ErrorLog = log.New(io.Discard, "", 0) // as above
	g.http.Start()
	g.URL = g.http.URL
	g.Arm(t, faults...)
	t.Cleanup(func() {
		g.http.CloseClientConnections()
		g.http.Close()
		way.CloseIdleConnections()
	})
	return g
}

// Cut ends all connections and every new one, as when a network breaks.
func (g *S3Gate) Cut() {
	g.set(s3Cut)
	g.http.CloseClientConnections()
}

// Storm answers every request with 503.
func (g *S3Gate) Storm() { g.set(s3Storm) }

// Mend opens the gate again.
func (g *S3Gate) Mend() { g.set(s3Open) }

func (g *S3Gate) set(shape s3Shape) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shape = shape
}

func (g *S3Gate) serve(w http.ResponseWriter, r *http.Request) {
	_, key, err := s3Place(r)
	if err != nil {
		s3Fail(w, http.StatusBadRequest, "InvalidURI", err.Error())
		return
	}
	fault := g.strike(s3Operation(r, key), key)
	g.mu.Lock()
	shape := g.shape
	g.mu.Unlock()
	// What was struck after its work reached the server before everything broke.
	switch {
	case fault.after:
	case shape == s3Cut:
		panic(http.ErrAbortHandler)
	case shape == s3Storm:
		_, _ = io.Copy(io.Discard, r.Body) // a client that has gone need not be heard
		s3Fail(w, http.StatusServiceUnavailable, "SlowDown", "injected: reduce your request rate")
		return
	}
	if fault.before(w, r) {
		return
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{fault.slow(r.Body), r.Body}
	if fault.after {
		// The work is done, also when the client is killed meanwhile, and nobody
		// hears of it.
		g.proxy.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		fault.fail(w)
		return
	}
	g.proxy.ServeHTTP(w, r)
}
