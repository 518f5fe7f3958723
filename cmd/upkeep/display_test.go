package main_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	upkeep "github.com/ghosteam/upkeep/cmd/upkeep"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// aRun is a run under way, as the executor would tell it.
var aRun = runner.Run{
	ID:      "01a20654-b1b6-7523-b9d0-f30dab83c710",
	Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}},
	State:   runner.Running,
}

// theater is a terminal of changing size that a display draws on.
type theater struct {
	mu            sync.Mutex
	width, height int
	screen        *screen
	display       *upkeep.LiveDisplay
}

func openTheater(width, height int) *theater {
	th := &theater{width: width, height: height, screen: newScreen(width, height)}
	th.display = upkeep.NewLiveDisplay(th, func() (int, int) {
		th.mu.Lock()
		defer th.mu.Unlock()
		return th.width, th.height
	})
	return th
}

func (th *theater) Write(p []byte) (int, error) {
	th.mu.Lock()
	defer th.mu.Unlock()
	// The driver of a terminal sends a carriage return with each line feed.
	th.screen.write([]byte(strings.ReplaceAll(string(p), "\n", "\r\n")))
	return len(p), nil
}

// resize makes the terminal narrower or wider, which breaks its lines anew.
func (th *theater) resize(width, height int) {
	th.mu.Lock()
	defer th.mu.Unlock()
	th.width, th.height = width, height
	th.screen.reflow(width, height)
}

// text is what the terminal shows, with the spinner at rest.
func (th *theater) text() string {
	th.mu.Lock()
	defer th.mu.Unlock()
	return regexp.MustCompile("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]").ReplaceAllString(th.screen.text(), "*")
}

func (th *theater) observe(t *testing.T, events ...runner.Event) {
	t.Helper()
	for _, e := range events {
		th.display.Observe(t.Context(), e)
	}
}

func (th *theater) expect(t *testing.T, want string) {
	t.Helper()
	th.display.Redraw()
	if diff := cmp.Diff(strings.TrimLeft(want, "\n"), th.text()); diff != "" {
		t.Errorf("the screen differs (-want +got):\n%s", diff)
	}
	if len(th.screen.strange) > 0 {
		t.Errorf("the terminal was sent what no display sends: %v", th.screen.strange)
	}
}

func started(jobs ...string) runner.RunStarted {
	e := runner.RunStarted{Run: aRun}
	for _, job := range jobs {
		e.Jobs = append(e.Jobs, runner.JobName{Name: job, Kind: "script"})
	}
	return e
}

func begins(job string) runner.AttemptStarted {
	return runner.AttemptStarted{Attempt: runner.Attempt{Job: job, Kind: "script", Number: 1, State: runner.Running, StartedAt: time.Now()}}
}

func ends(job string, state runner.State, after time.Duration, summary string) runner.AttemptEnded {
	at := runner.Attempt{Job: job, Kind: "script", Number: 1, State: state, StartedAt: time.Now().Add(-after), FinishedAt: time.Now()}
	if state == runner.Failed {
		at.Error = summary
	} else {
		at.Result = jobs.Result{Summary: summary}
	}
	return runner.AttemptEnded{Attempt: at}
}

func key(job string) runner.AttemptKey { return runner.AttemptKey{Run: aRun.ID, Job: job, Number: 1} }

