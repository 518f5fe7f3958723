package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/object"
)

func testLife(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	id := s.queued()
	c, claimed, err := s.Claim(s.ctx, id)
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	same(t, "the claim", runner.Claim{Run: id, Owner: s.Instance(), Epoch: 1}, c)
	same(t, "the claimed run", s.run(id), claimed)
	if claimed.State != runner.Running || claimed.Owner != s.Instance() || claimed.Node != "a" || claimed.StartedAt.IsZero() {
		t.Errorf("claimed as %+v", claimed)
	}

	first, second := Attempt("backup", 1), Attempt("prune", 1)
	s.begin(c, first)
	ended := Ended(first, runner.Warned)
	ended.Reason, ended.ExitCode, ended.Error, ended.Hint = runner.ReasonFindings, 3, "two lines\nof text", "look there"
	ended.Result = jobs.Result{
		Summary: "done", Values: map[string]float64{"size_bytes": 1.5}, Outputs: map[string]string{"id": "x"},
		Findings:  []jobs.Finding{{ID: "disk", Severity: jobs.Warning, Text: "full"}},
		Artifacts: []object.Info{{Store: "local", Key: "a/b", Bytes: 7, SHA256: "00", Modified: Midnight()}},
		Events:    []jobs.Event{{Kind: "restart", Subject: "api", Text: "reloaded"}},
	}
	skipped := runner.Attempt{Job: "model", Kind: "script", Number: 1, State: runner.Skipped, Reason: runner.ReasonCondition, ExitCode: -1, FinishedAt: first.StartedAt.Add(time.Hour)}
	s.advance(c, runner.Step{
		Ended: []runner.End{{Attempt: ended, Output: runner.Output{Head: []byte("hello"), Cut: 5}}, {Attempt: skipped}},
		Begun: []runner.Start{{Attempt: second}},
	})
	s.advance(c, runner.Step{
		Ended:  []runner.End{{Attempt: Ended(second, runner.Succeeded)}},
		Finish: &runner.Finish{State: runner.Warned, Reason: runner.ReasonFindings, Message: "backup warned"},
	})

	want := []runner.Attempt{ended, Ended(second, runner.Succeeded), skipped}
	for i := range want {
		want[i].Run, want[i].Epoch = id, 1
	}
	want[0].OutputBytes, want[0].OutputCut = 10, 5
	same(t, "the attempts", want, s.attempts(id))
	run := s.run(id)
	if run.State != runner.Warned || run.Reason != runner.ReasonFindings || run.Message != "backup warned" || run.FinishedAt.Before(run.StartedAt) {
		t.Errorf("the run ended as %+v", run)
	}
}

func testClaim(t *testing.T, dsn secret.String) {
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	c := a.running()
	for name, s := range map[string]*site{"the owner": a, "another instance": b} {
		if _, _, err := s.Claim(s.ctx, c.Run); !errors.Is(err, runner.ErrNotClaimable) {
			t.Errorf("claim of a running run by %s: %v, want ErrNotClaimable", name, err)
		}
	}
	if _, _, err := b.Claim(b.ctx, "00000000-0000-7000-8000-000000000000"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("claim of an unknown run: %v, want ErrNotFound", err)
	}
	a.finish(c, runner.Succeeded)
	if _, _, err := b.Claim(b.ctx, c.Run); !errors.Is(err, runner.ErrNotClaimable) {
		t.Errorf("claim of a final run: %v, want ErrNotClaimable", err)
	}

	c = a.running()
	a.begin(c, Attempt("x", 1), "database")
	if err := a.Leave(a.ctx); err != nil {
		t.Fatalf("Leave: %v", err)
	}
	if _, _, err := a.Claim(a.ctx, a.queued()); err == nil {
		t.Error("an instance that left could claim a run")
	}
	taken := b.claim(c.Run)
	if taken.Epoch != 2 || taken.Owner != b.Instance() {
		t.Errorf("taken over as %+v", taken)
	}
	attempts := b.attempts(c.Run)
	if len(attempts) != 1 || attempts[0].State != runner.Lost || attempts[0].Reason != runner.ReasonCrash || attempts[0].FinishedAt.IsZero() {
		t.Errorf("the dead owner's attempt is %+v, want Lost with reason crash", attempts)
	}
	if locks, err := b.Locks(b.ctx); err != nil || len(locks) > 0 {
		t.Errorf("locks of the dead owner: %v, %v", locks, err)
	}
	if first, again := b.run(c.Run).StartedAt, a.run(c.Run).QueuedAt; first.Before(again) {
		t.Errorf("started %s before queued %s", first, again)
	}
}

