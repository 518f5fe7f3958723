package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// soakConfig has one workflow for each way in which slots can pile up. Jobs
// write down each of their beginnings and ends.
const soakConfig = `
node: soak
timezone: UTC
max_running: 6
kill_grace: 1s
drain_timeout: 1m
ballast: off
workflows:
  beside:
    schedule: {every: 1s}
    overlap: allow
    catch_up: {run: all, max: 1000}
    start_deadline: 2s
    jobs:
      work: {kind: script, with: {run: [sh, work.sh, "0.3"]}}
  inrow:
    schedule: {every: 2s}
    overlap: queue
    catch_up: {run: all, max: 1000}
    jobs:
      one: {kind: script, with: {run: [sh, work.sh, "0.1"]}}
      two: {kind: script, needs: [one], with: {run: [sh, work.sh, "0.4"]}}
  single:
    schedule: {every: 1s}
    catch_up: {run: last}
    start_deadline: 1s
    jobs:
      work: {kind: script, retry: {max: 1, backoff: 100ms..200ms}, with: {run: [sh, work.sh, "1.3"]}}
  once:
    schedule: {every: 3s}
    start_deadline: 1s
    jobs:
      work: {kind: script, on_crash: never, with: {run: [sh, work.sh, "0.7"]}}
`

// workScript leaves its traces by writes that are whole or not there at all.
// Its child leaves the session, as careless scripts do.
const workScript = `
echo "begin $UPKEEP_WORKFLOW $UPKEEP_SLOT $UPKEEP_RUN_ID $UPKEEP_JOB $UPKEEP_ATTEMPT" >> effects
setsid sleep "$1" &
wait $!
echo "end $UPKEEP_WORKFLOW $UPKEEP_SLOT $UPKEEP_RUN_ID $UPKEEP_JOB $UPKEEP_ATTEMPT" >> effects
`

// soak is a daemon that is killed over and over.
type soak struct {
	dir  string
	tick map[string]time.Duration
	hits int
	// settled is the moment of which everything before has ended.
	settled time.Time
}

// daemon starts the service in a process of its own.
func (s *soak) daemon(t *testing.T) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args = []string{"upkeep", "serve"}
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func (s *soak) reader(t *testing.T) *ledger.Reader {
	t.Helper()
	return readerOf(t, filepath.Join(s.dir, "var", "upkeep.db"))
}

func readerOf(t *testing.T, path string) *ledger.Reader {
	t.Helper()
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: secret.New("sqlite:" + path)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// kill lets a daemon live for a moment and takes it away. It counts the kills
// that met a running attempt.
func (s *soak) kill(t *testing.T, after time.Duration) {
	t.Helper()
	before := s.starts(t)
	cmd := s.daemon(t)
	// Most kills are to meet a daemon at work, however long its start takes on a
	// busy machine, and some its start.
	if rand.N(5) > 0 {
		for deadline := time.Now().Add(patience); s.starts(t) == before && time.Now().Before(deadline); {
			time.Sleep(glance)
		}
	}
	time.Sleep(after) // the moment of the kill is the input of this test
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the daemon ended by itself: %v\n%s", err, s.log())
	}
	if _, err := os.Stat(filepath.Join(s.dir, "var", "upkeep.db")); err != nil {
		return // it did not live long enough for a ledger
	}
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: secret.New("sqlite:" + filepath.Join(s.dir, "var", "upkeep.db"))})
	if err != nil {
		return // nor for its tables
	}
	defer func() { _ = r.Close() }()
	for _, run := range everyRun(t, r, runner.Running) {
		attempts, err := r.Attempts(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(attempts, func(a runner.Attempt) bool { return a.State == runner.Running }) {
			s.hits++
			return
		}
	}
}

// starts counts the daemons that came to serve.
func (s *soak) starts(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte(`msg="upkeep serves"`))
}

