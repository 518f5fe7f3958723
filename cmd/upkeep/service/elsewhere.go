package service

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// glanceEvery is how often a command looks at a run that another node executes.
const glanceEvery = 500 * time.Millisecond

// Elsewhere sees runs through that other nodes execute, until all have ended or
// ctx ends: it tells the observer what it finds on record, and that they need
// not be waited for any more. A file has no other nodes.
func (e *Engine) Elsewhere(ctx context.Context, tell runner.Observer, ids ...runner.RunID) {
	if e.Config().Ledger.Dialect == "sqlite" {
		return
	}
	open := map[runner.RunID]*distant{}
	for _, id := range ids {
		open[id] = &distant{begun: map[runner.AttemptKey]bool{}, ended: map[runner.AttemptKey]bool{}}
	}
	tick := time.NewTicker(glanceEvery)
	defer tick.Stop()
	for len(open) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-e.hard.Done():
			return
		case <-tick.C:
		}
		for id, d := range open {
			over, err := e.glance(ctx, tell, id, d)
			if err != nil && ctx.Err() == nil {
				e.o.Log.WarnContext(ctx, "look at a run on another node", "run", string(id), "error", err)
			}
			if over {
				e.accepted.remove(id)
				delete(open, id)
			}
		}
	}
}

// distant is what was told of a run that another node executes.
type distant struct {
	epoch        int64
	begun, ended map[runner.AttemptKey]bool
}

// glance tells what is new about a run, unless this process executes it.
func (e *Engine) glance(ctx context.Context, tell runner.Observer, id runner.RunID, d *distant) (over bool, err error) {
	run, err := e.ledger.Run(ctx, string(id))
	if err != nil {
		return false, err
	}
	if run.Owner == e.ledger.Instance() {
		return run.State.Final(), nil
	}
	attempts, err := e.ledger.Attempts(ctx, id)
	if err != nil {
		return false, err
	}
	if run.Epoch > d.epoch && run.State != runner.Queued {
		d.epoch = run.Epoch
		started := runner.RunStarted{Run: run}
		for _, j := range (definitions{e: e}).Graph(ctx, run.Spec, run.Params) {
			started.Jobs = append(started.Jobs, runner.JobName{Name: j.Name, Kind: j.Kind})
		}
		tell.Observe(ctx, started)
	}
	for _, a := range attempts {
		if !d.begun[a.Key()] && !a.StartedAt.IsZero() {
			d.begun[a.Key()] = true
			tell.Observe(ctx, runner.AttemptStarted{Attempt: a})
		}
		if a.State != runner.Running && !d.ended[a.Key()] {
			d.ended[a.Key()] = true
			tell.Observe(ctx, runner.AttemptEnded{Attempt: a, Findings: a.Result.Findings})
		}
	}
	if !run.State.Final() {
		return false, nil
	}
	tell.Observe(ctx, runner.RunEnded{Run: run})
	return true, nil
}
