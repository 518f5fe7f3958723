package socket_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/web/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers connections until the listener is closed.
func echo(t *testing.T, l net.Listener) {
	t.Helper()
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()         //nolint:errcheck // the other side sees it
				_, _ = io.Copy(conn, conn) // the client sees what is missing
			})
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		conns.Wait()
	})
}

func talk(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := socket.Dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the other side sees it
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
	peer, err := socket.PeerOf(conn)
	if err != nil {
		t.Fatal(err)
	}
	if want := (socket.Peer{UID: os.Geteuid(), PID: os.Getpid()}); peer != want || !peer.Trusted() || peer.Name() == "" {
		t.Errorf("peer %+v (%q, trusted %v), want %+v", peer, peer.Name(), peer.Trusted(), want)
	}
}

func TestListen_Paths(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long", 60)
	tests := map[string]string{
		"short":         "s",
		"long name":     long,
		"long folders":  filepath.Join(long, long, long, "api.sock"),
		"spaces":        "a b\n$(x) ü.sock",
		"begins with @": "@abstract",
	}
	for name, path := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), path)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			l, err := socket.Listen(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			echo(t, l)
			talk(t, path)
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != fs.ModeSocket|0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			if l.Path() != path {
				t.Errorf("path %q, want %q", l.Path(), path)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

func TestListen_Stale(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := socket.Dial(t.Context(), path); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial a dead socket: %v", err)
	}
	l, err := socket.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l)
	talk(t, path)
}

func TestListen_InUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := socket.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l)
	if second, err := socket.Listen(t.Context(), path); !errors.Is(err, socket.ErrInUse) {
		t.Fatalf("got %v, %v", second, err)
	}
	talk(t, path)
}

func TestListen_OnlyOneWins(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	const racers = 8
	won := make(chan *socket.Listener, racers)
	var racing sync.WaitGroup
	for range racers {
		racing.Go(func() {
			l, err := socket.Listen(t.Context(), path)
			switch {
			case err == nil:
				won <- l
			case !errors.Is(err, socket.ErrInUse):
				t.Errorf("a loser got %v", err)
			}
		})
	}
	racing.Wait()
	if len(won) != 1 {
		t.Fatalf("%d won", len(won))
	}
	echo(t, <-won)
	talk(t, path)
}

func TestListen_SomethingElse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(folder, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, folder, filepath.Join(folder, "missing", "s")} {
		if l, err := socket.Listen(t.Context(), path); err == nil {
			t.Errorf("%s: listens at %s", path, l.Path())
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

// TestClose_Successor shows that closing leaves the socket of a successor.
func TestClose_Successor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	first, err := socket.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := socket.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, second)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	talk(t, path)
}

func TestDial_Nobody(t *testing.T) {
	t.Parallel()
	if _, err := socket.Dial(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestListen_Canceled(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	held, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close() //nolint:errcheck // only locked
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, why)
	defer cancel()
	if _, err := socket.Listen(ctx, filepath.Join(folder, "s")); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
