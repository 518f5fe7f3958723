package service_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

func newFront(t *testing.T) service.Front {
	t.Helper()
	f := service.NewFront(slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(f.Close)
	return f
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// talk sends a request over a connection that stays, and returns the status.
func talk(t *testing.T, conn net.Conn) string {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.Status
}

func connect(t *testing.T, url string) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestFront_PortTaken(t *testing.T) {
	t.Parallel()
	other := listen(t, "127.0.0.1:0")
	f := newFront(t)
	w := configs.Web{Listen: other.Addr().String(), Anonymous: runner.RoleViewer}
	f.Configure(t.Context(), w)
	url, check, wanted := f.Status()
	if url != "" || check.OK || check.Fatal || !wanted || !strings.Contains(check.Text, "address already in use") {
		t.Errorf("status %q %+v", url, check)
	}
	if err := f.Look(t.Context()); err != nil {
		t.Error(err)
	}
	if _, check, _ := f.Status(); check.OK {
		t.Error("it listens where another does")
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Look(t.Context()); err != nil {
		t.Error(err)
	}
	url, check, _ = f.Status()
	if url != "http://"+w.Listen || !check.OK {
		t.Fatalf("when the port is free: %q %+v", url, check)
	}
	if got := talk(t, connect(t, url)); got != "200 OK" {
		t.Errorf("answered %s", got)
	}
}

func TestFront_Reload(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.Configure(t.Context(), configs.Web{Listen: "127.0.0.1:0", Anonymous: runner.RoleViewer})
	first, _, _ := f.Status()
	conn := connect(t, first)
	talk(t, conn)

	users := []configs.WebUser{{Name: "anna", Hash: secret.New("$2a$"), Role: runner.RoleAdmin}}
	f.Configure(t.Context(), configs.Web{Listen: "127.0.0.1:0", Anonymous: runner.RoleNone, Users: users})
	if again, _, _ := f.Status(); again != first {
		t.Errorf("it moved from %s to %s", first, again)
	}
	terms := f.Terms()
	if terms.Anonymous != runner.RoleNone || terms.Users["anna"].Role != runner.RoleAdmin {
		t.Errorf("terms %+v", terms)
	}

	f.Configure(t.Context(), configs.Web{Listen: "localhost:0", Anonymous: runner.RoleViewer})
	moved, check, _ := f.Status()
	if moved == first || !check.OK {
		t.Fatalf("it stayed at %s: %+v", moved, check)
	}
	talk(t, connect(t, moved))
	if got := talk(t, conn); got != "200 OK" {
		t.Errorf("the connection from before is answered %s", got)
	}
	// The old port is free again.
	taken := listen(t, strings.TrimPrefix(first, "http://"))
	f.Configure(t.Context(), configs.Web{Listen: taken.Addr().String()})
	if stays, check, _ := f.Status(); stays == taken.Addr().String() || check.OK {
		t.Errorf("a reload to a taken port: %s %+v", stays, check)
	}

	f.Configure(t.Context(), configs.Web{})
	if url, _, wanted := f.Status(); url != "" || wanted {
		t.Errorf("switched off, it listens at %q", url)
	}
	if got := talk(t, conn); got != "200 OK" {
		t.Errorf("the connection from before is answered %s", got)
	}
}

// TestFront_SamePort moves to another address with the port that it has.
func TestFront_SamePort(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.Configure(t.Context(), configs.Web{Listen: "127.0.0.1:0"})
	url, _, _ := f.Status()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	f.Configure(t.Context(), configs.Web{Listen: "0.0.0.0:" + port})
	if url, check, _ := f.Status(); !check.OK || url == "" {
		t.Errorf("%q %+v", url, check)
	}
}

// TestFront_NoCertificate shows that nothing goes over the network as it is
// that was to be encrypted.
func TestFront_NoCertificate(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	w := configs.Web{Listen: "127.0.0.1:0"}
	f.Configure(t.Context(), w)
	before, _, _ := f.Status()
	w.TLS = &configs.WebTLS{Cert: filepath.Join(t.TempDir(), "none.crt"), Key: filepath.Join(t.TempDir(), "none.key")}
	f.Configure(t.Context(), w)
	url, check, wanted := f.Status()
	if url != "" || check.OK || !wanted || !strings.Contains(check.Text, "none.crt") {
		t.Errorf("%q %+v", url, check)
	}
	var d net.Dialer
	if conn, err := d.DialContext(context.WithoutCancel(t.Context()), "tcp", strings.TrimPrefix(before, "http://")); err == nil {
		_ = conn.Close()
		t.Error("it listens without the certificate")
	}
}
