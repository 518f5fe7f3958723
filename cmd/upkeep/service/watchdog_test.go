package service_test

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
)

// The watchdog hears nothing while the clock of the schedule stands still, and
// is fed again when it goes on. That the clock knows when it stands still is
// tested beside it.
func TestWatch_TiedToTheClock(t *testing.T) { //nolint:paralleltest // it changes the environment
	const interval = 300 * time.Millisecond
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt(interval.Microseconds(), 10))
	t.Setenv("WATCHDOG_PID", "")

	var stuck atomic.Bool
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		service.Watch(ctx, func() bool { return !stuck.Load() })
	}()
	fed := func(within time.Duration) bool {
		if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 100)
		n, err := conn.Read(buffer)
		return err == nil && string(buffer[:n]) == "WATCHDOG=1"
	}
	for range 3 {
		if !fed(10 * time.Second) {
			t.Fatal("it is not fed although all is well")
		}
	}
	stuck.Store(true)
	for fed(interval) { // what was under way
	}
	if fed(2 * interval) {
		t.Error("it is fed although the clock stands still")
	}
	stuck.Store(false)
	if !fed(10 * time.Second) {
		t.Error("it is not fed again")
	}
	cancel()
	<-done
}
