package ledgertest

import (
	"errors"
	"slices"
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
	if causes, err := s.Watch(s.ctx, c); err != nil || len(causes) != 1 || causes[0] != nil {
		t.Errorf("Watch = %v, %v", causes, err)
	}
	cancel(c.Run, "anna", runner.Running)
	cancel(c.Run, "bert", runner.Running)
	canceled := &runner.CanceledError{}
	if causes, err := s.Watch(s.ctx, c); err != nil || !errors.As(causes[0], &canceled) || canceled.By != "anna" {
		t.Errorf("Watch = %v, %v, want anna", causes, err)
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

// testWatch looks after many runs at once: each claim gets its own answer.
func testWatch(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	if causes, err := s.Watch(s.ctx); err != nil || len(causes) != 0 {
		t.Errorf("Watch of nothing = %v, %v", causes, err)
	}
	var claims []runner.Claim
	for range 45 {
		claims = append(claims, s.running())
	}
	for _, i := range []int{3, 33} {
		if _, err := s.Cancel(s.ctx, claims[i].Run, "anna"); err != nil {
			t.Fatal(err)
		}
	}
	s.finish(claims[7], runner.Succeeded)
	stale, foreign := claims[8], claims[9]
	stale.Epoch--
	foreign.Owner = "somebody else"
	claims[8], claims[9] = stale, foreign
	claims = append(claims, runner.Claim{Run: "00000000-0000-7000-8000-000000000000", Owner: stale.Owner, Epoch: 1})
	// Twice and more: the answers keep their order across chunks.
	list := slices.Repeat(claims, 5)
	causes, err := s.Watch(s.ctx, list...)
	if err != nil || len(causes) != len(list) {
		t.Fatalf("Watch = %d answers, %v, want %d", len(causes), err, len(list))
	}
	for i, cause := range causes {
		var canceled *runner.CanceledError
		var right bool
		switch at := i % len(claims); at {
		case 3, 33:
			right = errors.As(cause, &canceled) && canceled.By == "anna"
		case 7, 8, 9, 45:
			right = errors.Is(cause, runner.ErrStale)
		default:
			right = cause == nil
		}
		if !right {
			t.Errorf("claim %d: %v", i, cause)
		}
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
