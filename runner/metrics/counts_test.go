package metrics_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/metrics"
)

// What the server is to blame for is an error, what the client is, is none; a
// panic comes as a status that does not exist.
func TestSet_Requests(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{SeedNames: true})
	for _, status := range []int{http.StatusOK, http.StatusFound, http.StatusNotFound, http.StatusConflict, http.StatusInternalServerError, http.StatusServiceUnavailable, -1} {
		s.RequestBegan()
		s.RequestEnded(http.MethodGet, "/api/v1/runs", status, 100*time.Millisecond)
	}
	for status, want := range map[string]float64{"success": 4, "error": 3} {
		if got := value(t, s, "api_requests_total", "endpoint=/api/v1/runs", "method=GET", "status="+status); got != want {
			t.Errorf("%v requests are %s, want %v", got, status, want)
		}
	}
	for code, want := range map[string]float64{"2xx": 1, "3xx": 1, "4xx": 2, "5xx": 3} {
		if got := value(t, s, "upkeep_http_requests_total", "code="+code); got != want {
			t.Errorf("%v requests are %s, want %v", got, code, want)
		}
	}
}

// post is an outbox that says yes, or no.
type post struct {
	runner.Outbox

	fault error
}

func (post) Take(_ context.Context, channel string, now time.Time, _ time.Duration, _ int) ([]runner.Notice, time.Time, error) {
	return []runner.Notice{{ID: "n1", Channel: channel, CreatedAt: now.Add(-time.Minute)}}, time.Time{}, nil
}

func (p post) Sent(context.Context, string, string) error             { return p.fault }
func (p post) Retry(context.Context, string, string, time.Time) error { return p.fault }
func (p post) Bury(context.Context, string, string) error             { return p.fault }

// Every attempt to send a notice counts once, by what is on record of it.
func TestSet_Notices(t *testing.T) {
	t.Parallel()
	s := newSet(metrics.Options{})
	for _, fault := range []error{nil, errors.New("the ledger is away")} {
		o := s.Outbox(post{fault: fault})
		for result, settle := range map[string]func() error{
			"sent":    func() error { return o.Sent(t.Context(), "n1", "250 ok") },
			"retried": func() error { return o.Retry(t.Context(), "n1", "451", t0) },
			"dead":    func() error { return o.Bury(t.Context(), "n1", "550") },
		} {
			if _, _, err := o.Take(t.Context(), "pager", t0, time.Minute, 1); err != nil {
				t.Fatal(err)
			}
			if err := settle(); !errors.Is(err, fault) {
				t.Errorf("%s: %v", result, err)
			}
			if got := value(t, s, "upkeep_notices_total", "channel=pager", "result="+result); got != 1 {
				t.Errorf("%v notices are %s, want 1", got, result)
			}
		}
	}
	if got := value(t, s, "upkeep_notices_total", "channel=ops", "result=sent"); got != 0 {
		t.Errorf("%v notices to a channel that was told nothing", got)
	}
}
