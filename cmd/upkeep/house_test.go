package main_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// house is a folder with a configuration, and the processes of upkeep that a
// test runs in it.
type house struct {
	dir string
	// env are more variables for every process.
	env []string
}

// newHouse makes a house with a configuration.
func newHouse(t *testing.T, config string) *house {
	t.Helper()
	h := &house{dir: t.TempDir()}
	h.write(t, "upkeep.yaml", config)
	return h
}

func (h *house) write(t *testing.T, name, text string) {
	t.Helper()
	// Whole or not at all, since somebody may be reading it.
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func (h *house) has(name string) bool {
	_, err := os.Stat(filepath.Join(h.dir, name))
	return err == nil
}

func (h *house) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// command is the program as it is called in the house.
func (h *house) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args = append([]string{"upkeep"}, args...)
	cmd.Dir = h.dir
	for _, at := range os.Environ() {
		// What upkeep reads of its own is not for these processes.
		if !strings.HasPrefix(at, "UPKEEP_") && !strings.HasPrefix(at, "NOTIFY_SOCKET=") && !strings.HasPrefix(at, "WATCHDOG_") {
			cmd.Env = append(cmd.Env, at)
		}
	}
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0", "TZ=UTC")
	cmd.Env = append(cmd.Env, h.env...)
	return cmd
}

// upkeep runs a command line to its end, which must have the exit code, and
// returns what it wrote.
func (h *house) upkeep(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := h.command(t, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("upkeep %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// resident is a service that runs in a house.
type resident struct {
	house *house
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
	err   error
}

// serve starts the service and waits until it says that it serves.
func (h *house) serve(t *testing.T, args ...string) *resident {
	t.Helper()
	r := h.launch(t, h.command(t, append(args, "serve")...))
	r.await(t, `msg="upkeep serves"`)
	return r
}

// launch starts a command in the background with a log of its own.
func (h *house) launch(t *testing.T, cmd *exec.Cmd) *resident {
	t.Helper()
	log, err := os.CreateTemp(h.dir, "serve-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &resident{house: h, cmd: cmd, log: log.Name(), ended: make(chan struct{})}
	go func() {
		r.err = cmd.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-r.ended
	})
	return r
}

// said returns what the service logged so far.
func (r *resident) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(r.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// await waits until the service has logged a pattern.
func (r *resident) await(t *testing.T, pattern string) {
	t.Helper()
	wanted := regexp.MustCompile(`(?m)` + pattern)
	eventually(t, "the service says "+pattern, func() (bool, string) {
		text := r.said(t)
		select {
		case <-r.ended:
			if !wanted.MatchString(text) {
				t.Fatalf("the service has ended (%v) and never said %s\n%s", r.err, pattern, text)
			}
		default:
		}
		return wanted.MatchString(text), text
	})
}

// signal sends a signal.
func (r *resident) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// kill takes the service away without a warning.
func (r *resident) kill(t *testing.T) {
	t.Helper()
	select {
	case <-r.ended:
		t.Fatalf("the service has ended by itself: %v\n%s", r.err, r.said(t))
	default:
	}
	r.signal(t, syscall.SIGKILL)
	<-r.ended
}

// stop asks the service to end and expects that it does so in good order.
func (r *resident) stop(t *testing.T) {
	t.Helper()
	r.signal(t, syscall.SIGTERM)
	r.end(t)
}

// end waits for the end of the service, with exit code 0.
func (r *resident) end(t *testing.T) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		t.Fatalf("the service does not end\n%s", r.said(t))
	}
	if r.err != nil {
		t.Fatalf("the service ended with %v\n%s", r.err, r.said(t))
	}
}

// eventually waits for a condition; look also says what there is instead.
func eventually(t *testing.T, what string, look func() (bool, string)) {
	t.Helper()
	lookEvery(t, glance, what, look)
}

// lookEvery is eventually for looks that cost something.
func lookEvery(t *testing.T, pause time.Duration, what string, look func() (bool, string)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		ok, instead := look()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited too long until %s; instead:\n%s", what, instead)
		}
	}
}

// sqlite changes the ledger of a house in which nothing runs.
func (h *house) sqlite(t *testing.T, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dir, "var", "upkeep.db"))
	if err != nil {
		t.Fatal(err)
	}
	result, err := db.ExecContext(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s changed %d rows: %v", statement, n, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// count asks the ledger of the house for a number.
func (h *house) count(t *testing.T, query string) int {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dir, "var", "upkeep.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var n int
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// everySlotOnce fails unless each multiple of an interval that the calendar of a
// workflow has come past has exactly one row.
func (h *house) everySlotOnce(t *testing.T, workflow string, every time.Duration) {
	t.Helper()
	s := soak{dir: h.dir, tick: map[string]time.Duration{workflow: every}}
	s.everySlotOnce(t, s.reader(t))
}