func (s *soak) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// everyRun pages through the runs in some states.
func everyRun(t *testing.T, r *ledger.Reader, states ...runner.State) []runner.Run {
	t.Helper()
	var all []runner.Run
	for before := runner.RunID(""); ; {
		page, err := r.Runs(t.Context(), runner.Filter{States: states, Before: before, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < 500 {
			return all
		}
		before = page[len(page)-1].ID
	}
}

// A real daemon with short schedules is killed at random moments. Whatever
// those moments are: every due slot has one row, every run one outcome, and
// nothing is left behind.
func TestSoak_Kill(t *testing.T) {
	t.Parallel()
	kills := 14
	if os.Getenv("UPKEEP_SOAK") != "" {
		kills = 300
	}
	s := &soak{dir: t.TempDir(), tick: map[string]time.Duration{
		"beside": time.Second, "inrow": 2 * time.Second, "single": time.Second, "once": 3 * time.Second,
	}}
	for name, text := range map[string]string{"upkeep.yaml": soakConfig, "work.sh": workScript} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range kills {
		s.kill(t, 150*time.Millisecond+rand.N(1200*time.Millisecond))
	}
	last := s.daemon(t)
	r := s.reader(t)
	s.settle(t, r)
	if err := last.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := last.Wait(); err != nil {
		t.Fatalf("the last daemon did not drain: %v\n%s", err, s.log())
	}
	t.Logf("%d of %d kills hit a running attempt", s.hits, kills)
	if s.hits < kills/2 {
		t.Errorf("only %d of %d kills hit a running attempt, which proves too little", s.hits, kills)
	}
	s.everySlotOnce(t, r)
	s.everyRunEnded(t, r)
	s.noOrphans(t)
}

// settle waits until the runs of before this moment have ended.
func (s *soak) settle(t *testing.T, r *ledger.Reader) {
	t.Helper()
	until := time.Now()
	s.settled = until
	deadline := time.Now().Add(4 * time.Minute)
	for {
		open := slices.DeleteFunc(everyRun(t, r, runner.Queued, runner.Running), func(run runner.Run) bool { return run.QueuedAt.After(until) })
		if len(open) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d runs did not end, such as %s of %s (%s)\n%s", len(open), open[0].ID, open[0].Spec.Workflow, open[0].State, s.log())
		}
		time.Sleep(200 * time.Millisecond) // another process ends them; there is nothing to wait on
	}
}

// everySlotOnce counts with arithmetic of its own: the slots of an interval are
// its multiples.
func (s *soak) everySlotOnce(t *testing.T, r *ledger.Reader) {
	t.Helper()
	cursors, err := r.Cursors(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	cursors = slices.DeleteFunc(cursors, func(c runner.Cursor) bool { return s.tick[c.Workflow] == 0 })
	if len(cursors) != len(s.tick) {
		t.Fatalf("%d calendars on record, want %d", len(cursors), len(s.tick))
	}
	rows := map[string]map[int64]int{}
	for _, run := range everyRun(t, r) {
		name := run.Spec.Workflow
		if s.tick[name] == 0 {
			continue // it has no calendar
		}
		if rows[name] == nil {
			rows[name] = map[int64]int{}
		}
		end := run.Slot
		if !run.LastSlot.IsZero() {
			end = run.LastSlot
		}
		for at := run.Slot; !at.After(end); at = at.Add(s.tick[name]) {
			rows[name][at.Unix()]++
		}
	}
	for _, c := range cursors {
		every := int64(s.tick[c.Workflow] / time.Second)
		due := 0
		for at := c.Since.Unix()/every*every + every; at <= c.Through.Unix(); at += every {
			due++
			if n := rows[c.Workflow][at]; n != 1 {
				t.Errorf("%s: the slot %s has %d rows, want 1", c.Workflow, time.Unix(at, 0).UTC().Format(time.TimeOnly), n)
			}
			delete(rows[c.Workflow], at)
		}
		for at := range rows[c.Workflow] {
			t.Errorf("%s: a row for %s, which is no slot", c.Workflow, time.Unix(at, 0).UTC())
		}
		t.Logf("%s: %d slots, each with one row", c.Workflow, due)
	}
}

// everyRunEnded compares what the ledger says with what the jobs did.
func (s *soak) everyRunEnded(t *testing.T, r *ledger.Reader) {
	t.Helper()
	effects := s.effects(t)
	states := map[runner.State]int{}
	for _, run := range everyRun(t, r) {
		states[run.State]++
		if run.State == runner.Queued && run.QueuedAt.After(s.settled) {
			continue // it came while the last daemon drained: the next one runs it
		}
		if !run.State.Final() {
			t.Errorf("run %s of %s is still %s", run.ID, run.Spec.Workflow, run.State)
			continue
		}
		attempts, err := r.Attempts(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		done := map[string]int{}
		for _, a := range attempts {
			name := fmt.Sprintf("%s %s %d", run.ID, a.Job, a.Number)
			switch {
			case !a.State.Final():
				t.Errorf("attempt %s is still %s", name, a.State)
			case a.State.Done():
				done[a.Job]++
				if effects["begin "+name] != 1 || effects["end "+name] != 1 {
					t.Errorf("attempt %s is on record as %s and began %d times, ended %d times", name, a.State, effects["begin "+name], effects["end "+name])
				}
			case effects["begin "+name] > 1:
				t.Errorf("attempt %s began %d times", name, effects["begin "+name])
			}
		}
		for job, n := range done {
			if n != 1 {
				t.Errorf("job %s of run %s was done %d times", job, run.ID, n)
			}
		}
		if run.State == runner.Succeeded && len(done) == 0 {
			t.Errorf("run %s succeeded without a job that did", run.ID)
		}
	}
	t.Logf("runs by state: %v", states)
	for _, must := range []runner.State{runner.Succeeded, runner.Skipped, runner.Failed} {
		if states[must] == 0 && os.Getenv("UPKEEP_SOAK") != "" {
			t.Errorf("no run ended %s: the soak does not reach what it should", must)
		}
	}
}

// effects counts the traces of the jobs.
func (s *soak) effects(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "effects"))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) != 6 {
			t.Fatalf("a trace is not whole: %q", lines.Text())
		}
		count[strings.Join([]string{f[0], f[3], f[4], f[5]}, " ")]++
	}
	return count
}

// noOrphans looks for processes that work in the folder of the soak.
func (s *soak) noOrphans(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd")); err == nil && cwd == s.dir {
			cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			t.Errorf("process %d is left: %s", pid, bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}))
		}
	}
}
