package retrain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// askOnce asks the gate one time; without a gate all is well.
func (r *run) askOnce(ctx context.Context) error {
	if r.options.Gate.none() {
		return nil
	}
	return r.env.Effect(ctx, "ask the gate", r.ask)
}

// passGate waits until the gate is green, and sees that it stays so.
func (r *run) passGate(ctx context.Context) error {
	g := r.options.Gate
	start, green := time.Now(), time.Time{}
	for {
		err := r.ask(ctx)
		now := time.Now()
		switch {
		case context.Cause(ctx) != nil:
			return fmt.Errorf("ask the gate: %w", context.Cause(ctx))
		case err != nil && !green.IsZero():
			return fmt.Errorf("the gate was green but did not stay so for %s: %w", g.Stable, err)
		case err != nil && now.Sub(start) >= g.Within.Std():
			return fmt.Errorf("the gate was not green within %s: %w", g.Within, err)
		case err == nil && green.IsZero():
			green = now
		}
		if err == nil && now.Sub(green) >= g.Stable.Std() {
			return nil
		}
		next := time.NewTimer(g.Every.Std())
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
		}
	}
}

// errSilent is the cause of a question that is cut short.
var errSilent = errors.New("there was no answer in time")

// ask asks once, with a deadline.
func (r *run) ask(ctx context.Context) error {
	limit := r.options.Gate.Timeout.Std()
	if r.check == nil {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
		defer cancel()
		_, err := r.program(ctx, "gate.run", r.options.Gate.Run, false, exitOnly)
		return err
	}
	check, err := r.check()
	if err != nil {
		return err
	}
	if check.Timeout > 0 {
		limit = check.Timeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	result, err := check.Probe.Run(ctx, r.env)
	if err == nil && result.Worst() == jobs.Critical {
		err = errors.New(jobs.Headline(result.Findings))
	}
	if err != nil {
		return fmt.Errorf("check %s: %w", check.Name, err)
	}
	return nil
}
