package ledgertest

import (
	"errors"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// testPlanned: an attempt said that it may end upkeep itself, and did. The
// next owner ends it by what it left; the others are lost.
func testPlanned(t *testing.T, dsn secret.String) {
	for name, stop := range map[string]func(*site, runner.Claim){
		"death": func(s *site, _ runner.Claim) {
			if err := s.Leave(s.ctx); err != nil {
				t.Fatalf("Leave: %v", err)
			}
		},
		"shutdown": func(s *site, c runner.Claim) {
			if err := s.Release(s.ctx, c); err != nil {
				t.Fatalf("Release: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			old, s := join(t, dsn, "old", longLease), join(t, dsn, "new", longLease)
			c := old.running()
			old.begin(c, Attempt("reboot", 1), "host")
			old.begin(c, Attempt("other", 1), "other")
			plan := runner.Step{Planned: map[string]string{"reboot": "reboot\nnow"}}
			old.advance(c, plan)
			old.advance(c, plan)
			if _, err := old.Advance(old.ctx, c, runner.Step{Planned: map[string]string{"never": "x"}}); err == nil {
				t.Error("a job that does not run could plan something")
			}
			stop(old, c)
			// While the machine restarts nobody else may have what it holds.
			rival := s.running()
			if blocked := s.advance(rival, start("x", "host")); len(blocked) != 1 || len(s.held()) == 0 {
				t.Errorf("the lock of a planned restart went to somebody else: %v, held are %v", blocked, s.held())
			}
			if blocked := s.advance(rival, start("y", "other")); len(blocked) > 0 {
				t.Errorf("what the dead process held otherwise is not free: %+v", blocked)
			}
			s.finish(rival, runner.Canceled)
			// Only the node that planned it can judge it.
			again := join(t, dsn, "old", longLease)
			if shared := !strings.HasPrefix(dsn.Reveal(), "sqlite:"); shared {
				if _, _, err := s.Claim(s.ctx, c.Run); !errors.Is(err, runner.ErrNotClaimable) {
					t.Errorf("another node may judge what was planned: %v", err)
				}
				if list, err := s.Deliveries(s.ctx, c.Run); err != nil || len(list) != 1 || list[0].Target != runner.OnNode("old") {
					t.Errorf("it is delivered as %+v, %v, want to the node that planned it", list, err)
				}
				s = again
			}
			next := s.claim(c.Run)
			attempts := s.attempts(c.Run)
			if len(attempts) != 2 || attempts[0].State != runner.Running || attempts[0].Planned != "reboot now" || attempts[0].Epoch != next.Epoch ||
				attempts[1].State != runner.Lost || attempts[1].Epoch != c.Epoch {
				t.Fatalf("after the takeover: %+v", attempts)
			}
			if got := s.held(); len(got) != 1 || got["host"] == "" {
				t.Errorf("locks after the takeover: %v", got)
			}
			s.end(next, attempts[0], runner.Succeeded)
			s.finish(next, runner.Succeeded)
			if got := s.attempts(c.Run)[0]; got.State != runner.Succeeded || got.Planned != "reboot now" || got.Epoch != next.Epoch {
				t.Errorf("the planned attempt ended as %+v", got)
			}
			if got := s.held(); len(got) != 0 {
				t.Errorf("locks after the end: %v", got)
			}
		})
	}
}

// testPlannedEnds: what was planned and is never judged does not stay running.
func testPlannedEnds(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	plan := func() runner.Claim {
		c := s.running()
		s.advance(c, runner.Step{Begun: []runner.Start{{Attempt: Attempt("x", 1)}}, Planned: map[string]string{"x": "upgrade"}})
		return c
	}
	finished, canceled, withdrawn := plan(), plan(), plan()
	s.finish(finished, runner.Failed)
	if err := s.Release(s.ctx, canceled); err != nil {
		t.Fatalf("Release: %v", err)
	}
	if got := s.attempts(canceled.Run)[0]; got.State != runner.Running {
		t.Errorf("a planned attempt of a released run is %s", got.State)
	}
	if _, err := s.Cancel(s.ctx, canceled.Run, "anna"); err != nil {
		t.Fatalf("Cancel: %v", err)
	}
	s.advance(withdrawn, runner.Step{Planned: map[string]string{"x": ""}})
	if err := s.Release(s.ctx, withdrawn); err != nil {
		t.Fatalf("Release: %v", err)
	}
	for _, c := range []runner.Claim{finished, canceled, withdrawn} {
		if got := s.attempts(c.Run)[0]; got.State != runner.Lost || got.FinishedAt.IsZero() {
			t.Errorf("the attempt is %+v, want Lost", got)
		}
	}
}
