package runbook_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// inWorld runs a test with a process that looks after one runbook, in time that
// passes when all sleep.
func inWorld(t *testing.T, b runbook.Runbook, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(b)
		w.start(t)
		defer func() {
			w.stop()
			<-w.done
		}()
		test(t, w)
	})
}

func (w *world) want(t *testing.T, outcomes string) {
	t.Helper()
	if got := w.outcomes(); got != outcomes {
		t.Fatalf("outcomes %q, want %q; told:\n%s", got, outcomes, w.story())
	}
}

func TestEngine_Fixed(t *testing.T) {
	t.Parallel()
	inWorld(t, book(), func(t *testing.T, w *world) {
		w.answers("api", runner.HealthCritical, time.Minute)
		w.want(t, "") // it has not held for a minute yet
		w.answer("api", runner.HealthCritical)
		w.want(t, "")
		if len(w.runs) != 1 || !strings.Contains(w.runs[0].By, "check api: api is critical: it says critical") {
			t.Fatalf("runs %+v", w.runs)
		}
		w.end(runner.Succeeded)
		time.Sleep(30 * time.Second)
		w.answer("api", runner.Healthy)
		w.want(t, "fixed")
		if got := w.story(); !strings.Contains(got, "fixed by run run-1: api is well 30s after the run") {
			t.Errorf("told: %s", got)
		}
	})
}

// A good answer in between begins the wait anew.
func TestEngine_HoldsWithoutBreak(t *testing.T) {
	t.Parallel()
	inWorld(t, book(), func(t *testing.T, w *world) {
		for range 5 {
			w.answers("api", runner.HealthCritical, time.Minute)
			w.answer("api", runner.Healthy)
			time.Sleep(30 * time.Second)
		}
		if len(w.runs) != 0 {
			t.Errorf("%d runs", len(w.runs))
		}
	})
}

// The answers from before the end of a run and its grace start nothing.
func TestEngine_Grace(t *testing.T) {
	t.Parallel()
	b := book()
	b.Limits.Cooldown, b.Limits.Max, b.Limits.Grace = time.Second, 100, 10*time.Minute
	b.Trigger.For = 0
	inWorld(t, b, func(t *testing.T, w *world) {
		w.answer("api", runner.HealthCritical)
		w.end(runner.Succeeded)
		time.Sleep(time.Second)
		w.answers("api", runner.HealthCritical, 10*time.Minute-time.Second)
		if len(w.runs) != 1 {
			t.Fatalf("%d runs within the grace", len(w.runs))
		}
		w.answers("api", runner.HealthCritical, time.Minute)
		if len(w.runs) != 2 {
			t.Errorf("%d runs after the grace, outcomes %s", len(w.runs), w.outcomes())
		}
	})
}

// Twice in vain: the runbook is paused, and goes on when somebody says so.
func TestEngine_TwiceInVain(t *testing.T) {
	t.Parallel()
	inWorld(t, book(), func(t *testing.T, w *world) {
		for range 2 {
			w.answers("api", runner.HealthCritical, 2*time.Minute)
			w.end(runner.Succeeded)
			w.answers("api", runner.HealthCritical, 33*time.Minute)
		}
		w.want(t, "not_fixed not_fixed")
		if !w.remedies["run-2"].Disabled || len(w.pauses) != 1 || w.raised["runbook/mend"] == "" {
			t.Fatalf("remedy %+v, pauses %v, raised %v", w.remedies["run-2"], w.pauses, w.raised)
		}
		w.answers("api", runner.HealthCritical, 25*time.Hour) // the budget is free again
		if len(w.runs) != 2 || !strings.Contains(w.story(), "not started, though api is critical: it says critical: upkeep paused it: 2 runs in a row did not help") {
			t.Fatalf("%d runs, told:\n%s", len(w.runs), w.story())
		}
		w.kill(t)
		w.mu.Lock()
		w.pauses = nil
		w.mu.Unlock()
		w.answers("api", runner.HealthCritical, 3*time.Minute)
		if len(w.raised) != 0 || len(w.runs) != 3 {
			t.Fatalf("raised %v, %d runs", w.raised, len(w.runs))
		}
		// It counts anew: once in vain is not twice.
		w.end(runner.Failed)
		w.answers("api", runner.HealthCritical, 5*time.Minute)
		w.want(t, "not_fixed not_fixed not_fixed")
		if w.remedies["run-3"].Disabled {
			t.Error("disabled after one run since it was enabled")
		}
	})
}

