package service

import (
	"context"
	"errors"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// stuckEvery is how often runs under way are looked at.
	stuckEvery = 10 * time.Minute
	// stuckUnknown is how long a run may take of which nobody knows how long it
	// usually takes.
	stuckUnknown = 24 * time.Hour
	// stuckFactor is how many times longer than the longest of the latest runs
	// one may take, and stuckLeast how long in any case.
	stuckFactor = 4
	stuckLeast  = time.Hour
	// stuckKnown is from how many runs on the usual time is known.
	stuckKnown = 3
)

// stuck tells, once a run, that one takes far longer than usual: with
// `overlap: skip` it keeps every later slot from running, and without a
// timeout nothing would ever end it.
type stuck struct {
	d    *Daemon
	told map[runner.RunID]bool
}

// look compares the runs under way with how long their workflows usually take.
func (s *stuck) look(ctx context.Context) error {
	runs, err := s.d.ledger.Runs(ctx, runner.Filter{States: []runner.State{runner.Running}, Limit: mostOpen})
	if err != nil || len(runs) == 0 {
		clear(s.told)
		return err
	}
	names := make([]string, len(runs))
	for i, run := range runs {
		names[i] = run.Spec.Workflow
	}
	usual, err := s.d.ledger.Usual(ctx, names)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	told := map[runner.RunID]bool{}
	for _, run := range runs {
		u := usual[run.Spec.Workflow]
		switch {
		case s.told[run.ID]:
			told[run.ID] = true
		case s.d.shared() && run.Owner != s.d.ledger.Instance():
			// Each node looks after what it executes.
		case run.DryRun || !unattended(run) || now.Sub(run.StartedAt) < patienceWith(u):
		default:
			_, raised := s.d.ledger.Raise(ctx, s.d.Config().Alarm().Stuck(run, u.Median, now))
			told[run.ID] = raised == nil
			err = errors.Join(err, raised)
			s.d.o.Log.ErrorContext(ctx, "a run takes far longer than usual", "workflow", run.Spec.Workflow, "run", string(run.ID), "since", run.StartedAt, "usual", u.Median)
		}
	}
	s.told = told
	return err
}

// patienceWith is how long a run of a workflow may take.
func patienceWith(u runner.Usual) time.Duration {
	if u.Runs < stuckKnown {
		return stuckUnknown
	}
	return max(stuckFactor*u.Longest, stuckLeast)
}

// unattended tells whether nobody waits for the end of a run.
func unattended(run runner.Run) bool {
	return run.Alert || run.Trigger == runner.BySchedule || run.Trigger == runner.ByCatchUp || run.Trigger == runner.ByCheck
}
