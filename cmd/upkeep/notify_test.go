package main_test

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor is who started a service and listens to sd_notify(3).
type supervisor struct {
	path string
	mu   sync.Mutex
	told []told
}

// told is one assignment of a datagram and when it came.
type told struct {
	at   time.Time
	text string
}

func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	s := &supervisor{path: filepath.Join(t.TempDir(), "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			s.mu.Lock()
			for line := range strings.Lines(string(buffer[:n])) {
				s.told = append(s.told, told{time.Now(), strings.TrimSpace(line)})
			}
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return s
}

// all returns what was told so far.
func (s *supervisor) all() []told {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

// of returns what was told so far that begins with a name.
func (s *supervisor) of(name string) []told {
	return slices.DeleteFunc(s.all(), func(a told) bool { return !strings.HasPrefix(a.text, name) })
}

// await waits until so many assignments of a pattern were told.
func (s *supervisor) await(t *testing.T, pattern string, count int) told {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	var found []told
	eventually(t, fmt.Sprintf("the supervisor hears %s %d times", pattern, count), func() (bool, string) {
		all := s.all()
		found = slices.DeleteFunc(slices.Clone(all), func(a told) bool { return !wanted.MatchString(a.text) })
		return len(found) >= count, fmt.Sprint(all)
	})
	return found[count-1]
}

const notifyConfig = `
timezone: UTC
ballast: off
kill_grace: 1s
workflows:
  tick:
    schedule: {every: 1s}
    jobs:
      one: {kind: script, with: {run: [echo, tick]}}
  other:
    jobs:
      one: {kind: script, with: {run: [echo, other]}}
  slow:
    jobs:
      one: {kind: script, with: {run: "touch begun; until test -e go; do sleep 0.05; done"}}
`

// A service tells its supervisor when it is ready, how it is, that it reloads
// and that it ends, in the order and the form that systemd wants.
func TestNotify_Life(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t)
	h := newHouse(t, notifyConfig)
	h.env = []string{"NOTIFY_SOCKET=" + s.path}
	// Ready means that the ledger is there, so not while another holds it up.
	h.upkeep(t, 0, "run", "other", "-q")
	free := h.holdLedger(t)
	d := h.launch(t, h.command(t, "serve"))
	s.await(t, "^STATUS=opening the ledger$", 1)
	eventually(t, "the service takes its lock", func() (bool, string) { return h.has("var/upkeep.db.lock"), "" })
	if got := s.of("READY=1"); len(got) > 0 {
		t.Error("it was ready while it could not write its ledger")
	}
	free()
	s.await(t, "^READY=1$", 1)
	// What is told as ready can be used at once.
	h.upkeep(t, 0, "run", "other", "-q")
	s.await(t, `^STATUS=\d+ running, \d+ waiting, next start \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$`, 1)

	before := monotonic(t)
	d.signal(t, syscall.SIGHUP)
	s.await(t, "^READY=1$", 2)
	usec := s.await(t, `^MONOTONIC_USEC=\d+$`, 1)
	got, err := strconv.ParseInt(strings.TrimPrefix(usec.text, "MONOTONIC_USEC="), 10, 64)
	if after := monotonic(t); err != nil || got < before || got > after {
		t.Errorf("MONOTONIC_USEC is %d (%v), want between %d and %d", got, err, before, after)
	}
	if reloading := s.of("RELOADING=1"); len(reloading) != 1 || !reloading[0].at.Equal(usec.at) && usec.at.Sub(reloading[0].at) > time.Second {
		t.Errorf("RELOADING=1 came as %v, MONOTONIC_USEC at %v", reloading, usec.at)
	}
	// A reload that fails ends too, and the status says so.
	h.write(t, "upkeep.yaml", "nonsense: 1\n")
	d.signal(t, syscall.SIGHUP)
	s.await(t, "^READY=1$", 3)
	s.await(t, `^STATUS=.*; degraded since .*: .*upkeep.yaml:1:`, 1)

	h.upkeep(t, 0, "run", "slow", "--detach")
	eventually(t, "the job begins", func() (bool, string) { return h.has("begun"), d.said(t) })
	d.signal(t, syscall.SIGTERM)
	s.await(t, "^STOPPING=1$", 1)
	s.await(t, "^STATUS=draining: waiting for 1 run", 1)
	extend := s.await(t, `^EXTEND_TIMEOUT_USEC=\d+$`, 1)
	if usec, err := strconv.ParseInt(strings.TrimPrefix(extend.text, "EXTEND_TIMEOUT_USEC="), 10, 64); err != nil || usec < 5_000_000 {
		t.Errorf("it asks for %s, which is too short to be repeated in time", extend.text)
	}
	s.await(t, "^EXTEND_TIMEOUT_USEC=", 2) // again and again, as long as it lasts
	h.write(t, "go", "")
	d.end(t)
	order := []string{"STATUS=opening the ledger", "READY=1", "RELOADING=1", "STOPPING=1"}
	at := -1
	for _, text := range order {
		next := slices.IndexFunc(s.all(), func(a told) bool { return a.text == text })
		if next <= at {
			t.Errorf("%s is out of order in %v", text, s.all())
		}
		at = next
	}
}

// monotonic is the clock that systemd compares with, in microseconds.
func monotonic(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano() / 1000
}

// holdLedger keeps everybody else from writing to the ledger until the function
// that it returns is called.
func (h *house) holdLedger(t *testing.T) (free func()) {
	t.Helper()
	self, err := lookPath("hold-sqlite")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, filepath.Join(h.dir, "var", "upkeep.db"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 5)
	if _, err := out.Read(line); err != nil || string(line[:4]) != "held" {
		t.Fatalf("the ledger is not held: %q %v", line, err)
	}
	once := sync.OnceFunc(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	t.Cleanup(once)
	return once
}

// The watchdog is fed at least twice in its interval for as long as the clock
// of the schedule goes round.
func TestNotify_Watchdog(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t)
	h := newHouse(t, notifyConfig)
	const interval = 3 * time.Second
	h.env = []string{"NOTIFY_SOCKET=" + s.path, fmt.Sprintf("WATCHDOG_USEC=%d", interval.Microseconds())}
	d := h.serve(t)
	last := s.await(t, "^WATCHDOG=1$", 4).at
	ready := s.of("READY=1")[0].at
	feeds := s.of("WATCHDOG=1")
	previous := ready
	for _, f := range feeds {
		if gap := f.at.Sub(previous); gap > interval/2+300*time.Millisecond {
			t.Errorf("the watchdog was not fed for %s of its %s", gap, interval)
		}
		previous = f.at
	}
	if last.Before(ready) {
		t.Error("it was fed before the service was ready")
	}
	d.stop(t)

	// It is not meant for another process.
	other := newSupervisor(t)
	h.env = []string{"NOTIFY_SOCKET=" + other.path, "WATCHDOG_USEC=1000000", "WATCHDOG_PID=1"}
	d = h.serve(t)
	other.await(t, "^STATUS=.* running", 1)
	d.stop(t)
	if got := other.of("WATCHDOG=1"); len(got) > 0 {
		t.Errorf("a watchdog of another process was fed %d times", len(got))
	}
}

// Without a supervisor, or with one that does not listen, all goes its way.
func TestNotify_Nobody(t *testing.T) {
	t.Parallel()
	h := newHouse(t, notifyConfig)
	h.env = []string{"NOTIFY_SOCKET=" + filepath.Join(h.dir, "nobody"), "WATCHDOG_USEC=nonsense"}
	d := h.serve(t)
	h.upkeep(t, 0, "run", "other", "-q")
	d.await(t, "tell the service supervisor")
	d.stop(t)
}

// Under the journal of systemd lines have levels and no times; otherwise the
// forms can be chosen.
func TestServe_LogFormats(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env  []string
		args []string
		line string
	}{
		"journal":  {env: []string{"JOURNAL_STREAM=9:1234"}, line: `^<6>msg="upkeep serves" node=`},
		"asked":    {args: []string{"--log-format", "journal"}, line: `^<4>msg="the configuration looks odd" what="`},
		"text":     {line: `^time=\S+ level=INFO msg="upkeep serves" node=`},
		"json":     {args: []string{"--log-format", "json"}, line: `^\{"timestamp":"\S+Z","level":"INFO","severity_number":9,"logger":"upkeep","message":"upkeep serves","node":"`},
		"override": {env: []string{"JOURNAL_STREAM=9:1234"}, args: []string{"--log-format", "text"}, line: `^time=\S+ level=INFO msg="upkeep serves" node=`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, notifyConfig)
			h.env = tt.env
			d := h.launch(t, h.command(t, append([]string{"serve"}, tt.args...)...))
			d.await(t, tt.line)
			d.await(t, `upkeep serves`)
			d.stop(t)
			if strings.Contains(tt.line, "<") && strings.Contains(d.said(t), "time=") {
				t.Errorf("lines for the journal have times:\n%s", d.said(t))
			}
		})
	}
}

// While somebody else writes to the ledger for long nothing starts, the watchdog
// knows that the service is not to blame, and no slot is lost.
func TestNotify_BusyLedger(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t)
	h := newHouse(t, notifyConfig)
	h.env = []string{"NOTIFY_SOCKET=" + s.path, "WATCHDOG_USEC=1500000"}
	d := h.serve(t)
	h.runs(t, "tick", "succeeded")
	free := h.holdLedger(t)
	fed := len(s.of("WATCHDOG=1"))
	d.await(t, "a round of the ticker failed and is repeated")
	s.await(t, "^WATCHDOG=1$", fed+3)
	free()
	d.await(t, "slots are decided again")
	h.runs(t, "tick", "succeeded")
	d.stop(t)
	h.everySlotOnce(t, "tick", time.Second)
}
