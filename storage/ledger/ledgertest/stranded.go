package ledgertest

import (
	"errors"
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
	g, h := s.dying(dsn, "g", "gpu"), s.dying(dsn, "h", "old")
	at := Midnight()
	request := func(label string) runner.Request {
		at = at.Add(time.Hour)
		r := Request("w", at)
		if label != "" {
			r.Target = runner.OnLabel(label)
		}
		return r
	}
	patient := request("gpu")
	patient.StartBy = time.Now().Add(time.Hour)
	ids := s.submit(request("gpu"), request("gpu"), request("gpu"), request("old"), request(""), request(""), patient)
	died, given, asked, forgotten, others := ids[0], ids[1], ids[2], ids[3], ids[4:]
	old := g.claim(died)
	g.begin(old, Attempt("x", 1), "held")
	s.must(g.Release(g.ctx, g.claim(given)))
	g.claim(asked)
	_, err := s.Cancel(s.ctx, asked, "anna")
	s.must(err)
	h.claim(forgotten)
	g.claim(others[0])
	s.claim(others[1])
	s.must(g.Release(g.ctx, g.claim(others[2])))

	strand := func(wait time.Duration) []runner.RunID {
		t.Helper()
		got, err := s.Strand(s.ctx, wait)
		s.must(err)
		return got
	}
	if got := strand(time.Hour); len(got) > 0 {
		t.Fatalf("what is at work, or may be in a moment: %v", got)
	}
	var ended []runner.RunID
	eventually(t, "the canceled run is ended", func() bool {
		ended = append(ended, strand(time.Hour)...)
		return len(ended) > 0
	})
	same(t, "what was ended because it was canceled", []runner.RunID{asked}, ended)
	eventually(t, "the other node is dead too", func() bool { return s.Forget(s.ctx, "h") == nil })
	same(t, "what was ended because nobody is to come back", []runner.RunID{forgotten}, strand(time.Hour))
	same(t, "what was ended because nobody came back", []runner.RunID{died, given}, strand(time.Millisecond))
	s.strandedAs(died, runner.Failed, runner.ReasonCrash, "the node g died")
	s.strandedAs(given, runner.Failed, runner.ReasonShutdown, "gave this run back")
	s.strandedAs(asked, runner.Canceled, runner.ReasonUser, "nodes labeled gpu")
	for i, want := range []runner.State{runner.Running, runner.Running, runner.Queued} {
		if got := s.run(others[i]).State; got != want {
			t.Errorf("run %d of the others is %s, want %s", i, got, want)
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
	// Who retries it gives the nodes time again.
	s.must(s.Reopen(s.ctx, died, nil, "anna"))
	if got := strand(0); len(got) > 0 {
		t.Errorf("what a person wants now was ended: %v", got)
	}
	if expired, err := s.Expire(s.ctx); err != nil || len(expired) > 0 {
		t.Errorf("what a person wants now has expired: %v, %v", expired, err)
	}
}

// dying joins a member that does not renew its lease.
func (s *site) dying(dsn secret.String, node, label string) *site {
	s.t.Helper()
	d := &site{t: s.t, ctx: s.ctx, Ledger: Open(s.t, dsn, func(o *ledger.Options) {
		o.Node, o.Labels, o.LeaseTTL, o.Member = node, []string{label}, shortLease, true
	})}
	s.must(d.Register(d.ctx))
	return d
}

func (s *site) strandedAs(id runner.RunID, state runner.State, reason runner.Reason, text string) {
	s.t.Helper()
	if run := s.run(id); run.State != state || run.Reason != reason || run.FinishedAt.IsZero() || !strings.Contains(run.Message, text) {
		s.t.Errorf("run %s ended %s (%s): %q", id, run.State, run.Reason, run.Message)
	}
}
