package service

import (
	"context"
	"errors"
	"slices"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// endStrays ends what a service before this one left at work on this host, where
// other nodes may have taken its runs over by now: nobody else could reach it.
// Attempts of another ledger, of owners that live, and with a planned restart
// are left alone.
func (e *Engine) endStrays(ctx context.Context) error {
	left, err := jobs.LeftAttempts()
	if err != nil || len(left) == 0 {
		return err
	}
	nodes, err := e.ledger.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, a := range left {
		run, over, err := e.isOver(ctx, a, nodes)
		if err != nil {
			return err
		}
		if !over {
			continue
		}
		switch ended, err := jobs.KillAttemptLeftovers(ctx, a, run.StartedAt, 0); {
		case err != nil:
			e.o.Log.WarnContext(ctx, "what a lost attempt left behind may still be running", "run", a.RunID, "job", a.Job, "attempt", a.Attempt, "cause", err)
		case ended > 0:
			e.o.Log.WarnContext(ctx, "processes of a lost attempt were still running here and have been ended", "run", a.RunID, "job", a.Job, "attempt", a.Attempt, "count", ended)
		}
	}
	return nil
}

// isOver tells whether nobody works on an attempt any longer that was cut short.
func (e *Engine) isOver(ctx context.Context, a jobs.LeftAttempt, nodes []ledger.Node) (run runner.Run, over bool, err error) {
	run, err = e.ledger.Run(ctx, a.RunID)
	if errors.Is(err, runner.ErrNotFound) || is[*runner.AmbiguousError](err) {
		return run, false, nil
	}
	if err != nil || string(run.ID) != a.RunID {
		return run, false, err
	}
	attempts, err := e.ledger.Attempts(ctx, run.ID)
	if err != nil {
		return run, false, err
	}
	at := slices.IndexFunc(attempts, func(other runner.Attempt) bool { return other.Job == a.Job && other.Number == a.Attempt })
	if at < 0 {
		return run, false, nil
	}
	switch attempts[at].State {
	case runner.Lost, runner.Canceled:
		return run, true, nil
	case runner.Running:
		alive := slices.ContainsFunc(nodes, func(n ledger.Node) bool { return n.Alive && n.Instance == run.Owner })
		return run, !alive && attempts[at].Planned == "", nil
	default:
		return run, false, nil
	}
}
