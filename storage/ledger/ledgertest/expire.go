package ledgertest

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// testExpireWaits: the share of a node that is alive begins when that node has
// room, and who stands in line behind a run that is under way goes on waiting.
func testExpireWaits(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	past, at := time.Now().Add(-time.Minute), Midnight()
	alive, away, running, lined := Request("w", at), Request("w", at), Request("line", at), Request("line", at.Add(time.Hour))
	alive.Host, away.Host = "a", "b"
	for _, r := range []*runner.Request{&alive, &away, &running, &lined} {
		r.StartBy, r.Overlap = past, runner.OverlapQueue
	}
	ids := s.submit(alive, away, running, lined)
	under := s.claim(ids[2])
	expired, err := s.Expire(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "what expired", []runner.RunID{ids[1]}, expired)
	s.finish(under, runner.Succeeded)
	if expired, err = s.Expire(s.ctx); err != nil {
		t.Fatal(err)
	}
	same(t, "what expired when nothing was in the way any more", []runner.RunID{ids[3]}, expired)
}

// testExpireAlerts: a slot that no node took up is a fault as any missed one.
func testExpireAlerts(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	s.SetAlarm(verdicts(func(run runner.Run) runner.Verdict {
		if run.State != runner.Skipped || run.Reason != runner.ReasonMissed || !run.Alert {
			return runner.Verdict{}
		}
		return runner.Verdict{Raise: &runner.Fault{
			Fingerprint: "workflow/" + run.Spec.Workflow, Workflow: run.Spec.Workflow, Reason: "missed", Severity: jobs.Critical,
			Title: "missed", Run: run.ID, At: run.FinishedAt,
		}}
	}))
	watched, asked := Request("w", Midnight()), Request("v", Midnight())
	for _, r := range []*runner.Request{&watched, &asked} {
		r.Target, r.StartBy = runner.OnLabel("gpu"), time.Now().Add(-time.Minute)
	}
	watched.Alert = true
	ids := s.submit(watched, asked)
	if expired, err := s.Expire(s.ctx); err != nil || len(expired) != 2 {
		t.Fatalf("%v expired, %v", expired, err)
	}
	open, err := s.Incidents(s.ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}})
	if err != nil {
		t.Fatal(err)
	}
	if len(open) != 1 || open[0].Fingerprint != "workflow/w" || open[0].Run != ids[0] {
		t.Errorf("open incidents: %+v, want one of run %s", open, ids[0])
	}
}
