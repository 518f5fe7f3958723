package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
)

// longestDrain is how long a drain is waited for at most.
const longestDrain = 24 * time.Hour

// The states of health.
const (
	healthOK       = "ok"
	healthDegraded = "degraded"
	healthFailing  = "failing"
)

// registerService adds the daemon itself.
func (s *Server) registerService() {
	const tag = "daemon"
	add(s, operation{id: "get-status", method: http.MethodGet, path: "/status", tag: tag, summary: "Tell how the daemon is"}, s.getStatus)
	s.registerMembers()
	s.registerLocks()
	add(s, operation{
		id: "get-health", method: http.MethodGet, path: "/health", tag: tag,
		summary: "Tell the daemon's health in short",
		doc:     "How the daemon itself is; that of what it looks after stands at /health. /livez answers ok while the daemon answers at all, /readyz while it can do its work; ?verbose lists what it needs for that.",
	}, s.getHealth)
	add(s, operation{
		id: "drain", touches: []api.Topic{api.TopicDaemon}, method: http.MethodPost, path: "/drain", tag: tag, summary: "Keep new runs from starting, and wait until nothing runs",
		doc: "The drain stays in force when the client goes away or has waited long enough; DELETE ends it.",
	}, s.drain)
	add(s, operation{id: "undrain", touches: []api.Topic{api.TopicDaemon}, method: http.MethodDelete, path: "/drain", tag: tag, summary: "Let runs start again"}, s.undrain)
	add(s, operation{
		id: "reload", touches: []api.Topic{api.TopicConfig, api.TopicChecks}, method: http.MethodPost, path: "/reload", tag: tag, summary: "Load the configuration anew",
		doc: "Whole or not at all: when the file does not load, the last good configuration stays in force, and the answer says degraded and why.",
	}, s.reload)
}

func (s *Server) getStatus(ctx context.Context, _ *struct{}) (*reply[api.Status], error) {
	return ok(s.o.Service.Status(ctx).Filled())
}

func (s *Server) getHealth(ctx context.Context, _ *struct{}) (*reply[api.Health], error) {
	return ok(s.health(ctx))
}

func (s *Server) health(ctx context.Context) api.Health {
	h := api.Health{Status: healthOK, Checks: append([]api.StatusCheck{}, s.o.Service.Checks(ctx)...)}
	for _, c := range h.Checks {
		switch {
		case c.OK:
		case c.Fatal:
			h.Status = healthFailing
		case h.Status == healthOK:
			h.Status = healthDegraded
		}
	}
	return h
}

type drain struct {
	Via

	Body *api.DrainRequest
}

func (s *Server) drain(ctx context.Context, in *drain) (*reply[api.Drain], error) {
	if err := s.o.Service.Drain(ctx, askedBy(ctx)); err != nil {
		return nil, err
	}
	if in.Body != nil && in.Body.Mode == api.DrainUntilIdle {
		if err := s.untilIdle(ctx, time.Duration(in.Body.MaxSeconds*float64(time.Second))); err != nil {
			return nil, err
		}
	}
	status := s.o.Service.Status(ctx)
	return ok(api.Drain{Draining: status.Draining, Idle: status.Running == 0, Running: status.Running, Queued: status.Queued})
}

// errWaited ends a wait that was as long as was asked for.
var errWaited = errors.New("waited long enough")

// untilIdle waits until nothing runs, for at most the given time, or until the
// server stops.
func (s *Server) untilIdle(ctx context.Context, most time.Duration) error {
	if most <= 0 {
		most = longestDrain
	}
	ctx, cancel := context.WithTimeoutCause(ctx, most, errWaited)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-s.ending:
			stop(runner.ErrShutdown)
		case <-ctx.Done():
		}
	}()
	err := s.o.Service.Idle(ctx)
	if errors.Is(err, errWaited) {
		return nil
	}
	return err
}

type undrain struct{ Via }

func (s *Server) undrain(ctx context.Context, _ *undrain) (*reply[api.Undrained], error) {
	was, err := s.o.Service.Undrain(ctx, askedBy(ctx))
	if err != nil {
		return nil, err
	}
	return ok(api.Undrained{Was: was})
}

type reload struct{ Via }

func (s *Server) reload(ctx context.Context, _ *reload) (*reply[api.Reload], error) {
	done, err := s.o.Service.Reload(ctx, askedBy(ctx))
	if err != nil {
		return nil, err
	}
	return ok(done.Filled())
}

// registerPlain adds the addresses outside of the API.
func (s *Server) registerPlain() {
	s.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.registerHealthPlain()
	s.mux.HandleFunc("GET "+Prefix+"/openapi.json", s.serveSpec("application/openapi+json", func(d document) []byte { return d.json }))
	s.mux.HandleFunc("GET "+Prefix+"/openapi.yaml", s.serveSpec("application/openapi+yaml", func(d document) []byte { return d.yaml }))
}

// statusOf is what monitoring looks at.
func statusOf(h api.Health) int {
	if h.Status == healthFailing {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	h := s.health(r.Context())
	status := statusOf(h)
	var b strings.Builder
	if who, _ := access.Of(r.Context()); r.URL.Query().Has("verbose") && who.Role.Allows(Viewer) {
		for _, c := range h.Checks {
			mark := "+"
			if !c.OK {
				mark = "-"
			}
			fmt.Fprintf(&b, "[%s] %s: %s\n", mark, c.Name, c.Text)
		}
	}
	if status == http.StatusOK {
		b.WriteString("ready\n")
	} else {
		b.WriteString("not ready\n")
	}
	writeText(w, status, b.String())
}

func (s *Server) serveSpec(contentType string, form func(document) []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d, err := s.spec()
		if err != nil {
			writeProblem(r.Context(), w, s.explain(r.Context(), "get-openapi", err))
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(form(d)) // a client that has gone needs no answer
	}
}
