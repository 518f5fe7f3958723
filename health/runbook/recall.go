package runbook

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/runner"
)

// mostRecalled is how many answers on record are looked at.
const mostRecalled = 1000

// recall lets a trigger that holds by the first answer that this process saw have
// held since the answers before it did, which are on record: a restart of upkeep
// does not begin to wait anew.
func (e *Engine) recall(ctx context.Context, b Runbook) error {
	e.mu.Lock()
	w := *e.watchOf(b)
	e.mu.Unlock()
	if w.recalled || w.first.At.IsZero() {
		return nil
	}
	var since time.Time
	if b.Trigger.For > 0 && w.since.Equal(w.first.At) {
		var err error
		if since, err = b.Trigger.heldBefore(ctx, e.o.Past, w.first, w.ignore); err != nil {
			return fmt.Errorf("look since when %s: %w", b.Trigger, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.watchOf(b)
	now.recalled = true
	if !since.IsZero() && now.since.Equal(w.first.At) {
		now.since = since
	}
	return nil
}

// heldBefore returns since when a trigger held by the answers on record after an
// instant that led up to a report without a break; zero when it did not.
func (t Trigger) heldBefore(ctx context.Context, past runner.SampleReader, first runner.CheckReport, after time.Time) (time.Time, error) {
	gap := health.Bridged(first.Every)
	from := first.At.Add(-t.For - gap)
	if after.After(from) {
		from = after
	}
	read := t.judged
	if t.Value != "" && len(t.ErrorKinds) > 0 {
		return time.Time{}, nil // no answer has both
	}
	if t.Value != "" {
		read = t.measured
	}
	answers, err := read(ctx, past, first, from)
	if err != nil {
		return time.Time{}, err
	}
	var since time.Time
	latest := first.At
	for _, a := range slices.Backward(answers) {
		if !a.holds || latest.Sub(a.at) > gap || !a.at.After(after) {
			break
		}
		since, latest = a.at, a.at
	}
	return since, nil
}

// answered is what an answer on record says about a trigger.
type answered struct {
	at    time.Time
	holds bool
}

// judged reads what the answers said. The health that counts is bad since the
// report says so.
func (t Trigger) judged(ctx context.Context, past runner.SampleReader, first runner.CheckReport, from time.Time) ([]answered, error) {
	answers, err := health.Answers(ctx, past, t.Check, from, first.At)
	if err != nil {
		return nil, err
	}
	var list []answered
	for _, a := range answers {
		kind := len(t.ErrorKinds) == 0 || slices.Contains(t.ErrorKinds, a.ErrorKind)
		list = append(list, answered{a.At, kind && t.bad(a.Health) && !a.At.Before(first.Since)})
	}
	return list, nil
}

// measured reads what was measured.
func (t Trigger) measured(ctx context.Context, past runner.SampleReader, first runner.CheckReport, from time.Time) ([]answered, error) {
	samples, err := past.Samples(ctx, runner.SampleFilter{Series: health.Series(t.Check, t.Value), Since: from.UTC(), Until: first.At.UTC(), Limit: mostRecalled})
	if err != nil {
		return nil, err
	}
	var list []answered
	for _, s := range samples {
		holds := t.Above != nil && s.Low > *t.Above || t.Below != nil && s.High < *t.Below
		list = append(list, answered{s.At, holds})
	}
	return list, nil
}
