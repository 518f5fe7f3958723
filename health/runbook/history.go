package runbook

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// history is what the ledger has of the latest run of a runbook that its check
// started.
type history struct {
	// latest is it, zero when there is none; open tells that its outcome is not
	// known yet, unsaved that the ledger does not have it yet.
	latest        runner.Remedy
	open, unsaved bool
	// read is when it was read from the ledger; zero for a run that this process
	// asked for.
	read time.Time
	// disabled tells that it led to a pause that may have been ended since.
	disabled bool
	// refused is the rule that was last put on record, for the fault since then;
	// refusedAt is the answer after which it was last looked at.
	refused                 Rule
	refusedSince, refusedAt time.Time
	// asked tells that people were asked for their approval, ended that the
	// answers before its end do not count any more.
	asked, ended bool
}

// begun are the states of runs that are no mere record of an overlap.
func begun() []runner.State {
	return []runner.State{runner.Queued, runner.Running, runner.Succeeded, runner.Warned, runner.Failed, runner.Canceled, runner.Lost}
}

// mostRecent is among how many runs of a runbook, those of all nodes, the latest
// of this one is looked for.
const mostRecent = 200

// ofNode tells whether one of two checks is a node's instance of one that every
// node asks.
func ofNode(a, b string) bool { return a != runner.CheckBase(a) || b != runner.CheckBase(b) }

// history returns that of a runbook. After a start it is read from the ledger:
// a run that the process before asked for is this one's to judge.
func (e *Engine) history(ctx context.Context, b Runbook) (*history, error) {
	if h, known := e.cases[b.Name]; known {
		return h, nil
	}
	h := &history{read: time.Now()}
	remedies, err := e.o.Remedies.Remedies(ctx, runner.RemedyFilter{Workflow: b.Name, Limit: mostRecent})
	if err != nil {
		return nil, err
	}
	runs, err := e.o.Records.Runs(ctx, runner.Filter{Workflow: b.Name, Triggers: []runner.Trigger{runner.ByCheck}, States: begun(), Limit: mostRecent})
	if err != nil {
		return nil, err
	}
	// Of a check that every node asks, each looks after its own.
	remedies = slices.DeleteFunc(remedies, func(r runner.Remedy) bool { return ofNode(b.Trigger.Check, r.Check) && r.Check != b.Trigger.Check })
	runs = slices.DeleteFunc(runs, func(r runner.Run) bool {
		base := runner.CheckBase(b.Trigger.Check)
		return base != b.Trigger.Check && runner.CheckOn(base, r.Host) != b.Trigger.Check
	})
	if len(remedies) > 0 {
		h.latest = remedies[0]
		h.open, h.disabled = h.latest.Outcome == runner.OutcomeOpen, h.latest.Disabled
	}
	if len(runs) > 0 && runs[0].ID != h.latest.Run {
		// The process died between asking for the run and recording why.
		run := runs[0]
		h.latest = runner.Remedy{
			Run: run.ID, Workflow: b.Name, Check: b.Trigger.Check, Health: b.Trigger.Is, Report: run.By, Since: run.QueuedAt, BegunAt: run.QueuedAt,
		}
		h.open, h.unsaved, h.disabled = true, true, false
	}
	if len(runs) > 0 && runs[0].State.Final() && !runs[0].StartedAt.IsZero() {
		e.ignore(b, runs[0].FinishedAt.Add(b.Limits.Grace))
	}
	e.cases[b.Name] = h
	return h, nil
}

