package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
	"github.com/ghosteam/upkeep/web/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listener makes a socket on which accept deals with every connection.
func listener(t *testing.T, path string, accept func(net.Conn)) {
	t.Helper()
	l, err := socket.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accept(conn)
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		<-done
	})
}

func answer(w io.Writer, text string) {
	_, _ = io.WriteString(w, text) // the client sees what is missing
}

// hold keeps connections open and says nothing.
func hold(t *testing.T) func(net.Conn) {
	t.Helper()
	return func(conn net.Conn) {
		t.Cleanup(func() {
			if err := conn.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestWay shows what is said when the daemon cannot be asked.
func TestWay(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		prepare   func(t *testing.T, path string)
		is        error
		temporary bool
		hint      string
	}{
		"nothing there": {prepare: func(*testing.T, string) {}, is: client.ErrNoDaemon, temporary: true, hint: "upkeep serve"},
		"no folder": {prepare: func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, is: client.ErrNoDaemon, temporary: true},
		"dead": {prepare: func(t *testing.T, path string) {
			t.Helper()
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}, is: client.ErrNoDaemon, temporary: true},
		"silent": {prepare: func(t *testing.T, path string) {
			t.Helper()
			listener(t, path, hold(t))
		}, is: client.ErrSilent, temporary: true, hint: "log"},
		"hangs up": {prepare: func(t *testing.T, path string) {
			t.Helper()
			listener(t, path, func(conn net.Conn) {
				if err := conn.Close(); err != nil {
					t.Errorf("hang up: %v", err)
				}
			})
		}, is: client.ErrLostTouch, temporary: true},
		"cut off": {prepare: func(t *testing.T, path string) {
			t.Helper()
			listener(t, path, func(conn net.Conn) {
				_, err := conn.Read(make([]byte, 4096))
				_, writeErr := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"version\":")
				if err := errors.Join(err, writeErr, conn.Close()); err != nil {
					t.Errorf("cut off: %v", err)
				}
			})
		}, is: client.ErrLostTouch, temporary: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "d", "s")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			test.prepare(t, path)
			c := client.New(client.Options{Socket: path, Within: 100 * time.Millisecond, Patience: -1})
			defer c.Close()
			calls := map[string]func() error{
				"status": func() error { _, err := c.Status(t.Context()); return err },
				"start": func() error {
					_, err := c.Start(t.Context(), api.RunRequest{Workflow: "daily"})
					return err
				},
				"follow": func() error { return c.Follow(t.Context(), "a", func(runner.Event) {}) },
			}
			for what, call := range calls {
				err := call()
				if name == "cut off" && what == "follow" {
					continue // a stream has no length
				}
				if !errors.Is(err, test.is) || errors.Is(err, runner.ErrUnavailable) != test.temporary || !strings.Contains(jobs.HintOf(err), test.hint) {
					t.Errorf("%s: got %v (hint %q)", what, err, jobs.HintOf(err))
				}
			}
		})
	}
}

func TestWay_Canceled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	listener(t, path, hold(t))
	c := client.New(client.Options{Socket: path})
	defer c.Close()
	why := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, why)
	defer cancel()
	if _, err := c.Status(ctx); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

// TestStrangers shows what is said of answers that are not upkeep's.
func TestStrangers(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"a page":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "nginx", http.StatusBadGateway) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"no JSON":    func(w http.ResponseWriter, _ *http.Request) { answer(w, "hello") },
		"a problem, no code": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(500)
			answer(w, "{}")
		},
	}
	for name, handler := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(handler)
			defer server.Close()
			c := client.New(client.Options{URL: server.URL + "/"})
			defer c.Close()
			_, err := c.Status(t.Context())
			if err == nil || errors.Is(err, runner.ErrUnavailable) || !strings.Contains(err.Error(), server.URL) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestPaths shows that nothing that names something leaves its place in the
// address.
func TestPaths(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r
		answer(w, "{}")
	}))
	defer server.Close()
	c := client.New(client.Options{URL: server.URL, By: "cli"})
	defer c.Close()
	for name, want := range map[string]string{
		"../../status": "/api/v1/workflows/..%2F..%2Fstatus/pause",
		"a?b#c d%":     "/api/v1/workflows/a%3Fb%23c%20d%25/pause",
	} {
		if _, err := c.Unpause(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if r := <-got; r.RequestURI != want || r.Header.Get("Upkeep-By") != "cli" {
			t.Errorf("%s: %s by %q", name, r.RequestURI, r.Header.Get("Upkeep-By"))
		}
	}
	for _, empty := range []func() error{
		func() error { _, err := c.Run(t.Context(), ""); return err },
		func() error { _, err := c.Incident(t.Context(), ""); return err },
	} {
		if err := empty(); !errors.Is(err, runner.ErrNotFound) {
			t.Errorf("an empty ID: %v", err)
		}
	}
	if attempts, err := c.Attempts(t.Context()); err != nil || len(attempts) != 0 {
		t.Errorf("no runs: %v, %v", attempts, err)
	}
}
