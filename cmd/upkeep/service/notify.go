package service

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// supervisor is who started the daemon and wants to know how it is: systemd,
// by sd_notify(3), or nobody.
type supervisor struct {
	log *slog.Logger

	mu sync.Mutex
	// last is the status line that was told last.
	last string
}

// tell sends state; without a supervisor it does nothing.
func (s *supervisor) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("tell the service supervisor", "state", state, "error", err)
	}
}

func (s *supervisor) ready() { s.tell(daemon.SdNotifyReady) }

// status tells one line for people, if it is a new one.
func (s *supervisor) status(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line := fmt.Sprintf(format, args...); line != s.last {
		s.last = line
		s.tell("STATUS=" + line)
	}
}

// reloading brackets a reload as Type=notify wants it; with it comes the
// monotonic clock, which Type=notify-reload needs.
func (s *supervisor) reloading() (done func()) {
	s.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	return s.ready
}

// stopping tells that the end has begun and asks for time while it lasts.
func (s *supervisor) stopping(ctx context.Context, atMost time.Duration) {
	s.tell(daemon.SdNotifyStopping)
	const step = 10 * time.Second
	tick := time.NewTicker(step / 2)
	defer tick.Stop()
	for end := time.Now().Add(atMost + step); time.Now().Before(end); {
		s.tell(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", step.Microseconds()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watch tells the watchdog that the daemon is well, as often as it wants to
// hear it, for as long as alive says so.
func (s *supervisor) watch(ctx context.Context, alive func() bool) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("read what the watchdog wants", "error", err)
	}
	if interval <= 0 {
		return
	}
	tick := time.NewTicker(interval / 3)
	defer tick.Stop()
	for well := true; ; {
		switch now := alive(); {
		case now:
			s.tell(daemon.SdNotifyWatchdog)
			well = true
		case well:
			s.log.Error("the clock of the schedule stands still; the watchdog is not told that all is well", "restart_in_at_most", interval)
			well = false
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
