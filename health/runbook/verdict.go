package runbook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
)

// follow sees a run that a check started to its outcome.
func (e *Engine) follow(ctx context.Context, b Runbook, h *history, w watch) error {
	if err := e.save(ctx, h); err != nil && !errors.Is(err, runner.ErrNotFound) {
		return err
	}
	run, err := e.o.Records.Run(ctx, string(h.latest.Run))
	switch {
	case errors.Is(err, runner.ErrNotFound):
		h.open, h.unsaved = false, false // somebody removed it
		return nil
	case err != nil:
		return err
	case !run.State.Final():
		return e.wait(ctx, b, h, w, run)
	}
	if !h.ended && !run.StartedAt.IsZero() {
		e.ignore(b, run.FinishedAt.Add(b.Limits.Grace))
		h.ended = true
	}
	outcome, why := e.judge(ctx, b, h, w, run)
	if outcome == runner.OutcomeOpen {
		return nil
	}
	return e.settle(ctx, b, h, run, outcome, why)
}

// wait asks for the approval of a run, and ends one that waits for it while the
// check is well again.
func (e *Engine) wait(ctx context.Context, b Runbook, h *history, w watch, run runner.Run) error {
	if run.State != runner.Queued || !run.Approval || run.ApprovedBy != "" {
		return nil
	}
	if !h.asked {
		if err := e.o.Actions.Ask(ctx, b, run.ID, fmt.Sprintf("%s waits for approval, because %s", b.Name, h.latest.Report)); err != nil {
			return err
		}
		h.asked = true
	}
	if !w.latest.At.After(h.latest.BegunAt) || !b.Trigger.Well(w.latest) {
		return nil
	}
	return e.o.Actions.Drop(ctx, run.ID, fmt.Sprintf("upkeep (%s is well again)", b.Trigger.Check))
}

// judge decides what a run did that has ended; OutcomeOpen as long as nobody
// knows.
func (e *Engine) judge(ctx context.Context, b Runbook, h *history, w watch, run runner.Run) (runner.Outcome, string) {
	r := h.latest
	ended := ""
	switch {
	case run.DryRun:
		return runner.OutcomeObserved, "a dry run showed what it would do; " + string(run.State)
	case run.StartedAt.IsZero(), run.State == runner.Skipped, run.State == runner.Canceled && run.CanceledBy != "":
		why := "it was turned down by " + run.CanceledBy
		if run.CanceledBy == "" {
			why = "it did not run: " + run.Message
		}
		return runner.OutcomeDropped, why
	case b.Trigger.Evidence:
		return runner.OutcomeObserved, "it only gathers evidence; the run " + string(run.State)
	case !run.State.Done():
		ended = fmt.Sprintf(", though the run %s", run.State)
	}
	after := run.FinishedAt
	fresh := w.latest.At.After(after)
	if fresh && b.Trigger.Well(w.latest) {
		return runner.OutcomeFixed, fmt.Sprintf("%s is well %s after the run%s", b.Trigger.Check, unit.Duration(w.latest.At.Sub(after).Round(time.Second)), ended)
	}
	if h.read.After(after) {
		after = h.read // nobody, or another node, looked meanwhile
	}
	deadline := after.Add(b.Limits.Grace)
	if !fresh {
		deadline = deadline.Add(max(b.Limits.Grace, 2*w.latest.Every))
	}
	if time.Now().Before(deadline) {
		return runner.OutcomeOpen, ""
	}
	if !fresh {
		return runner.OutcomeNotFixed, fmt.Sprintf("%s gave no answer after the run", b.Trigger.Check)
	}
	now := b.Trigger.Describe(w.latest)
	if r.Health != "" && r.Health != w.latest.Health && runner.Worst(w.latest.Health, r.Health) == w.latest.Health {
		return runner.OutcomeWorse, fmt.Sprintf("%s; before the run it was %s", now, r.Health)
	}
	if more := news(Failing(e.o.Checks.Reports(ctx)), append([]string{r.Check}, r.Failing...)); len(more) > 0 {
		return runner.OutcomeWorse, fmt.Sprintf("%s, and since the run %s fail too", now, strings.Join(more, ", "))
	}
	return runner.OutcomeNotFixed, fmt.Sprintf("%s, %s after the run", now, unit.Duration(b.Limits.Grace))
}

// news returns what of now was not there before.
func news(now, before []string) []string {
	return slices.DeleteFunc(slices.Clone(now), func(name string) bool { return slices.Contains(before, name) })
}

// settle puts an outcome on record, and disables a runbook that does not help.
func (e *Engine) settle(ctx context.Context, b Runbook, h *history, run runner.Run, outcome runner.Outcome, why string) error {
	decided := h.latest
	decided.Outcome, decided.Why, decided.DecidedAt = outcome, why, time.Now().UTC()
	if vain(decided) {
		before, err := e.vainBefore(ctx, b, run.ID)
		if err != nil {
			return err
		}
		decided.Disabled = before+1 >= inVain
	}
	if decided.Disabled {
		// First, so that a crash cannot leave it out.
		reason := fmt.Sprintf("%d runs in a row did not help: %s", inVain, why)
		if err := e.o.Actions.Disable(ctx, b, run.ID, reason); err != nil {
			return err
		}
	}
	if err := e.o.Remedies.PutRemedy(ctx, decided); err != nil {
		return err
	}
	h.latest, h.open, h.unsaved, h.disabled = decided, false, false, decided.Disabled
	e.o.Log.InfoContext(ctx, "the outcome of a runbook is known", "runbook", b.Name, "run", string(run.ID), "outcome", string(outcome), "why", why, "disabled", decided.Disabled)
	text := fmt.Sprintf("%s by run %s: %s", words(outcome), run.ID, why)
	if decided.Disabled {
		text += fmt.Sprintf("; it is paused, because %d runs in a row did not help", inVain)
	}
	return e.o.Actions.Tell(ctx, b, text)
}

// vainBefore returns how many runs just before this one did not help, back to
// the last that did or that led to a pause.
func (e *Engine) vainBefore(ctx context.Context, b Runbook, run runner.RunID) (int, error) {
	list, err := e.o.Remedies.Remedies(ctx, runner.RemedyFilter{Workflow: b.Name})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, r := range list {
		switch {
		case r.Run == run, r.Outcome == runner.OutcomeOpen, r.Outcome == runner.OutcomeObserved, r.Outcome == runner.OutcomeDropped:
			continue
		case !vain(r) || r.Disabled:
			return n, nil
		}
		n++
	}
	return n, nil
}

func vain(r runner.Remedy) bool {
	return r.Outcome == runner.OutcomeNotFixed || r.Outcome == runner.OutcomeWorse
}

// words says an outcome in a sentence.
func words(o runner.Outcome) string { return strings.ReplaceAll(string(o), "_", " ") }
