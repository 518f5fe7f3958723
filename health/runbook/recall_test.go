package runbook_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/runner"
)

// TestEngine_ForOverARestart: how long a trigger has held counts from before a
// restart of upkeep, unless it was away for too long or an answer in between
// said otherwise.
func TestEngine_ForOverARestart(t *testing.T) {
	t.Parallel()
	above := 95.0
	byHealth, byValue := book(), book()
	byHealth.Trigger.For = 5 * time.Minute
	byValue.Trigger = runbook.Trigger{Check: "api", Value: "memory_percent", Above: &above, Is: runner.HealthCritical, For: 5 * time.Minute}
	began := time.Time{}
	full := func(r *runner.CheckReport) {
		r.Values = map[string]float64{"memory_percent": 97}
		r.Since, r.ErrorKind = began, "connect"
	}
	half := func(r *runner.CheckReport) { r.Values = map[string]float64{"memory_percent": 50} }
	byKind := byHealth
	byKind.Trigger.ErrorKinds = []string{"connect", "timeout"}
	for name, b := range map[string]runbook.Runbook{"health": byHealth, "value": byValue, "error kind": byKind} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, b, func(t *testing.T, w *world) {
				began = time.Now()
				w.answers("api", runner.HealthCritical, 4*time.Minute, full)
				w.kill(t)
				time.Sleep(30 * time.Second)
				w.answer("api", runner.HealthCritical, full)
				w.want(t, "")
				time.Sleep(30 * time.Second)
				w.answer("api", runner.HealthCritical, full)
				if len(w.runs) != 1 {
					t.Fatalf("5m after the first answer %d runs were started", len(w.runs))
				}
			})
			inWorld(t, b, func(t *testing.T, w *world) {
				began = time.Now()
				w.answers("api", runner.HealthCritical, 4*time.Minute, full)
				w.kill(t)
				time.Sleep(3 * time.Minute)
				w.answers("api", runner.HealthCritical, 4*time.Minute, full)
				if len(w.runs) != 0 {
					t.Error("nobody looked for three minutes, and a run was started")
				}
			})
			inWorld(t, b, func(t *testing.T, w *world) {
				began = time.Now()
				w.answers("api", runner.HealthCritical, 3*time.Minute, full)
				w.answer("api", runner.Healthy, half)
				time.Sleep(30 * time.Second)
				w.answers("api", runner.HealthCritical, time.Minute, full)
				w.kill(t)
				w.answers("api", runner.HealthCritical, 3*time.Minute, full)
				if len(w.runs) != 0 {
					t.Error("it was well in between, and a run was started")
				}
			})
			inWorld(t, b, func(t *testing.T, w *world) {
				began = time.Now()
				w.answers("api", runner.HealthCritical, 6*time.Minute, full)
				w.end(runner.Failed)
				ended := len(w.runs)
				w.answers("api", runner.HealthCritical, time.Minute, full)
				w.kill(t)
				w.answers("api", runner.HealthCritical, time.Minute, full)
				if len(w.runs) != ended {
					t.Error("answers from before the end of a run and its grace started another")
				}
			})
		})
	}
}

// Of a check that another node asks this one judges nothing; when it asks itself,
// it goes on from what stands on record.
func TestEngine_Elsewhere(t *testing.T) {
	t.Parallel()
	inWorld(t, book(), func(t *testing.T, w *world) {
		w.answers("api", runner.HealthCritical, 2*time.Minute)
		w.move(true)
		w.end(runner.Succeeded)
		time.Sleep(20 * time.Minute)
		w.want(t, "")
		w.move(false)
		w.answer("api", runner.Healthy)
		w.want(t, "fixed")
	})
}

// move has another node ask the check, or this one again.
func (w *world) move(elsewhere bool) {
	w.mu.Lock()
	w.elsewhere = elsewhere
	w.mu.Unlock()
	time.Sleep(10 * time.Second)
	synctest.Wait()
}
