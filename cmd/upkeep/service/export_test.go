package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Watch feeds the watchdog of whoever started this process while alive says
// so.
func Watch(ctx context.Context, alive func() bool) {
	(&supervisor{log: slog.New(slog.DiscardHandler)}).watch(ctx, alive)
}

// PatienceWith is how long a run of a workflow may take before it counts as
// stuck.
func PatienceWith(u runner.Usual) time.Duration { return patienceWith(u) }
