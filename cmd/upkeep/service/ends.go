package service

import (
	"context"
	"log/slog"

	"github.com/ghosteam/upkeep/runner"
)

// ends logs how runs end, for those who read the log of a service.
type ends struct{ log *slog.Logger }

// Observe implements runner.Observer.
func (l ends) Observe(ctx context.Context, event runner.Event) {
	e, ok := event.(runner.RunEnded)
	if !ok {
		return
	}
	level := slog.LevelInfo
	switch e.Run.State {
	case runner.Failed, runner.Lost:
		level = slog.LevelError
	case runner.Warned, runner.Canceled:
		level = slog.LevelWarn
	default:
	}
	facts := []slog.Attr{
		slog.String("workflow", e.Run.Spec.Workflow), slog.String("state", string(e.Run.State)), slog.String("run", string(e.Run.ID)),
		slog.String("trigger", string(e.Run.Trigger)), slog.Time("slot", e.Run.Slot),
	}
	if !e.Run.StartedAt.IsZero() {
		facts = append(facts, slog.Duration("took", e.Run.FinishedAt.Sub(e.Run.StartedAt)))
	}
	if e.Run.Reason != "" {
		facts = append(facts, slog.String("reason", string(e.Run.Reason)))
	}
	if e.Run.Message != "" {
		facts = append(facts, slog.String("why", e.Run.Message))
	}
	l.log.LogAttrs(ctx, level, "run ended", facts...)
}
