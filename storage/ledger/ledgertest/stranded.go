package ledgertest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// testStrand: what began and what only a dead node could go on with ends, is
// told, and is nobody's any more; what another may go on with, or still has
// time, is left alone.
func testStrand(t *testing.T, dsn secret.String) {
	s := member(t, dsn, "a", "1.0")
	s.SetAlarm(verdicts(func(run runner.Run) runner.Verdict {
		return runner.Verdict{Raise: &runner.Fault{
			Fingerprint: "workflow/" + run.Spec.Workflow, Workflow: run.Spec.Workflow, Reason: string(run.Reason), Severity: jobs.Critical,
			Title: "ended", Run: run.ID, At: run.FinishedAt,
		}}
	}))
	g := &site{t: t, ctx: s.ctx, Ledger: Open(t, dsn, func(o *ledger.Options) {
		o.Node, o.Labels, o.LeaseTTL, o.Member = "g", []string{"gpu"}, shortLease, true
	})}
	s.must(g.Register(g.ctx))
	at := Midnight()
	request := func(target runner.Target, startWithin time.Duration) runner.Request {
		at = at.Add(time.Hour)
		r := Request("w", at)
		if r.Target = target; startWithin > 0 {
			r.StartBy = at.Add(startWithin)
		}
		return r
	}
	gpu := runner.OnLabel("gpu")
	ids := s.submit(request(gpu, 0), request(gpu, time.Hour), request("", 0), request(gpu, 0), request(gpu, time.Hour), request("", 0))
	died, patient, anyone, given, asked, alive := ids[0], ids[1], ids[2], ids[3], ids[4], ids[5]
	old := g.claim(died)
	g.begin(old, Attempt("x", 1), "held")
	g.claim(patient)
	g.claim(anyone)
	s.must(g.Release(g.ctx, g.claim(given)))
	g.claim(asked)
	_, err := s.Cancel(s.ctx, asked, "anna")
	s.must(err)
	s.claim(alive)

	if got, err := s.Strand(s.ctx, time.Hour); err != nil || len(got) > 0 {
		t.Fatalf("what has time yet, or is at work: %v, %v", got, err)
	}
	var ended []runner.RunID
	eventually(t, "three runs are ended", func() bool {
		got, err := s.Strand(s.ctx, 0)
		s.must(err)
		ended = append(ended, got...)
		return len(ended) >= 3
	})
	slices.Sort(ended)
	same(t, "what was ended", []runner.RunID{died, given, asked}, ended)
	s.strandedAs(died, runner.Failed, runner.ReasonCrash, "the node g died")
	s.strandedAs(given, runner.Failed, runner.ReasonShutdown, "gave this run back")
	s.strandedAs(asked, runner.Canceled, runner.ReasonUser, "nodes labeled gpu")
	for id, want := range map[runner.RunID]runner.State{patient: runner.Running, anyone: runner.Running, alive: runner.Running} {
		if got := s.run(id).State; got != want {
			t.Errorf("run %s is %s, want %s", id, got, want)
		}
	}
	attempts, err := s.Attempts(s.ctx, died)
	if s.must(err); len(attempts) != 1 || attempts[0].State != runner.Lost || attempts[0].Reason != runner.ReasonCrash {
		t.Errorf("its attempts: %+v", attempts)
	}
	if held := s.held(); len(held) > 0 {
		t.Errorf("it still holds %v", held)
	}
	if open := s.incidents(runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}}); len(open) != 1 {
		t.Errorf("open incidents: %+v", open)
	}
	if _, err := g.Advance(g.ctx, old, runner.Step{Finish: &runner.Finish{State: runner.Succeeded}}); !errors.Is(err, runner.ErrStale) {
		t.Errorf("its owner wakes and writes: %v, want ErrStale", err)
	}
	// Nobody waits for a node that is not to come back.
	s.must(s.Forget(s.ctx, "g"))
	got, err := s.Strand(s.ctx, time.Hour)
	s.must(err)
	same(t, "what was ended when the node was forgotten", []runner.RunID{patient}, got)
}

func (s *site) strandedAs(id runner.RunID, state runner.State, reason runner.Reason, text string) {
	s.t.Helper()
	if run := s.run(id); run.State != state || run.Reason != reason || run.FinishedAt.IsZero() || !strings.Contains(run.Message, text) {
		s.t.Errorf("run %s ended %s (%s): %q", id, run.State, run.Reason, run.Message)
	}
}
