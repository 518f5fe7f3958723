package browsertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner/metrics"
	"github.com/ghosteam/upkeep/scripts/dev/seed"
)

// serveVariable makes a process of the tests a service: it holds the path of
// the configuration.
const serveVariable = "UPKEEP_TEST_SERVE"

// Main is what TestMain calls: the tests, or the service that they start.
func Main(m *testing.M) int {
	path := os.Getenv(serveVariable)
	if path == "" {
		return m.Run()
	}
	if err := serve(path); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		return 1
	}
	return 0
}

// serve is `upkeep serve`.
func serve(path string) error {
	load := func() (*configs.Config, error) { return configs.Load(path, seed.Catalog()) }
	cfg, err := load()
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	const version = "0.0.0-test"
	return service.RunDaemon(context.Background(), service.DaemonOptions{
		Options: service.Options{
			Config: cfg, Version: version, Command: "upkeep serve", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
			Metrics: metrics.New(metrics.Options{Version: version, SeedNames: cfg.Metrics.SeedNames}),
		},
		Load: load, Signals: signals,
	})
}

// Service is a running upkeep with a past.
type Service struct {
	// URL is where its pages are, without a slash at the end.
	URL string
	// Dir is its folder.
	Dir string

	log *record
}

// Start fills a folder with fill and serves it until the test and its subtests
// end. web is the value of `web:` in the configuration.
func Start(t *testing.T, web string, runs int, fill func(context.Context, seed.Options) error) *Service {
	t.Helper()
	target := httptest.NewServer(http.HandlerFunc(seed.Answer))
	t.Cleanup(target.Close)
	s := &Service{Dir: t.TempDir(), log: &record{}}
	if err := fill(t.Context(), seed.Options{Dir: s.Dir, Web: web, Target: target.URL, Now: time.Now(), Runs: runs}); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), serveVariable+"="+filepath.Join(s.Dir, seed.ConfigName))
	cmd.Stdout, cmd.Stderr = s.log, s.log
	// A group of its own, so that nothing of it is left; and its end with ours.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	ended, started := make(chan error, 1), make(chan error, 1)
	go func() {
		// The kernel sends the signal when the thread that started it ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start the service: %v", err)
	}
	t.Cleanup(func() { s.stop(t, cmd, ended) })
	s.await(t, ended)
	return s
}

// listening finds the address in the log of the service.
var listening = regexp.MustCompile(`web=(http://127\.0\.0\.1:[1-9][0-9]*)`)

// await waits until the service answers.
func (s *Service) await(t *testing.T, ended chan error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		if at := listening.FindStringSubmatch(s.log.String()); at != nil {
			s.URL = at[1]
			if response, err := http.Get(s.URL + "/livez"); err == nil {
				_ = response.Body.Close() // nothing was read
				return
			}
		}
		select {
		case <-every.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("the service ended: %v\n%s", err, s.log)
		case <-deadline.C:
			t.Fatalf("the service does not answer within %s\n%s", patience, s.log)
		}
	}
}

// stop ends the service: gently, and with force when that takes too long.
func (s *Service) stop(t *testing.T, cmd *exec.Cmd, ended chan error) {
	t.Helper()
	group := cmd.Process.Pid
	err := cmd.Process.Signal(syscall.SIGTERM)
	gentle := time.NewTimer(patience)
	defer gentle.Stop()
	select {
	case e := <-ended:
		err = errors.Join(err, e)
	case <-gentle.C:
		err = errors.Join(err, errors.New("it did not end by itself"), syscall.Kill(-group, syscall.SIGKILL), <-ended)
	}
	_ = syscall.Kill(-group, syscall.SIGKILL) // as a rule nothing is left
	if err != nil {
		t.Errorf("the service ended badly: %v\n%s", err, s.log)
	}
	if bytes.Contains([]byte(s.log.String()), []byte("DATA RACE")) || bytes.Contains([]byte(s.log.String()), []byte("level=ERROR msg=\"panic")) {
		t.Errorf("the service had a race or a panic:\n%s", s.log)
	}
}

// record keeps what a process writes.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

// String returns all of it.
func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}
