package ledgertest

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// testDisturbed: of what a job makes fail nobody hears while it runs, nor
// shortly after; of what lasts longer people do.
func testDisturbed(t *testing.T, dsn secret.String) {
	rings := 0
	l := Open(t, dsn, func(o *ledger.Options) {
		o.LeaseTTL, o.Owed, o.Flapping = longLease, func() { rings++ }, ledger.Flapping{Changes: -1}
	})
	s := &site{Ledger: l, t: t, ctx: t.Context()}
	s.must(s.Register(s.ctx))
	c := s.running()
	workflow := s.run(c.Run).Spec.Workflow
	s.SetAlarm(windows{verdicts: peace, jobs: []runner.Place{{Workflow: workflow, Job: "restart"}}})
	now := time.Now().UTC().Truncate(time.Microsecond)
	other, restart := Attempt("other", 1), Attempt("restart", 1)
	other.StartedAt, restart.StartedAt = now, now
	s.begin(c, other)
	s.raise(checkFault("web-1", jobs.Critical, now, "ops"))
	s.expect("before the job", "ops", "open")
	s.raise(checkFault("web-2", jobs.Critical, now, "ops"))
	rings = 0
	s.begin(c, restart)
	if rings == 0 {
		t.Error("the ledger says nothing when a job begins that suppresses what is open")
	}
	if next := s.settle(now.Add(time.Second)); !next.Equal(now.Add(30 * time.Minute)) {
		t.Errorf("next is %s, want 30m after the beginning of the job", next)
	}
	s.expect("owed before the job", "ops", "")
	s.raise(checkFault("web-3", jobs.Critical, now.Add(time.Second), "ops"))
	s.raise(checkFault("db", jobs.Critical, now.Add(time.Second), "ops"))
	s.expect("only what it does not disturb", "ops", "open")
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		if i := s.newest("check/" + name); i.Suppressed != "job "+workflow+".restart in run "+string(c.Run) {
			t.Errorf("%s is suppressed by %q", name, i.Suppressed)
		}
	}
	s.clear("check/web-3", now.Add(time.Minute))
	rings = 0
	restart = Ended(restart, runner.Succeeded)
	restart.FinishedAt = now.Add(2 * time.Minute)
	s.advance(c, runner.Step{Ended: []runner.End{{Attempt: restart}}})
	if rings == 0 {
		t.Error("the ledger says nothing when the job has ended")
	}
	s.finish(c, runner.Succeeded)
	if next := s.settle(now.Add(2 * time.Minute)); !next.Equal(now.Add(4 * time.Minute)) {
		t.Errorf("next is %s, want 2m after the end of the job", next)
	}
	s.expect("soon after", "ops", "")
	s.clear("check/web-1", now.Add(3*time.Minute))
	s.expect("told before, and over", "ops", "resolve")
	s.settle(now.Add(4 * time.Minute))
	s.expect("it lasts", "ops", "open")
	if story := s.story("check/web-2"); story != "opened suppressed released" {
		t.Errorf("the timeline is %q", story)
	}

	// A job that takes too long is a fault as well.
	late := s.running()
	s.SetAlarm(windows{verdicts: peace, jobs: []runner.Place{{Workflow: s.run(late.Run).Spec.Workflow, Job: "restart"}}})
	restart = Attempt("restart", 1)
	restart.StartedAt = now
	s.begin(late, restart)
	s.raise(checkFault("web-4", jobs.Critical, now.Add(time.Minute), "ops"))
	s.expect("it runs", "ops", "")
	s.settle(now.Add(30 * time.Minute))
	s.expect("it runs for too long", "ops", "open")
}