// A fix in between begins the count anew.
func TestEngine_NotInARow(t *testing.T) {
	t.Parallel()
	b := book()
	b.Limits.Max = 10
	inWorld(t, b, func(t *testing.T, w *world) {
		for _, health := range []runner.Health{runner.HealthCritical, runner.Healthy, runner.HealthCritical} {
			w.answers("api", runner.HealthCritical, 2*time.Minute)
			w.end(runner.Succeeded)
			w.answers("api", health, 20*time.Minute)
			w.answers("api", runner.Healthy, 20*time.Minute)
		}
		w.want(t, "not_fixed fixed not_fixed")
		if len(w.pauses) != 0 {
			t.Errorf("paused: %v", w.pauses)
		}
		if r := w.remedies["run-2"]; r.RelapsedAt.IsZero() {
			t.Errorf("the relapse is not on record: %+v", r)
		}
	})
}

func TestEngine_Worse(t *testing.T) {
	t.Parallel()
	b := book()
	b.Trigger.Is = runner.HealthWarning
	inWorld(t, b, func(t *testing.T, w *world) {
		w.answers("api", runner.HealthWarning, 2*time.Minute)
		w.end(runner.Succeeded)
		w.answers("api", runner.HealthCritical, 3*time.Minute)
		w.want(t, "worse")
	})
	inWorld(t, book(), func(t *testing.T, w *world) {
		w.answers("api", runner.HealthCritical, 2*time.Minute)
		w.end(runner.Succeeded)
		w.answer("database", runner.HealthCritical)
		w.answers("api", runner.HealthCritical, 3*time.Minute)
		w.want(t, "worse")
		if why := w.remedies["run-1"].Why; !strings.Contains(why, "since the run database fail") {
			t.Errorf("why: %s", why)
		}
	})
}

// A process that dies leaves its run to the next, which starts no other and
// counts it, also when it died before it recorded why.
func TestEngine_Killed(t *testing.T) {
	t.Parallel()
	for name, recorded := range map[string]bool{"before the record": false, "after the record": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, book(), func(t *testing.T, w *world) {
				if !recorded {
					w.fail = 1000
				}
				w.answers("api", runner.HealthCritical, 90*time.Second)
				if len(w.runs) != 1 || (len(w.remedies) == 1) != recorded {
					t.Fatalf("%d runs, %d on record", len(w.runs), len(w.remedies))
				}
				w.mu.Lock()
				w.fail = 0
				w.mu.Unlock()
				w.kill(t)
				w.answers("api", runner.HealthCritical, 10*time.Minute)
				if len(w.runs) != 1 {
					t.Fatalf("%d runs", len(w.runs))
				}
				w.end(runner.Succeeded)
				w.kill(t)
				w.answers("api", runner.HealthCritical, 10*time.Minute)
				w.want(t, "not_fixed")
				// The second, and with it all that the budget allows.
				w.answers("api", runner.HealthCritical, 30*time.Minute)
				w.end(runner.Succeeded)
				w.answers("api", runner.Healthy, time.Minute)
				w.want(t, "not_fixed fixed")
				w.kill(t)
				w.answers("api", runner.HealthCritical, 20*time.Hour)
				if len(w.runs) != 2 || !strings.Contains(w.story(), "it ran 2 times within 1d") {
					t.Fatalf("%d runs, told:\n%s", len(w.runs), w.story())
				}
				w.answers("api", runner.HealthCritical, 4*time.Hour)
				if len(w.runs) != 3 {
					t.Errorf("%d runs after the budget was free", len(w.runs))
				}
			})
		})
	}
}

