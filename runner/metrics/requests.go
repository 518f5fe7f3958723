package metrics

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// requestMetrics are the metrics of the API. Those of single addresses have the
// names that applications of this kind commonly use, and can be switched off.
type requestMetrics struct {
	inFlight  *gauges
	requests  *counters
	took      *histograms
	routes    *counters
	routeTook *histograms
}

func newRequestMetrics(m maker, seedNames bool) requestMetrics {
	r := requestMetrics{
		inFlight: m.gauges("upkeep_http_requests_in_flight", "Requests to the API that are being answered."),
		requests: m.counters("upkeep_http_requests_total", "Answered requests to the API by the class of the status.", "code"),
		took:     m.histograms("upkeep_http_request_duration_seconds", "How long answers of the API took; of streams, how long until they began.", latencies()),
	}
	_, _ = r.inFlight.with()
	_, _ = r.took.with()
	for class := 1; class <= 5; class++ {
		add(r.requests, 0, codeClass(class*100))
	}
	if seedNames {
		r.routes = m.counters("api_requests_total", "Answered requests to the API; status is error for 5xx and panics, else success.", "method", "endpoint", "status")
		r.routeTook = m.histograms("api_request_duration_seconds", "How long they took; of streams, how long until they began.", latencies(), "method", "endpoint")
	}
	return r
}

func codeClass(status int) string { return strconv.Itoa(status/100) + "xx" }

// methods are those that a label may hold.
func methods() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
	}
}

const (
	// otherMethod stands for methods that are none of HTTP's.
	otherMethod = "other"
	// noEndpoint stands for addresses at which there is nothing: what was asked
	// for is up to who asks.
	noEndpoint = "none"
)

// RequestBegan counts a request that is being answered until RequestEnded.
func (s *Set) RequestBegan() {
	if g, ok := s.requests.inFlight.with(); ok {
		g.Inc()
	}
}

// RequestEnded counts a request that was answered. route is the pattern that
// its address fits, such as "/api/v1/runs/{id}"; empty for none. status is that
// of the answer; a panic is http.StatusInternalServerError whatever was sent.
func (s *Set) RequestEnded(method, route string, status int, took time.Duration) {
	if g, ok := s.requests.inFlight.with(); ok {
		g.Dec()
	}
	if status < 100 || status > 599 {
		status = http.StatusInternalServerError
	}
	if !slices.Contains(methods(), method) {
		method = otherMethod
	}
	if route == "" {
		route = noEndpoint
	}
	result := "success"
	if status >= http.StatusInternalServerError {
		result = "error"
	}
	add(s.requests.requests, 1, codeClass(status))
	observe(s.requests.took, max(0, took.Seconds()))
	for _, r := range []string{"success", "error"} {
		if r != result {
			add(s.requests.routes, 0, method, route, r)
		}
	}
	add(s.requests.routes, 1, method, route, result)
	observe(s.requests.routeTook, max(0, took.Seconds()), method, route)
}