func TestLiveDisplay_FollowsARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := openTheater(70, 24)
		th.observe(t, started("health", "backup", "prune", "late"), begins("health"), begins("backup"))
		time.Sleep(1500 * time.Millisecond)
		th.observe(t,
			ends("health", runner.Warned, 1200*time.Millisecond, "disk is filling"),
			runner.AttemptProgress{Key: key("backup"), Done: 512 << 20, Total: 1 << 30, Unit: "bytes"},
			runner.AttemptWaiting{Key: key("prune"), Holder: &runner.LockHolder{Lock: "files/logs", Workflow: "weekly", Job: "prune"}},
		)
		th.expect(t, `
daily  run 01a20654-b1b6-7523-b9d0-f30dab83c710 started, 4 jobs
! health     1.2s  disk is filling
* backup     1.5s  50 %  512 MiB of 1.0 GiB
… prune            waits for lock files/logs, held by weekly.prune
· late
`)
		// How fast, once that can be told, and then of the next thing that it does.
		at := time.Now()
		progress := func(after time.Duration, done int64, unit string) runner.AttemptProgress {
			return runner.AttemptProgress{Key: key("backup"), Done: done << 20, Total: 1 << 30, Unit: unit, At: at.Add(after)}
		}
		th.observe(t, progress(0, 512, "bytes"), progress(4*time.Second, 768, "bytes"))
		th.expect(t, `
daily  run 01a20654-b1b6-7523-b9d0-f30dab83c710 started, 4 jobs
! health     1.2s  disk is filling
* backup     1.5s  75 %  768 MiB of 1.0 GiB, 64 MiB/s, 4s left
… prune            waits for lock files/logs, held by weekly.prune
· late
`)
		th.observe(t, progress(5*time.Second, 1, "bytes read back"))
		th.expect(t, `
daily  run 01a20654-b1b6-7523-b9d0-f30dab83c710 started, 4 jobs
! health     1.2s  disk is filling
* backup     1.5s  0 %  1.0 MiB of 1.0 GiB read back
… prune            waits for lock files/logs, held by weekly.prune
· late
`)
		th.observe(t,
			ends("backup", runner.Failed, 1500*time.Millisecond, "no route to host"),
			runner.AttemptWaiting{Key: key("backup"), Error: "no route to host", Until: time.Date(2000, 1, 1, 0, 5, 0, 0, time.Local)},
			begins("prune"),
			runner.AttemptProgress{Key: key("prune"), Done: 1234567, Unit: "files"},
		)
		th.expect(t, `
daily  run 01a20654-b1b6-7523-b9d0-f30dab83c710 started, 4 jobs
! health     1.2s  disk is filling
… backup     1.5s  failed: no route to host; next try at 00:05:00
* prune        0s  1,234,567 files
· late
`)
		th.observe(t,
			ends("prune", runner.Succeeded, 0, "deleted 3 files"),
			runner.AttemptEnded{Attempt: runner.Attempt{Job: "late", State: runner.Skipped, Reason: runner.ReasonCondition, Result: jobs.Result{Summary: "it needs backup, which is failed"}}},
			ends("backup", runner.Failed, 2*time.Minute+10*time.Second, "no route to host"),
		)
		th.display.Close()
		th.display.Close()
		th.expect(t, `
daily  run 01a20654-b1b6-7523-b9d0-f30dab83c710 started, 4 jobs
! health     1.2s  disk is filling
✗ backup    2m10s  no route to host
✓ prune        0s  deleted 3 files
- late             it needs backup, which is failed
`)
	})
}

func TestLiveDisplay_MovesByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := openTheater(70, 24)
		th.observe(t, started("backup"), begins("backup"))
		time.Sleep(3050 * time.Millisecond)
		synctest.Wait()
		if got := th.text(); !strings.Contains(got, "* backup       3s") {
			t.Errorf("after 3 seconds the terminal shows\n%s", got)
		}
		th.display.Close()
	})
}

func TestLiveDisplay_ShowsResumedJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := openTheater(100, 24)
		e := started("one", "two")
		e.Done = []runner.Attempt{ends("one", runner.Succeeded, time.Second, "done before").Attempt}
		th.observe(t, e)
		th.display.Close()
		th.expect(t, `
daily  run 01a20654-b1b6-7523-b9d0-f30dab83c710 continues, 2 jobs, 1 of them ended before
✓ one       1s  done before
· two
`)
	})
}

// A summary that tries everything stays on its line and changes nothing else.
func TestLiveDisplay_WithstandsHostileText(t *testing.T) {
	t.Parallel()
	hostile := map[string]string{
		"escapes":       "\x1b[2J\x1b[1;1H\x1b]0;owned\x07\x1bc done",
		"eight bits":    "\u009b2J\u009d0;owned\u009c done",
		"line feeds":    "one\ntwo\r\nthree\rfour\vfive\fsix",
		"separators":    "one\u2028two\u2029three",
		"bells":         strings.Repeat("\a\b", 50),
		"not UTF-8":     "\xff\xfe\xc3",
		"turned around": "\u202egpj.exe\u202c\u2066x\u2069",
		"long":          strings.Repeat("x", 10_000),
		"wide":          strings.Repeat("漢", 200),
		"combining":     "e" + strings.Repeat("\u0301", 500),
		"zero width":    strings.Repeat("\u200b\ufeff", 500),
		"tabs":          "\t\t\t\t\t\t\t\t\t\t\t\t\t\tx",
	}
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				th := openTheater(40, 24)
				th.observe(t, started("victim", "other"), ends("other", runner.Succeeded, time.Second, "fine"))
				for range 3 {
					th.observe(t, ends("victim", runner.Succeeded, time.Second, text))
					th.display.Redraw()
					th.observe(t, ends("victim", runner.Failed, time.Second, text))
					th.display.Redraw()
				}
				th.display.Close()
				lines := strings.Split(strings.TrimSpace(th.text()), "\n")
				if len(lines) != 4 || !strings.HasPrefix(lines[2], "✗ victim       1s") || lines[3] != "✓ other        1s  fine" {
					t.Errorf("the terminal shows\n%s", th.text())
				}
				if len(th.screen.strange) > 0 {
					t.Errorf("the terminal was sent %v", th.screen.strange)
				}
			})
		})
	}
}