func TestEngine_Approve(t *testing.T) {
	t.Parallel()
	b := book()
	b.Mode = runbook.Approve
	inWorld(t, b, func(t *testing.T, w *world) {
		w.answers("api", runner.HealthCritical, 5*time.Minute)
		if len(w.runs) != 1 || len(w.asked) != 1 {
			t.Fatalf("%d runs, asked %v", len(w.runs), w.asked)
		}
		// Nobody is needed any more.
		w.answers("api", runner.Healthy, time.Minute)
		w.want(t, "dropped")
		if run := w.runs[0]; run.State != runner.Canceled || !strings.Contains(run.CanceledBy, "api is well again") {
			t.Errorf("run %+v", run)
		}
		// What was not done counts neither against the budget nor as a cool-down.
		w.answers("api", runner.HealthCritical, 2*time.Minute)
		if len(w.runs) != 2 {
			t.Fatalf("%d runs", len(w.runs))
		}
		w.end(runner.Succeeded)
		w.answers("api", runner.Healthy, time.Minute)
		w.want(t, "dropped fixed")
	})
}

func TestEngine_Observe(t *testing.T) {
	t.Parallel()
	b := book()
	b.Mode = runbook.Observe
	inWorld(t, b, func(t *testing.T, w *world) {
		w.answers("api", runner.HealthCritical, 2*time.Minute)
		if len(w.runs) != 1 || !w.runs[0].DryRun {
			t.Fatalf("runs %+v", w.runs)
		}
		w.end(runner.Succeeded)
		w.answers("api", runner.HealthCritical, 20*time.Minute)
		w.want(t, "observed")
		if !strings.Contains(w.story(), "would run now, because api is critical") || len(w.pauses) != 0 {
			t.Errorf("pauses %v, told:\n%s", w.pauses, w.story())
		}
		// Dry runs do not count once it may act.
		w.mu.Lock()
		w.book.Mode = runbook.Auto
		w.mu.Unlock()
		w.answers("api", runner.HealthCritical, 2*time.Minute)
		if len(w.runs) != 2 || w.runs[1].DryRun {
			t.Errorf("runs %+v", w.runs)
		}
	})
}

// Everything that speaks against it is on record once, and ends.
func TestEngine_Refused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change, undo func(*world)
		want         string
	}{
		"drained": {
			func(w *world) { w.held = errors.New("upkeep is drained") }, func(w *world) { w.held = nil }, "upkeep is drained",
		},
		"paused": {
			func(w *world) { w.pauses = []runner.Pause{{Workflow: "mend", By: "anna", Why: "moving"}} }, func(w *world) { w.pauses = nil }, "anna paused it: moving",
		},
		"acked": {
			func(w *world) { w.opened = []runner.Incident{{AckedAt: time.Now(), AckedBy: "anna"}} }, func(w *world) { w.opened = nil }, "anna works on it",
		},
		"silenced": {
			func(w *world) { w.opened = []runner.Incident{{Suppressed: "window weekly"}} }, func(w *world) { w.opened = nil }, "nobody is to be told of the incident: window weekly",
		},
		"locked": {
			func(w *world) {
				w.locks = []string{"database/main"}
				w.holders = []runner.LockHolder{{Lock: "database/main", Workflow: "daily", Job: "backup"}}
			},
			func(w *world) { w.holders = nil }, "daily.backup holds database/main",
		},
		"storm": {
			func(w *world) {
				for _, name := range []string{"database", "redis"} {
					w.reports[name] = runner.CheckReport{Name: name, Health: runner.HealthCritical}
				}
			},
			func(w *world) { delete(w.reports, "redis") }, "3 checks are critical at once: api, database, redis",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, book(), func(t *testing.T, w *world) {
				w.mu.Lock()
				test.change(w)
				w.mu.Unlock()
				w.answers("api", runner.HealthCritical, 10*time.Minute)
				if got := w.story(); len(w.runs) != 0 || len(w.told) != 1 || !strings.Contains(got, test.want) {
					t.Fatalf("%d runs, told:\n%s", len(w.runs), got)
				}
				w.mu.Lock()
				test.undo(w)
				w.mu.Unlock()
				w.answer("api", runner.HealthCritical)
				if len(w.runs) != 1 {
					t.Errorf("%d runs when nothing stands in the way", len(w.runs))
				}
			})
		})
	}
}

