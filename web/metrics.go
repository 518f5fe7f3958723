package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// MetricsPath is where the metrics of the process are.
const MetricsPath = "/metrics"

// Meter counts requests. Its methods may be called from several goroutines, and
// do not block.
type Meter interface {
	// RequestBegan is called when a request came in, RequestEnded once for each
	// of these when it was answered. route is the pattern that its address fits,
	// such as "/api/v1/runs/{id}"; empty when none does. status is that of the
	// answer, and 500 when the handler panicked, whatever had been sent. took is
	// until the end of the answer, of a stream until its beginning.
	RequestBegan()
	RequestEnded(method, route string, status int, took time.Duration)
}

// noMeter counts nothing.
type noMeter struct{}

func (noMeter) RequestBegan()                                   {}
func (noMeter) RequestEnded(string, string, int, time.Duration) {}

// measured reports a request that was answered since began.
func (s *Server) measured(rec *recorder, r *http.Request, began time.Time) {
	took := time.Since(began)
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "text/event-stream") && !rec.began.IsZero() {
		took = rec.began.Sub(began)
	}
	status := rec.status
	if rec.broken || status == 0 {
		status = http.StatusInternalServerError
	}
	s.o.Meter.RequestEnded(r.Method, rec.route, status, took)
}

// registerMetrics adds the metrics, if there are any.
func (s *Server) registerMetrics() {
	if s.o.Metrics != nil {
		s.mux.Handle("GET "+MetricsPath, s.o.Metrics)
		return
	}
	s.mux.HandleFunc("GET "+MetricsPath, func(w http.ResponseWriter, r *http.Request) {
		writeProblem(r.Context(), w, api.NewProblem(api.CodeNotFound, "", errNoMetrics.Error()))
	})
}

var errNoMetrics = errors.New("this process has no metrics: it is no service")
