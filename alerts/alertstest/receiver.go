package alertstest

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Mishap is how a receiver over HTTP fails. The zero Mishap is that it works.
type Mishap struct {
	// Only is the beginning of the paths that are concerned; empty means all.
	Only string
	// Status, Header and Body are what it answers instead of looking at the
	// message.
	Status int
	Header map[string]string
	Body   string
	// Echo answers with Status and all that it was sent: address, headers and
	// body.
	Echo bool
	// Stall never answers, Drop hangs up without looking at the message, Deaf
	// keeps the message and hangs up.
	Stall, Drop, Deaf bool
}

func (m Mishap) any() bool { return m.Status != 0 || m.Stall || m.Drop || m.Deaf }

// receiver is an HTTPS server inside the test that may misbehave.
type receiver struct {
	// CAFile holds the authority that signed its certificate.
	CAFile string

	base   string
	mu     sync.Mutex
	mishap Mishap
	met    int
	closed chan struct{}
}

// newReceiver starts a server that hands what it gets to handle, which returns
// what to answer, and that ends with the test. Plain does without TLS.
func newReceiver(t testing.TB, certificate Certificate, plain bool, handle func(r *http.Request, body []byte) response) *receiver {
	t.Helper()
	authority := newAuthority(t)
	s := &receiver{CAFile: authority.file, closed: make(chan struct{})}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, handle) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if plain {
		server.Start()
	} else {
		server.TLS = &tls.Config{Certificates: []tls.Certificate{authority.certificate(t, certificate)}, MinVersion: tls.VersionTLS12}
		server.StartTLS()
	}
	s.base = server.URL
	t.Cleanup(func() {
		close(s.closed)
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// response is what a receiver answers.
type response struct {
	status int
	header map[string]string
	body   string
}

// Change makes the receiver fail so in what follows.
func (s *receiver) Change(m Mishap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mishap = m
}

// Met tells how often a mishap happened.
func (s *receiver) Met() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.met
}

func (s *receiver) serve(w http.ResponseWriter, r *http.Request, handle func(*http.Request, []byte) response) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s.mu.Lock()
	mishap := s.mishap
	if !strings.HasPrefix(r.URL.Path, mishap.Only) {
		mishap = Mishap{}
	}
	if mishap.any() {
		s.met++
	}
	s.mu.Unlock()
	switch {
	case mishap.Stall:
		select {
		case <-s.closed:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case mishap.Drop:
		panic(http.ErrAbortHandler)
	case mishap.Deaf:
		handle(r, body)
		panic(http.ErrAbortHandler)
	case mishap.Status != 0:
		answer := response{status: mishap.Status, header: mishap.Header, body: mishap.Body}
		if mishap.Echo {
			answer.body = echo(r, body)
		}
		answer.write(w)
		return
	}
	handle(r, body).write(w)
}

// echo is all that was sent.
func echo(r *http.Request, body []byte) string {
	lines := []string{r.Method + " https://" + r.Host + r.URL.RequestURI()}
	for name, values := range r.Header {
		for _, value := range values {
			lines = append(lines, name+": "+value)
		}
	}
	slices.Sort(lines)
	return strings.Join(append(lines, string(body)), "\n")
}

func (a response) write(w http.ResponseWriter) {
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body) // whoever hung up does not get it
}