// consider starts a runbook that is due, or puts on record why not.
func (e *Engine) consider(ctx context.Context, b Runbook, h *history, w watch) error {
	if h.refusedAt.Equal(w.latest.At) {
		return nil // the next answer is soon enough
	}
	if err := e.relapsed(ctx, b, h, w); err != nil {
		return err
	}
	now := time.Now()
	s, err := Look(ctx, e.o.Records, b, now)
	if err != nil {
		return err
	}
	s.Held, s.Reports, s.Locks = e.o.Held(), e.o.Checks.Reports(ctx), e.o.Locks(b.Name)
	if refusals := s.Refusals(); len(refusals) > 0 {
		return e.refuse(ctx, b, h, w, refusals[0])
	}
	why := fmt.Sprintf("check %s: %s", b.Trigger.Check, b.Trigger.Describe(w.latest))
	started, err := e.o.Actions.Start(ctx, b, why)
	if err != nil {
		return err
	}
	if started.State == runner.Skipped {
		return e.refuse(ctx, b, h, w, Refusal{Rule: RuleUnderWay, Text: started.Message})
	}
	e.o.Log.InfoContext(ctx, "a check started a runbook", "runbook", b.Name, "run", string(started.Run), "mode", string(b.Mode), "why", why)
	*h = history{open: true, unsaved: true, latest: runner.Remedy{
		Run: started.Run, Workflow: b.Name, Check: b.Trigger.Check, Health: w.latest.Health, Report: b.Trigger.Describe(w.latest),
		Failing: Failing(s.Reports), Since: earliest(w.since, w.latest.FirstBad).UTC(), BegunAt: now.UTC(),
	}}
	if err := e.save(ctx, h); err != nil {
		return err
	}
	return e.announce(ctx, b, h, w)
}

// announce tells that a runbook was started.
func (e *Engine) announce(ctx context.Context, b Runbook, h *history, w watch) error {
	run := h.latest.Run
	switch b.Mode {
	case Approve:
		return e.o.Actions.Tell(ctx, b, fmt.Sprintf("run %s waits for approval, because %s", run, b.Trigger.Describe(w.latest)))
	case Observe:
		return e.o.Actions.Tell(ctx, b, fmt.Sprintf("would run now, because %s: dry run %s shows what it would do", b.Trigger.Describe(w.latest), run))
	default:
		return e.o.Actions.Tell(ctx, b, fmt.Sprintf("run %s started, because %s", run, b.Trigger.Describe(w.latest)))
	}
}

// refuse puts on record why a runbook that is due does not start, once for each
// rule and fault.
func (e *Engine) refuse(ctx context.Context, b Runbook, h *history, w watch, r Refusal) error {
	if h.refused == r.Rule && h.refusedSince.Equal(w.since) {
		h.refusedAt = w.latest.At
		return nil
	}
	text := fmt.Sprintf("not started, though %s: %s", b.Trigger.Describe(w.latest), r.Text)
	if !r.Until.IsZero() {
		text += ", until " + clock(r.Until)
	}
	e.o.Log.WarnContext(ctx, "a runbook is due and does not start", "runbook", b.Name, "rule", string(r.Rule), "why", r.Text)
	if err := e.o.Actions.Tell(ctx, b, text); err != nil {
		return err
	}
	h.refused, h.refusedSince, h.refusedAt = r.Rule, w.since, w.latest.At
	return nil
}

// relapsed puts on record that a fault is back soon after it was fixed.
func (e *Engine) relapsed(ctx context.Context, b Runbook, h *history, w watch) error {
	last := h.latest
	if last.Outcome != runner.OutcomeFixed || !last.RelapsedAt.IsZero() || last.Check != b.Trigger.Check || w.since.Sub(last.DecidedAt) > Relapse {
		return nil
	}
	last.RelapsedAt = w.since
	if err := e.o.Remedies.PutRemedy(ctx, last); err != nil {
		return err
	}
	h.latest = last
	return e.o.Actions.Tell(ctx, b, fmt.Sprintf("what run %s fixed is back after %s", last.Run, w.since.Sub(last.DecidedAt).Round(time.Second)))
}

// save puts the latest run on record.
func (e *Engine) save(ctx context.Context, h *history) error {
	if !h.unsaved {
		return nil
	}
	if err := e.o.Remedies.PutRemedy(ctx, h.latest); err != nil {
		return err
	}
	h.unsaved = false
	return nil
}

// earliest returns the earlier of two instants, of which the second may be zero.
func earliest(a, b time.Time) time.Time {
	if !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
