package ledgertest

import (
	"errors"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

func testCancel(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	queued := s.queued()
	cancel := func(id runner.RunID, by string, want runner.State) {
		t.Helper()
		if before, err := s.Cancel(s.ctx, id, by); err != nil || before != want {
			t.Errorf("Cancel by %s = %s, %v, want %s", by, before, err, want)
		}
	}
	cancel(queued, "anna", runner.Queued)
	cancel(queued, "bert", runner.Canceled)
	run := s.run(queued)
	if run.State != runner.Canceled || run.Reason != runner.ReasonUser || run.CanceledBy != "anna" || run.FinishedAt.IsZero() {
		t.Errorf("a canceled waiting run is %+v", run)
	}

	c := s.running()
	if by, err := s.Watch(s.ctx, c); by != "" || err != nil {
		t.Errorf("Watch = %q, %v", by, err)
	}
	cancel(c.Run, "anna", runner.Running)
	cancel(c.Run, "bert", runner.Running)
	if by, err := s.Watch(s.ctx, c); by != "anna" || err != nil {
		t.Errorf("Watch = %q, %v, want anna", by, err)
	}
	if run := s.run(c.Run); run.State != runner.Running || run.CanceledBy != "anna" {
		t.Errorf("a canceled running run is %+v", run)
	}
	// The owner ends it; a takeover still sees the flag.
	if err := s.Release(s.ctx, c); err != nil {
		t.Fatalf("Release: %v", err)
	}
	next, taken, err := s.Claim(s.ctx, c.Run)
	if err != nil || taken.CanceledBy != "anna" {
		t.Errorf("claimed as %+v, %v", taken, err)
	}
	s.finish(next, runner.Canceled)
	if _, err := s.Cancel(s.ctx, "00000000-0000-7000-8000-000000000000", "anna"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("Cancel of an unknown run: %v, want ErrNotFound", err)
	}
}

func testReopen(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	c := s.running()
	if err := s.Reopen(s.ctx, c.Run, nil, "anna"); !errors.Is(err, runner.ErrNotClaimable) {
		t.Errorf("Reopen of a running run: %v, want ErrNotClaimable", err)
	}
	for job, state := range map[string]runner.State{"a": runner.Succeeded, "b": runner.Warned, "c": runner.Failed, "d": runner.Canceled} {
		s.begin(c, Attempt(job, 1))
		s.end(c, Attempt(job, 1), state)
	}
	if _, err := s.Cancel(s.ctx, c.Run, "bert"); err != nil {
		t.Fatalf("Cancel: %v", err)
	}
	s.advance(c, runner.Step{Finish: &runner.Finish{State: runner.Failed, Reason: runner.ReasonError, Message: "c failed"}})
	if err := s.Reopen(s.ctx, c.Run, []string{"b"}, "anna"); err != nil {
		t.Fatalf("Reopen: %v", err)
	}
	run := s.run(c.Run)
	if run.State != runner.Queued || run.Epoch != 2 || run.Reason != "" || run.Message != "" || run.CanceledBy != "" || run.ReopenedBy != "anna" || !run.FinishedAt.IsZero() {
		t.Errorf("reopened as %+v", run)
	}
	for _, a := range s.attempts(c.Run) {
		if want := a.Job != "a"; a.Superseded != want {
			t.Errorf("attempt %s: superseded is %t, want %t", a.Job, a.Superseded, want)
		}
	}
	next := s.claim(c.Run)
	s.begin(next, Attempt("b", 2))
	s.end(next, Attempt("b", 2), runner.Succeeded)
	s.finish(next, runner.Succeeded)
	if got := s.run(c.Run); got.State != runner.Succeeded || got.Epoch != 3 || got.ID != c.Run {
		t.Errorf("after the retry: %+v", got)
	}
	if err := s.Reopen(s.ctx, "00000000-0000-7000-8000-000000000000", nil, "anna"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("Reopen of an unknown run: %v, want ErrNotFound", err)
	}
}
