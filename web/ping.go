package web

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// pingsAtOnce is how many pings without an identity one address may send at
	// once, pingEvery how soon one more may come then.
	pingsAtOnce = 60
	pingEvery   = time.Second
	// mostPingers bounds how many addresses are remembered.
	mostPingers = 10_000
)

// mayPing tells whether who asks may tell a heartbeat: an operator any, everybody
// else one that is public and whose slug they know. It answers itself and returns
// false otherwise.
func (s *Server) mayPing(w http.ResponseWriter, r *http.Request, p *pingers, slug string) bool {
	ctx := r.Context()
	who, known := access.Of(ctx)
	if known && who.Role.Allows(Operator) {
		return true
	}
	from := who.From
	if host, _, err := net.SplitHostPort(r.RemoteAddr); from == "" && err == nil {
		from = host
	}
	if wait := p.take(from, time.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		writeProblem(ctx, w, api.NewProblem(api.CodeTooMany, "", fmt.Sprintf("too many pings come from %s", from)))
		return false
	}
	// Whether there is such a slug is nobody's business who does not know it.
	return s.monitor().Public(slug) || s.authorize(ctx, w, r, Operator)
}

// pingers bounds how many pings without an identity come from an address. The
// zero value is ready.
type pingers struct {
	mu sync.Mutex
	by map[string]time.Time // when it would be full again
}

// take counts a ping, or returns how long it has to wait.
func (p *pingers) take(from string, now time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	full := p.by[from]
	if full.Before(now) {
		full = now
	}
	if wait = full.Sub(now) - (pingsAtOnce-1)*pingEvery; wait > 0 {
		return wait
	}
	if p.by == nil {
		p.by = map[string]time.Time{}
	}
	if _, known := p.by[from]; !known && len(p.by) >= mostPingers {
		p.forget(now)
	}
	p.by[from] = full.Add(pingEvery)
	return 0
}

// forget makes room: those go that could send as many as anybody, or all.
func (p *pingers) forget(now time.Time) {
	for from, full := range p.by {
		if !full.After(now) {
			delete(p.by, from)
		}
	}
	if len(p.by) >= mostPingers {
		clear(p.by)
	}
}

// mostPing bounds what is read of a ping, in bytes.
const mostPing = 10 << 10

// servePing takes the ping of a heartbeat.
func (s *Server) servePing(from *pingers, w http.ResponseWriter, r *http.Request) {
	slug := r.PathValue("slug")
	if !s.mayPing(w, r, from, slug) {
		return
	}
	p := api.PingRequest{}
	switch what := r.PathValue("what"); what {
	case "":
	case "start":
		p.Start = true
	case "fail":
		p.Code = 1
	default:
		code, err := strconv.Atoi(what)
		if err != nil || code < 0 || code > 255 {
			writeProblem(r.Context(), w, api.NewProblem(api.CodeInvalid, "use /start, /fail or an exit code of 0 to 255", fmt.Sprintf("%q is nothing that a ping says", what)))
			return
		}
		p.Code = code
	}
	if r.Method == http.MethodPost {
		text, err := io.ReadAll(io.LimitReader(r.Body, mostPing))
		if err != nil {
			writeProblem(r.Context(), w, api.NewProblem(api.CodeInvalid, "", "the body could not be read"))
			return
		}
		p.Text = string(text)
	}
	if err := s.monitor().Ping(r.Context(), slug, p); err != nil {
		writeProblem(r.Context(), w, s.explain(r.Context(), "ping", err))
		return
	}
	writeText(w, http.StatusOK, "OK\n")
}
