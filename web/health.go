package web

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
)

// Monitor is what watches the checks. Its methods may be called from several
// goroutines.
type Monitor interface {
	// Checks tells how the checks of the names are, or all when there are none,
	// in the order of the configuration. With fresh they are asked anew first,
	// once for all who ask at the same time. CodeNotFound for an unknown name.
	Checks(ctx context.Context, fresh bool, names ...string) ([]api.Check, error)
	// Ping takes the ping of a heartbeat; when it returns nil the ping is on
	// record. CodeNotFound for an unknown slug.
	Ping(ctx context.Context, slug string, p api.PingRequest) error
	// Public tells whether whoever knows the slug of a heartbeat may tell it; no
	// unknown slug is.
	Public(slug string) bool
}

// noMonitor answers for a process that watches nothing.
type noMonitor struct{}

func errNoMonitor() error {
	return api.NewProblem(api.CodeUnavailable, "start one with `upkeep serve`", "no service watches the checks: this is a command in the foreground")
}

// Checks refuses.
func (noMonitor) Checks(context.Context, bool, ...string) ([]api.Check, error) {
	return nil, errNoMonitor()
}

// Ping refuses.
func (noMonitor) Ping(context.Context, string, api.PingRequest) error { return errNoMonitor() }

// Public knows none.
func (noMonitor) Public(string) bool { return false }

func (s *Server) monitor() Monitor {
	if s.o.Monitor == nil {
		return noMonitor{}
	}
	return s.o.Monitor
}

// registerHealth adds the checks.
func (s *Server) registerHealth() {
	add(s, operation{
		id: "list-checks", method: http.MethodGet, path: "/checks", tag: "health", summary: "Tell how the checks are",
		doc: "The latest answer of each check, and what it counts as. The same stands at /health in the form timestamp, overall_status, components, or, on request by Accept, as application/health+json; its status is 503 when something critical is wrong. Heartbeats are told at /ping/SLUG, /ping/SLUG/start, /ping/SLUG/fail and /ping/SLUG/CODE by GET or POST; a heartbeat with public: true needs no identity.",
	}, s.listChecks)
}

// registerHealthPlain adds the addresses that are not of the API.
func (s *Server) registerHealthPlain() {
	s.mux.HandleFunc("GET /health", s.serveHealth)
	from := &pingers{}
	ping := func(w http.ResponseWriter, r *http.Request) { s.servePing(from, w, r) }
	for _, prefix := range []string{"", Prefix} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			s.mux.HandleFunc(method+" "+prefix+"/ping/{slug}", ping)
			s.mux.HandleFunc(method+" "+prefix+"/ping/{slug}/{what}", ping)
		}
	}
}

type listChecks struct {
	Check []string `query:"check" maxItems:"100" doc:"only the checks of these names, with commas between"`
	Fresh bool     `query:"fresh" doc:"ask them anew, and wait for the answers"`
}

func (s *Server) listChecks(ctx context.Context, in *listChecks) (*reply[api.Checks], error) {
	checks, err := s.monitor().Checks(ctx, in.Fresh, in.Check...)
	if err != nil {
		return nil, err
	}
	return ok(api.NewChecks(checks))
}

// healthJSON is the media type of draft-inadarei-api-health-check-06.
const healthJSON = "application/health+json"

// serveHealth answers in the form that was asked for. Who asks without being
// known is told the status alone, and asks nothing anew.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	who, _ := access.Of(r.Context())
	reads := who.Role.Allows(Viewer)
	fresh := r.URL.Query().Has("fresh") && r.URL.Query().Get("fresh") != "0" && reads
	checks, err := s.monitor().Checks(r.Context(), fresh)
	if err != nil {
		writeProblem(r.Context(), w, s.explain(r.Context(), "get-system-health", err))
		return
	}
	h := api.NewSystemHealth(checks, time.Now())
	if !reads {
		h.Components, h.CheckedAt = nil, nil
	}
	status := http.StatusOK
	if h.OverallStatus == runner.HealthCritical || h.OverallStatus == runner.HealthUnknown {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Vary", "Accept")
	if !accepts(r.Header.Values("Accept"), healthJSON) {
		writeJSON(w, status, h)
		return
	}
	w.Header().Set("Content-Type", healthJSON)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.NewHealthDocument(h)) // a client that has gone needs no answer
}

// accepts tells whether a media type is asked for by name.
func accepts(headers []string, want string) bool {
	return slices.ContainsFunc(strings.Split(strings.Join(headers, ","), ","), func(one string) bool {
		media, parameters, err := mime.ParseMediaType(one)
		return err == nil && media == want && parameters["q"] != "0"
	})
}
