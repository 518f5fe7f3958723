package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// upgradeConfig has jobs that end the service once whoever asked for them has his
// answer.
const upgradeConfig = `
timezone: UTC
node: db-1
ballast: off
kill_grace: 1s
workflows:
  kill:
    jobs:
      before: {kind: script, with: {run: "echo before >> effects"}}
      upgrade:
        kind: script
        needs: [before]
        with:
          restarts: upkeep
          run: "until test -e asked; do sleep 0.1; done; echo upgrading; echo upgrade >> effects; kill -9 $PPID; sleep 0.2; echo upgraded; touch good"
          verify: {run: [test, -e, good], within: 20s, every: 100ms}
      after: {kind: script, needs: [upgrade], with: {run: "echo after >> effects"}}
  term:
    jobs:
      before: {kind: script, with: {run: "echo before >> effects"}}
      upgrade:
        kind: script
        needs: [before]
        with:
          restarts: upkeep
          run: "until test -e asked; do sleep 0.1; done; echo upgrading; echo upgrade >> effects; kill -TERM $PPID; sleep 0.5; echo upgraded; touch good"
          verify: {run: [test, -e, good], within: 20s, every: 100ms}
      after: {kind: script, needs: [upgrade], with: {run: "echo after >> effects"}}
  broken:
    jobs:
      upgrade:
        kind: script
        with:
          restarts: upkeep
          run: "until test -e asked; do sleep 0.1; done; kill -9 $PPID"
          verify: {run: ["false"], within: 1s, every: 200ms}
      after: {kind: script, needs: [upgrade], with: {run: "echo never >> effects"}}
  cold:
    jobs:
      upgrade:
        kind: script
        with:
          restarts: upkeep
          run: [echo, nothing is restarted]
          verify: {run: ["true"], within: 500ms, every: 100ms}
`

// caretaker starts the service again whenever it has ended, as systemd does.
type caretaker struct {
	mu     sync.Mutex
	starts int
	over   bool
	last   *resident
	done   chan struct{}
}

func (h *house) keep(t *testing.T) *caretaker {
	t.Helper()
	k := &caretaker{done: make(chan struct{})}
	k.last, k.starts = h.serve(t), 1
	// A test that fails ends the service, and that end is not to be mended.
	t.Cleanup(func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.over = true
	})
	go func() {
		defer close(k.done)
		for {
			k.mu.Lock()
			current := k.last
			k.mu.Unlock()
			<-current.ended
			k.mu.Lock()
			if k.over {
				k.mu.Unlock()
				return
			}
			k.last = h.launch(t, h.command(t, "serve"))
			k.starts++
			k.mu.Unlock()
		}
	}()
	return k
}

// stop ends the service for good and returns how often it was started.
func (k *caretaker) stop(t *testing.T) int {
	t.Helper()
	k.mu.Lock()
	k.over = true
	last := k.last
	k.mu.Unlock()
	last.await(t, "upkeep serves")
	last.stop(t)
	<-k.done
	return k.starts
}

// shown is what these tests look at in `upkeep show -o json`.
type shown struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Message  string `json:"message"`
	Attempts []struct {
		Job    string `json:"job"`
		Number int    `json:"number"`
		State  string `json:"state"`
		Error  string `json:"error"`
		Hint   string `json:"hint"`
	} `json:"attempts"`
}

func (h *house) show(t *testing.T, run string) shown {
	t.Helper()
	text, _ := h.upkeep(t, 0, "show", run, "-o", "json")
	var s shown
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}

// A job that restarts upkeep itself, gently or not, goes on after the restart
// and is judged by what it left.
func TestServe_SurvivesItsOwnMaintenance(t *testing.T) {
	t.Parallel()
	for _, workflow := range []string{"kill", "term"} {
		t.Run(workflow, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, upgradeConfig)
			k := h.keep(t)
			h.upkeep(t, 0, "run", workflow, "--detach")
			h.write(t, "asked", "")
			h.runs(t, workflow, "succeeded")
			run := h.show(t, workflow)
			var jobs []string
			for _, a := range run.Attempts {
				jobs = append(jobs, a.Job)
				if a.Number != 1 || a.State != "succeeded" {
					t.Errorf("attempt %d of %s is %s: %s", a.Number, a.Job, a.State, a.Error)
				}
			}
			if !slices.Equal(jobs, []string{"before", "upgrade", "after"}) {
				t.Errorf("the attempts are of %v", jobs)
			}
			if got := h.read(t, "effects"); got != "before\nupgrade\nafter\n" {
				t.Errorf("the jobs did %q", got)
			}
			text, _ := h.upkeep(t, 0, "logs", workflow, "upgrade")
			for _, want := range []string{"upgrading", "upgraded"} {
				if !strings.Contains(text, want) {
					t.Errorf("what it wrote lacks %q:\n%s", want, text)
				}
			}
			if starts := k.stop(t); starts != 2 {
				t.Errorf("the service was started %d times, want 2", starts)
			}
		})
	}
}

// A restart that does not leave what it should has failed, and so has one that
// never came.
func TestServe_JudgesItsOwnMaintenance(t *testing.T) {
	t.Parallel()
	h := newHouse(t, upgradeConfig)
	k := h.keep(t)
	h.upkeep(t, 0, "run", "broken", "--detach")
	h.write(t, "asked", "")
	h.runs(t, "broken", "failed")
	run := h.show(t, "broken")
	if a := run.Attempts[0]; a.Number != 1 || a.State != "failed" || a.Error == "" {
		t.Errorf("attempt %d is %s: %s", a.Number, a.State, a.Error)
	}
	if run.Attempts[1].State != "skipped" {
		t.Errorf("the job after it is %s", run.Attempts[1].State)
	}
	out, _ := h.upkeep(t, 1, "run", "cold")
	if !strings.Contains(out, "upkeep was not restarted within 500ms") {
		t.Errorf("a restart that never came is told as\n%s", out)
	}
	if starts := k.stop(t); starts != 2 {
		t.Errorf("the service was started %d times, want 2", starts)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "effects")); err == nil {
		t.Error("what needs it ran")
	}
}
