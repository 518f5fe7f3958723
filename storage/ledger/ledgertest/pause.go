package ledgertest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

func (s *site) pause(p runner.Pause) {
	s.t.Helper()
	if err := s.Pause(s.ctx, p); err != nil {
		s.t.Fatalf("Pause: %v", err)
	}
}

func (s *site) pauses() []runner.Pause {
	s.t.Helper()
	list, err := s.Pauses(s.ctx)
	if err != nil {
		s.t.Fatalf("Pauses: %v", err)
	}
	return list
}

func testPause(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	now := time.Now().UTC().Truncate(time.Microsecond)
	forever := runner.Pause{Workflow: "w", By: "anna", Why: "disk\nswap", Since: now}
	bounded := runner.Pause{Workflow: "b", By: "bert", Why: "holiday", Since: now, Until: now.Add(time.Hour)}
	s.pause(forever)
	s.pause(bounded)
	forever.Why = "disk swap"
	same(t, "the pauses", []runner.Pause{bounded, forever}, s.pauses())

	requests := decided("w", runner.OverlapSkip, 0, 1)
	requests.Requests[0].State, requests.Requests[0].Reason = runner.Skipped, runner.ReasonMissed
	answers := s.decide(requests, decided("free", runner.OverlapSkip, 0, 0))
	if got, want := states(answers), "skipped/missed, skipped/paused, queued"; got != want {
		t.Errorf("decided as %s, want %s", got, want)
	}
	if run := s.run(answers[1].Run); run.Message != "paused by anna: disk swap" || run.Reason != runner.ReasonPaused {
		t.Errorf("the paused slot is on record as %+v", run)
	}
	manual := Request("w", hour(5))
	manual.Trigger = runner.ByManual
	s.claim(s.submit(manual)[0])

	if err := s.Reminded(s.ctx, "w", now.Add(time.Minute)); err != nil {
		t.Errorf("Reminded: %v", err)
	}
	if err := s.Reminded(s.ctx, "nobody", now); err != nil {
		t.Errorf("Reminded of nothing: %v", err)
	}
	forever.RemindedAt = now.Add(time.Minute)
	same(t, "the pauses after a reminder", []runner.Pause{bounded, forever}, s.pauses())
	for i, want := range []bool{true, false} {
		if was, err := s.Unpause(s.ctx, "w", "anna"); err != nil || was != want {
			t.Errorf("Unpause %d = %t, %v, want %t", i+1, was, err, want)
		}
	}
	if got, want := states(s.decide(decided("w", runner.OverlapAllow, 2, 2))), "queued"; got != want {
		t.Errorf("after the pause: %s, want %s", got, want)
	}
}

// testPauseEnds: a pause ends by itself, and slots that lie within it are
// paused also when they are decided later.
func testPauseEnds(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	short := runner.Pause{Workflow: "w", By: "anna", Why: "moving", Since: Midnight().AddDate(-20, 0, 0), Until: time.Now().Add(shortLease)}
	s.pause(short)
	if len(s.pauses()) != 1 {
		t.Fatal("the pause is not in force")
	}
	eventually(t, "the pause ends", func() bool { return len(s.pauses()) == 0 })
	within, after := decided("w", runner.OverlapAllow, 0, 0), decided("w", runner.OverlapAllow, 1, 1)
	within.Requests[0].Slot = short.Until.Add(-time.Minute)
	if got, want := states(s.decide(within, after)), "skipped/paused, queued"; got != want {
		t.Errorf("decided as %s, want %s", got, want)
	}
	if was, err := s.Unpause(s.ctx, "w", "anna"); err != nil || was {
		t.Errorf("Unpause of an ended pause = %t, %v", was, err)
	}
	for want, p := range map[string]runner.Pause{
		"who pauses":    {Workflow: "w", Why: "x"},
		"said why":      {Workflow: "w", By: "anna"},
		"has passed":    {Workflow: "w", By: "anna", Why: "x", Until: time.Now().Add(-time.Second)},
		"has no name":   {By: "anna", Why: "x"},
		"not valid UTF": {Workflow: "\xff", By: "anna", Why: "x"},
	} {
		if err := s.Pause(s.ctx, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Pause: %v, want %q", err, want)
		}
	}
}

func testApproval(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	request := func(i int) runner.Request {
		r := Request("w", hour(i))
		r.Approval = true
		return r
	}
	ids := s.submit(request(0), request(1), Request("w", hour(2)))
	if _, _, err := s.Claim(s.ctx, ids[0]); !errors.Is(err, runner.ErrNotClaimable) || !strings.Contains(err.Error(), "waits for approval") {
		t.Errorf("Claim of a run that waits for approval: %v", err)
	}
	same(t, "pending", []runner.RunID{ids[2]}, s.pending())
	approve := func(id runner.RunID, by, want string) {
		t.Helper()
		err := s.Approve(s.ctx, id, by)
		if want == "" && err != nil || want != "" && (!errors.Is(err, runner.ErrNotClaimable) || !strings.Contains(err.Error(), want)) {
			t.Errorf("Approve by %s: %v, want %q", by, err, want)
		}
	}
	approve(ids[0], "anna", "")
	approve(ids[0], "anna", "")
	approve(ids[0], "bert", "anna has approved it")
	approve(ids[2], "anna", "needs no approval")
	if err := s.Approve(s.ctx, "00000000-0000-7000-8000-000000000000", "anna"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("Approve of an unknown run: %v, want ErrNotFound", err)
	}
	if err := s.Approve(s.ctx, ids[1], ""); err == nil {
		t.Error("nobody could approve a run")
	}
	same(t, "pending", []runner.RunID{ids[0], ids[2]}, s.pending())
	c, run, err := s.Claim(s.ctx, ids[0])
	if err != nil || run.ApprovedBy != "anna" || !run.Approval {
		t.Fatalf("claimed as %+v, %v", run, err)
	}
	s.finish(c, runner.Failed)
	approve(ids[0], "bert", "it has ended (failed)")
	// A retry needs no second approval.
	if err := s.Reopen(s.ctx, ids[0], nil, "anna"); err != nil {
		t.Fatalf("Reopen: %v", err)
	}
	s.claim(ids[0])
	if before, err := s.Cancel(s.ctx, ids[1], "anna"); err != nil || before != runner.Queued {
		t.Errorf("Cancel of a run that waits for approval: %s, %v", before, err)
	}
	if run := s.run(ids[1]); run.State != runner.Canceled || run.Reason != runner.ReasonUser {
		t.Errorf("canceled as %+v", run)
	}
	approve(ids[1], "anna", "it has ended (canceled)")
}
