package river

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// sayEvery is how often trouble is said: River repeats its errors with every
// try while the database is away.
const sayEvery = time.Minute

// trouble is what River's errors and warnings mean to us: the ledger is the
// truth, and a delivery that failed is made again.
const trouble = "the delivery of runs has trouble and goes on by itself"

// quiet is a slog.Handler that passes on little of what River logs: no news,
// trouble as a warning, at most once a minute, and nothing once the work ends.
type quiet struct {
	slog.Handler

	shared *quietState
}

type quietState struct {
	hushed atomic.Bool

	mu   sync.Mutex
	said time.Time
	// kept counts what was not said since.
	kept int
}

func newQuiet(to slog.Handler) *quiet {
	return &quiet{Handler: to, shared: &quietState{}}
}

// hush makes it say nothing any more.
func (h *quiet) hush() { h.shared.hushed.Store(true) }

// problem says what we could not do, as seldom as River's troubles.
func (h *quiet) problem(ctx context.Context, what string, err error) {
	slog.New(h).WarnContext(ctx, trouble, "what", what, "error", err)
}

// Enabled implements slog.Handler.
func (h *quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && !h.shared.hushed.Load() && h.Handler.Enabled(ctx, slog.LevelWarn)
}

// Handle implements slog.Handler.
func (h *quiet) Handle(ctx context.Context, r slog.Record) error {
	h.shared.mu.Lock()
	due := h.shared.said.IsZero() || r.Time.Sub(h.shared.said) >= sayEvery
	kept := h.shared.kept
	if due {
		h.shared.said, h.shared.kept = r.Time, 0
	} else {
		h.shared.kept++
	}
	h.shared.mu.Unlock()
	if !due {
		return nil
	}
	said := slog.NewRecord(r.Time, slog.LevelWarn, trouble, r.PC)
	if r.Message != trouble {
		said.AddAttrs(slog.String("what", r.Message))
	}
	said.AddAttrs(slog.Int("more_before", kept))
	r.Attrs(func(a slog.Attr) bool {
		said.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, said)
}

// WithAttrs implements slog.Handler.
func (h *quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quiet{Handler: h.Handler.WithAttrs(attrs), shared: h.shared}
}

// WithGroup implements slog.Handler.
func (h *quiet) WithGroup(name string) slog.Handler {
	return &quiet{Handler: h.Handler.WithGroup(name), shared: h.shared}
}