// testClaimAfterLostAnswer: a claim whose commit succeeded, but whose answer
// never arrived, leaves a run under a live owner that does not work on it.
func testClaimAfterLostAnswer(t *testing.T, dsn secret.String) {
	open := func() *site {
		l := Open(t, dsn, func(o *ledger.Options) { o.Instance, o.LeaseTTL = "one", longLease })
		s := &site{Ledger: l, t: t, ctx: t.Context()}
		if err := s.Register(s.ctx); err != nil {
			t.Fatalf("Register: %v", err)
		}
		return s
	}
	deaf := open()
	c := deaf.running()
	again := open()
	same(t, "what nobody works on is found", []runner.RunID{c.Run}, again.pending())
	taken := again.claim(c.Run)
	if taken.Epoch != 2 {
		t.Errorf("claimed under epoch %d, want 2", taken.Epoch)
	}
	if got := again.pending(); len(got) > 0 {
		t.Errorf("what is worked on is found: %v", got)
	}
	again.Drop(taken)
	same(t, "what was dropped is found", []runner.RunID{c.Run}, again.pending())
	if _, err := deaf.Advance(deaf.ctx, c, runner.Step{}); !errors.Is(err, runner.ErrStale) {
		t.Errorf("the lost claim: %v, want ErrStale", err)
	}
}

func testRepeat(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	c := s.running()
	a := Attempt("x", 1)
	begin := runner.Step{Begun: []runner.Start{{Attempt: a, Locks: []string{"l"}}}}
	end := runner.End{Attempt: Ended(a, runner.Succeeded), Output: runner.Output{Head: []byte("text")}}
	end.Attempt.Result.Artifacts = []object.Info{{Store: "s", Key: "k"}}
	last := runner.Step{Ended: []runner.End{end}, Finish: &runner.Finish{State: runner.Succeeded}}
	for _, step := range []runner.Step{begin, begin, {Ended: []runner.End{end}}, {Ended: []runner.End{end}}, last, last} {
		if blocked := s.advance(c, step); len(blocked) > 0 {
			t.Errorf("a repeated step is blocked: %+v", blocked)
		}
	}
	if got := s.attempts(c.Run); len(got) != 1 || got[0].State != runner.Succeeded {
		t.Errorf("after repeated steps: %+v", got)
	}
	other := runner.Step{Finish: &runner.Finish{State: runner.Failed}}
	if _, err := s.Advance(s.ctx, c, other); !errors.Is(err, runner.ErrStale) {
		t.Errorf("another end after the end: %v, want ErrStale", err)
	}
}