// Evidence is wanted most when much fails, and is not judged.
func TestEngine_Evidence(t *testing.T) {
	t.Parallel()
	b := book()
	b.Trigger.Evidence = true
	inWorld(t, b, func(t *testing.T, w *world) {
		w.mu.Lock()
		w.opened = []runner.Incident{{AckedAt: time.Now(), AckedBy: "anna", Suppressed: "silence 1"}}
		for _, name := range []string{"database", "redis"} {
			w.reports[name] = runner.CheckReport{Name: name, Health: runner.HealthCritical}
		}
		w.mu.Unlock()
		for range 2 {
			w.answers("api", runner.HealthCritical, 2*time.Minute)
			w.end(runner.Failed)
			w.answers("api", runner.HealthCritical, 33*time.Minute)
		}
		w.want(t, "observed observed")
		if len(w.pauses) != 0 {
			t.Errorf("pauses %v", w.pauses)
		}
	})
}

// Outside its window it does not start, and within it does.
func TestEngine_Window(t *testing.T) {
	t.Parallel()
	b := book()
	var err error
	if b.Window, err = schedule.ParseWindow(schedule.WindowRule{Allow: []string{"01:00-02:00"}}); err != nil {
		t.Fatal(err)
	}
	inWorld(t, b, func(t *testing.T, w *world) { // it begins at midnight UTC
		w.answers("api", runner.HealthCritical, 59*time.Minute)
		if len(w.runs) != 0 || !strings.Contains(w.story(), "its window 01:00-02:00 is closed, until 2000-01-01 01:00:00 UTC") {
			t.Fatalf("%d runs, told:\n%s", len(w.runs), w.story())
		}
		w.answers("api", runner.HealthCritical, 2*time.Minute)
		if len(w.runs) != 1 {
			t.Errorf("%d runs in the window", len(w.runs))
		}
	})
}

// A folded check is not the place to act.
func TestEngine_Cause(t *testing.T) {
	t.Parallel()
	inWorld(t, book(), func(t *testing.T, w *world) {
		w.answers("api", runner.HealthCritical, 5*time.Minute, func(r *runner.CheckReport) { r.Cause = "database" })
		if len(w.runs) != 0 || !strings.Contains(w.story(), "blamed on database") {
			t.Errorf("%d runs, told:\n%s", len(w.runs), w.story())
		}
	})
}

func TestEngine_NoAnswer(t *testing.T) {
	t.Parallel()
	inWorld(t, book(), func(t *testing.T, w *world) {
		w.answers("api", runner.HealthCritical, 2*time.Minute)
		w.end(runner.Succeeded)
		time.Sleep(2*time.Minute + 10*time.Second)
		w.want(t, "")
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		w.want(t, "not_fixed")
	})
}

func TestScore(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	s := runbook.ScoreOf([]runner.Remedy{
		{Outcome: runner.OutcomeFixed, BegunAt: at(0), DecidedAt: at(10), RelapsedAt: at(50)},
		{Outcome: runner.OutcomeFixed, BegunAt: at(0), DecidedAt: at(30)},
		{Outcome: runner.OutcomeNotFixed},
		{Outcome: runner.OutcomeWorse},
		{Outcome: runner.OutcomeDropped},
		{Outcome: runner.OutcomeObserved},
		{},
	})
	rate, ok := s.Rate()
	if s.Runs != 7 || rate != 0.5 || !ok || s.TimeToFix != 20*time.Second || s.Relapsed != 1 || s.Open != 1 {
		t.Errorf("%+v, rate %v %v", s, rate, ok)
	}
	if _, ok := runbook.ScoreOf(nil).Rate(); ok {
		t.Error("there is a rate without runs")
	}
}