// When the window becomes narrower, the lines on the screen break; the next
// drawing replaces all of them.
func TestLiveDisplay_SurvivesResizing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := openTheater(60, 24)
		th.observe(t, started("one", "two"), begins("one"))
		th.observe(t, ends("two", runner.Succeeded, time.Second, strings.Repeat("word ", 20)))
		th.display.Redraw()
		for _, width := range []int{25, 60, 10, 31, 80} {
			th.resize(width, 24)
			th.display.Redraw()
		}
		th.display.Close()
		th.expect(t, `
daily  run 01a20654-b1b6-7523-b9d0-f30dab83c710 started, 2 jobs
* one       0s
✓ two       1s  word word word word word word word word word word word word wor…
`)
	})
}

// What others write while the board is drawn stands above it.
func TestLiveDisplay_PutsNotesAbove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := openTheater(70, 24)
		th.observe(t, started("one"), begins("one"))
		th.display.Redraw()
		fmt.Fprintln(th.display, "canceling the run; press Ctrl-C again to stop at once")
		fmt.Fprint(th.display, "warning: without an end")
		th.expect(t, `
daily  run 01a20654-b1b6-7523-b9d0-f30dab83c710 started, 1 job
canceling the run; press Ctrl-C again to stop at once
warning: without an end
* one       0s
`)
		th.display.Close()
	})
}

// A board that is higher than the terminal shows what matters, and everything
// at its end.
func TestLiveDisplay_FitsLowTerminals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := openTheater(70, 8)
		var names []string
		for i := range 20 {
			names = append(names, fmt.Sprintf("job-%02d", i))
		}
		th.observe(t, started(names...))
		for i := range 10 {
			state := runner.Succeeded
			if i == 2 {
				state = runner.Failed
			}
			th.observe(t, ends(names[i], state, time.Second, "ended"))
		}
		th.observe(t, begins("job-12"))
		for range 5 {
			th.display.Redraw()
		}
		th.expect(t, `
daily  run 01a20654-b1b6-7523-b9d0-f30dab83c710 started, 20 jobs
✗ job-02       1s  ended
✓ job-07       1s  ended
✓ job-08       1s  ended
✓ job-09       1s  ended
* job-12       0s
… and 15 jobs that wait or have ended
`)
		th.display.Close()
		if lines := strings.Count(th.text(), "\n"); lines != 21 {
			t.Errorf("at its end the board has %d lines, want the first and 20 jobs:\n%s", lines, th.text())
		}
	})
}

func TestPlainDisplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		d := upkeep.NewPlainDisplay(&b)
		again := begins("one")
		again.Attempt.Number = 2
		for _, e := range []runner.Event{
			started("one", "two"), begins("one"), ends("one", runner.Failed, time.Second, "no\x1b[2J\nroute"),
			runner.AttemptWaiting{Key: key("one"), Error: "no route", Until: time.Date(2000, 1, 1, 0, 5, 0, 0, time.Local)},
			runner.AttemptProgress{Key: key("one"), Done: 1, Total: 2},
			again, ends("one", runner.Succeeded, time.Second, "fine"),
			runner.AttemptEnded{Attempt: runner.Attempt{Job: "two", Kind: "script", State: runner.Skipped, Result: jobs.Result{Summary: "if: false is false"}}},
			runner.RunEnded{Run: aRun},
		} {
			d.Observe(t.Context(), e)
		}
		d.Close()
		got := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d`).ReplaceAllString(b.String(), "TIME")
		want := `TIME  daily  run 01a20654-b1b6-7523-b9d0-f30dab83c710 started, 2 jobs
TIME  one  script  started
TIME  one  script  failed in 1s  no [2J route
TIME  one  failed: no route; next try at 00:05:00
TIME  one  script  attempt 2 started
TIME  one  script  succeeded in 1s  fine
TIME  two  script  skipped  if: false is false
`
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the lines differ (-want +got):\n%s", diff)
		}
	})
}
