package web_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/client"
	"github.com/ghosteam/upkeep/web/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is a server on a real socket with a client.
type daemon struct {
	*fake
	*web.Server

	hub    *web.Hub
	client *client.Client
	path   string
	log    *lockedBuffer
	// stop ends the server; it may be called more than once.
	stop func()
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start serves a fake on a socket.
func start(t *testing.T, f *fake) *daemon {
	t.Helper()
	return startAt(t, f, filepath.Join(t.TempDir(), "api.sock"))
}

func startAt(t *testing.T, f *fake, path string) *daemon {
	t.Helper()
	o := f.options()
	d := &daemon{fake: f, hub: o.Hub, path: path, log: &lockedBuffer{}}
	o.Log = slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d.Server = web.New(o)
	l, err := socket.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := d.ServeUnix(l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	d.client = client.New(client.Options{Socket: path, By: "test", Patience: -1})
	d.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := d.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		serving.Wait()
	})
	t.Cleanup(func() {
		d.client.Close()
		d.stop()
	})
	return d
}

// by is how a request of this test is recorded.
func by(t *testing.T, via string) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username + "@" + host + " (" + via + ")"
}

// raw asks over the socket without the client.
func (d *daemon) raw(t *testing.T, request *http.Request) (int, http.Header, string) {
	t.Helper()
	transport := &http.Transport{DialContext: dialer(d.path)}
	defer transport.CloseIdleConnections()
	request.URL.Scheme, request.URL.Host, request.RequestURI = "http", "upkeep", ""
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(body)
}

func newRequest(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	return r
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("requests under way are answered", func(t *testing.T) {
		t.Parallel()
		f := newFake()
		f.hold = make(chan struct{})
		d := start(t, f)
		answered := make(chan error, 1)
		go func() {
			_, err := d.client.Start(t.Context(), request("daily"))
			answered <- err
		}()
		waitFor(t, "the request", d.active)
		stopped := make(chan struct{})
		go func() { d.stop(); close(stopped) }()
		waitFor(t, "the socket to go", func() bool { _, err := os.Lstat(d.path); return os.IsNotExist(err) })
		select {
		case <-stopped:
			t.Fatal("the server stopped with a request under way")
		default:
		}
		close(f.hold)
		if err := <-answered; err != nil {
			t.Errorf("the request under way: %v", err)
		}
		<-stopped
	})
	t.Run("bounded", func(t *testing.T) {
		t.Parallel()
		f := newFake()
		f.hold = make(chan struct{})
		defer close(f.hold)
		d := start(t, f)
		answered := make(chan error, 1)
		go func() {
			_, err := d.client.Start(t.Context(), request("daily"))
			answered <- err
		}()
		waitFor(t, "the request", d.active)
		why := errors.New("no more patience")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, why)
		defer cancel()
		if err := d.Shutdown(ctx); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		if err := <-answered; !errors.Is(err, client.ErrLostTouch) {
			t.Errorf("the request that was cut off: %v", err)
		}
	})
}

// active tells whether Commands.Run waits.
func (d *daemon) active() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting > 0
}

// waitFor polls until something is so.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestSlowClient shows that a client that does not finish its headers is cut
// off.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	d := start(t, newFake())
	conn, err := socket.Dial(t.Context(), d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the server hung up
	if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || strings.Contains(string(answer), "200 OK") {
		t.Errorf("got %q, %v", answer, err)
	}
}