func testAttemptNumbers(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	c := s.running()
	s.begin(c, Attempt("x", 1))
	s.end(c, Attempt("x", 1), runner.Failed)
	steps := map[string]runner.Step{
		"begin again":       {Begun: []runner.Start{{Attempt: Attempt("x", 1)}}},
		"end otherwise":     {Ended: []runner.End{{Attempt: Ended(Attempt("x", 1), runner.Succeeded)}}},
		"number 0":          {Begun: []runner.Start{{Attempt: Attempt("y", 0)}}},
		"begin as ended":    {Begun: []runner.Start{{Attempt: Ended(Attempt("y", 1), runner.Failed)}}},
		"end as running":    {Ended: []runner.End{{Attempt: Attempt("y", 1)}}},
		"other run":         {Begun: []runner.Start{{Attempt: runner.Attempt{Run: "other", Job: "y", Kind: "k", Number: 1, State: runner.Running}}}},
		"no job":            {Begun: []runner.Start{{Attempt: Attempt("", 1)}}},
		"lock without name": {Begun: []runner.Start{{Attempt: Attempt("y", 1), Locks: []string{""}}}},
		"finish as queued":  {Finish: &runner.Finish{State: runner.Queued}},
	}
	for name, step := range steps {
		if _, err := s.Advance(s.ctx, c, step); err == nil || errors.Is(err, runner.ErrStale) {
			t.Errorf("%s: error %v, want a refusal", name, err)
		}
	}
	// A refused step leaves nothing behind, not even its good half.
	mixed := runner.Step{Begun: []runner.Start{{Attempt: Attempt("good", 1)}, {Attempt: Attempt("x", 1)}}}
	if _, err := s.Advance(s.ctx, c, mixed); err == nil {
		t.Error("a step with an impossible half was recorded")
	}
	if got := s.attempts(c.Run); len(got) != 1 || got[0].State != runner.Failed {
		t.Errorf("refused steps changed the attempts: %+v", got)
	}
}

// testLostOutput: the next owner finds what the attempt of a dead process had
// written, and adds it, perhaps after it has begun another attempt.
func testLostOutput(t *testing.T, dsn secret.String) {
	dead, s := join(t, dsn, "dead", longLease), join(t, dsn, "b", longLease)
	old := dead.running()
	dead.begin(old, Attempt("x", 1), "database")
	if err := dead.Leave(dead.ctx); err != nil {
		t.Fatalf("Leave: %v", err)
	}
	c := s.claim(old.Run)
	s.begin(c, Attempt("x", 2), "database")
	lost := s.attempts(c.Run)[0]
	s.advance(c, runner.Step{Ended: []runner.End{{Attempt: lost, Output: runner.Output{Head: []byte("last words")}}}})
	out, err := s.Output(s.ctx, lost.Key())
	if err != nil || string(out.Head) != "last words" {
		t.Errorf("the output of the lost attempt is %q, %v", out.Head, err)
	}
	lost.OutputBytes = int64(len("last words"))
	same(t, "the lost attempt", lost, s.attempts(c.Run)[0])
	same(t, "locks", map[string]runner.RunID{"database": c.Run}, s.held())
	for _, state := range []runner.State{runner.Succeeded, runner.Failed} {
		revived := lost
		revived.State = state
		if _, err := s.Advance(s.ctx, c, runner.Step{Ended: []runner.End{{Attempt: revived}}}); err == nil {
			t.Errorf("a lost attempt became %s", state)
		}
	}
}

func testRelease(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	c := s.running()
	s.begin(c, Attempt("done", 1))
	s.end(c, Attempt("done", 1), runner.Succeeded)
	s.begin(c, Attempt("open", 1), "database")
	started := s.run(c.Run).StartedAt
	if err := s.Release(s.ctx, c); err != nil {
		t.Fatalf("Release: %v", err)
	}
	run := s.run(c.Run)
	if run.State != runner.Queued || run.Epoch != 2 || !run.StartedAt.Equal(started) {
		t.Errorf("released as %+v", run)
	}
	for _, a := range s.attempts(c.Run) {
		if want := map[string]runner.State{"done": runner.Succeeded, "open": runner.Lost}[a.Job]; a.State != want {
			t.Errorf("attempt %s is %s after Release, want %s", a.Job, a.State, want)
		}
	}
	same(t, "pending runs", []runner.RunID{c.Run}, s.pending())
	next := s.claim(c.Run)
	if next.Epoch != 3 {
		t.Errorf("claimed again under epoch %d, want 3", next.Epoch)
	}
	s.begin(next, Attempt("open", 2), "database")
}
