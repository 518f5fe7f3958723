package scrape_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/health/scrape"
	"github.com/ghosteam/upkeep/runner"
)

// keeper takes samples.
type keeper struct {
	mu   sync.Mutex
	list []runner.Sample
	got  chan struct{}
	fail error
}

func (k *keeper) Observe(_ context.Context, samples ...runner.Sample) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, samples...)
	select {
	case k.got <- struct{}{}:
	default:
	}
	return k.fail
}

func (k *keeper) last(series string) (float64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range slices.Backward(k.list) {
		if s.Series == series {
			return s.Value, true
		}
	}
	return 0, false
}

// lockedBuffer is a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// run reads a target until stop is called.
func run(t *testing.T, to scrape.Target, k *keeper) (log *lockedBuffer, stop func()) {
	t.Helper()
	log = &lockedBuffer{}
	s := scrape.New(scrape.Options{Sampler: k, Targets: func() []scrape.Target { return []scrape.Target{to} }, Log: slog.New(slog.NewTextHandler(log, nil))})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return log, stop
}

func TestScraper(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintf(w, "# TYPE queue_length gauge\nqueue_length %d\n", asked.Add(1))
	}))
	t.Cleanup(server.Close)
	k := &keeper{got: make(chan struct{}, 1)}
	to := target()
	to.URL, to.Token, to.Every, to.Timeout = secret.New(server.URL), secret.New("hunter2"), time.Second, time.Second
	log, _ := run(t, to, k)
	for asked.Load() < 2 {
		<-k.got
	}
	if v, ok := k.last("scrape.api.up"); !ok || v != 1 {
		t.Errorf("up is %v; log: %s", v, log)
	}
	if v, ok := k.last("scrape.api.queue_length"); !ok || v < 1 {
		t.Errorf("the queue is %v", v)
	}
}

func TestScraper_Fails(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	tests := map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a status":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, "503"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }, "302"},
		"a page":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>hello</html>") }, "not the text form"},
		"no end": {func(w http.ResponseWriter, _ *http.Request) {
			line := bytes.Repeat([]byte("# a comment\n"), 1<<16)
			for range 16 {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		}, "larger than"},
		"no answer": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no answer within"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.answer)
			t.Cleanup(server.Close)
			k := &keeper{got: make(chan struct{}, 1)}
			to := target()
			to.URL, to.Every, to.Timeout = secret.New(server.URL+"/metrics?token=hunter2"), time.Second, time.Second
			log, stop := run(t, to, k)
			for range 2 {
				<-k.got
			}
			stop()
			if v, ok := k.last("scrape.api.up"); !ok || v != 0 {
				t.Errorf("up is %v", v)
			}
			if text := log.String(); strings.Count(text, "cannot be read") != 1 || !strings.Contains(text, test.want) || strings.Contains(text, "hunter2") {
				t.Errorf("want %q, once, and no secret:\n%s", test.want, text)
			}
		})
	}
	t.Cleanup(func() {
		if elsewhere.Load() > 0 {
			t.Error("the redirect was followed")
		}
	})
}

// A ledger that is away costs what was to be recorded, and nothing else.
func TestScraper_LedgerIsAway(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "queue_length 1") }))
	t.Cleanup(server.Close)
	k := &keeper{got: make(chan struct{}, 1), fail: errors.New("the disk is full")}
	to := target()
	to.URL, to.Every, to.Timeout = secret.New(server.URL), time.Second, time.Second
	log, stop := run(t, to, k)
	for range 2 {
		<-k.got
	}
	stop()
	if !strings.Contains(log.String(), "the disk is full") {
		t.Errorf("log: %s", log)
	}
}
