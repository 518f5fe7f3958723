package web_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner/logbook"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// meter notes what it is told.
type meter struct {
	mu       sync.Mutex
	inFlight int
	ended    []measurement
}

type measurement struct {
	Method, Route string
	Status        int
}

func (m *meter) RequestBegan() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight++
}

func (m *meter) RequestEnded(method, route string, status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight--
	if took < 0 || took > time.Minute {
		status = -1
	}
	m.ended = append(m.ended, measurement{method, route, status})
}

// Every request is counted once, by the pattern of its address and what became
// of it, also when its handler panics.
func TestMeter(t *testing.T) {
	t.Parallel()
	f, m := newFake(), &meter{}
	o := f.options()
	o.Meter = m
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("do") {
		case "panic":
			panic("at once")
		case "half":
			_, _ = io.WriteString(w, "half")
			panic("within the answer")
		}
		_, _ = io.WriteString(w, "metrics")
	})
	handler := web.New(o).Handler()
	ask := func(method, target string, who *web.Identity) (status int) {
		r := newRequest(t, method, target, "")
		if who != nil {
			r = r.WithContext(web.Identify(r.Context(), *who))
		}
		w := httptest.NewRecorder()
		defer func() {
			if thrown := recover(); thrown != nil && !errors.Is(thrown.(error), http.ErrAbortHandler) {
				panic(thrown)
			}
			status = w.Code
		}()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	ana := &web.Identity{Name: "ana", Role: web.Admin}
	for _, q := range []struct {
		method, target string
		who            *web.Identity
		want           measurement
	}{
		{"GET", "/api/v1/runs/123456", ana, measurement{"GET", "/api/v1/runs/{id}", 404}},
		{"GET", "/api/v1/runs", ana, measurement{"GET", "/api/v1/runs", 200}},
		{"GET", "/secret/path", ana, measurement{"GET", "", 404}},
		{"PUT", "/api/v1/runs", ana, measurement{"PUT", "", 405}},
		{"GET", "/api/v1/runs", nil, measurement{"GET", "", 401}},
		{"GET", "/metrics", &web.Identity{Name: "eve"}, measurement{"GET", "", 403}},
		{"GET", "/livez", nil, measurement{"GET", "/livez", 200}},
		{"GET", "/metrics", ana, measurement{"GET", "/metrics", 200}},
		{"GET", "/metrics?do=panic", ana, measurement{"GET", "/metrics", 500}},
		{"GET", "/metrics?do=half", ana, measurement{"GET", "/metrics", 500}},
		{"HAT", "/api/v1/runs", ana, measurement{"HAT", "", 405}},
	} {
		status := ask(q.method, q.target, q.who)
		if diff := cmp.Diff(q.want, m.ended[len(m.ended)-1]); diff != "" {
			t.Errorf("%s %s (%d): %s", q.method, q.target, status, diff)
		}
	}
	if len(m.ended) != 11 || m.inFlight != 0 {
		t.Errorf("%d were counted, %d are in flight", len(m.ended), m.inFlight)
	}
}

// A process without metrics says so.
func TestMetrics_None(t *testing.T) {
	t.Parallel()
	d := start(t, newFake())
	if status, _, body := d.raw(t, newRequest(t, "GET", "/metrics", "")); status != http.StatusNotFound || !strings.Contains(body, "has no metrics") {
		t.Errorf("%d %s", status, body)
	}
}

// asked looks what a context that a handler got knows, by logging with it.
type asked struct {
	web.Service

	log *slog.Logger
}

// Drain logs.
func (a asked) Drain(ctx context.Context, _ string) error {
	a.log.InfoContext(ctx, "drained")
	return nil
}

// What is logged while a request is answered names it and who asked.
func TestGuard_Context(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	levels := logbook.NewLevels(slog.LevelInfo, nil)
	log := slog.New(logbook.NewHandler(levels, nil, slog.NewTextHandler(&out, nil)))
	o := newFake().options()
	o.Log, o.Service = log, asked{o.Service, log}
	r := newRequest(t, "POST", "/api/v1/drain", "")
	r.Header.Set(web.RequestIDHeader, "chosen-1")
	w := httptest.NewRecorder()
	web.New(o).Handler().ServeHTTP(w, r.WithContext(web.Identify(r.Context(), web.Identity{Name: "ana", Role: web.Admin})))
	if w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `msg=drained request_id=chosen-1 by="ana@`) ||
		!strings.Contains(lines[1], "msg=request request_id=chosen-1 method=POST path=/api/v1/drain status=200") || !strings.HasSuffix(lines[1], "logger=http.access") {
		t.Errorf("%s", out.String())
	}
}

// levels are the levels of a log in memory.
type levels struct {
	mu    sync.Mutex
	calls []string
	list  []api.LogLevel
}

func (l *levels) Levels() []api.LogLevel {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list)
}

func (l *levels) SetLevel(_ context.Context, by, logger, level string, lasts time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, strings.Join([]string{by[:3], logger, level, lasts.String()}, " "))
	return nil
}

func (l *levels) ResetLevel(_ context.Context, _, logger string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, "reset "+logger)
	return logger == "http"
}

// Levels are listed, changed and reset; what makes no sense is refused, and a
// process that is no service has none.
func TestLogLevels(t *testing.T) {
	t.Parallel()
	l := &levels{list: []api.LogLevel{{Level: "info", Configured: "info"}}}
	o := newFake().options()
	o.Logs = nil
	none := web.New(o).Handler()
	o.Logs = l
	some := web.New(o).Handler()
	for _, q := range []struct {
		handler              http.Handler
		method, target, body string
		status               int
		says                 string
	}{
		{none, "GET", "/api/v1/log/levels", "", 409, "no service"},
		{none, "PUT", "/api/v1/log/levels", `{"level":"debug"}`, 409, "no service"},
		{none, "DELETE", "/api/v1/log/levels", "", 409, "no service"},
		{some, "GET", "/api/v1/log/levels", "", 200, `"logger":"","level":"info","configured":"info"`},
		{some, "PUT", "/api/v1/log/levels", `{"level":"debug","logger":"http.access","for_seconds":90}`, 200, `"levels":[`},
		{some, "PUT", "/api/v1/log/levels", `{"level":"loud"}`, 422, "body.level"},
		{some, "PUT", "/api/v1/log/levels", `{"level":"info","logger":"No Name"}`, 422, "body.logger"},
		{some, "PUT", "/api/v1/log/levels", `{"level":"info","for_seconds":-1}`, 422, "body.for_seconds"},
		{some, "DELETE", "/api/v1/log/levels?logger=http", "", 200, `"was":true`},
		{some, "DELETE", "/api/v1/log/levels", "", 200, `"was":false`},
	} {
		r := newRequest(t, q.method, q.target, q.body)
		w := httptest.NewRecorder()
		q.handler.ServeHTTP(w, r.WithContext(web.Identify(r.Context(), web.Identity{Name: "ana", Role: web.Admin})))
		if w.Code != q.status || !strings.Contains(w.Body.String(), q.says) {
			t.Errorf("%s %s %s: %d %s", q.method, q.target, q.body, w.Code, w.Body)
		}
	}
	if diff := cmp.Diff([]string{"ana http.access debug 1m30s", "reset http", "reset "}, l.calls); diff != "" {
		t.Error(diff)
	}
}
