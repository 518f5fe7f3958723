package river

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// sayEvery is how often one message about trouble is said: River repeats its
// errors with every try while the database is away.
const sayEvery = time.Minute

// quiet is a slog.Handler that passes on little of what River logs: no news,
// what is an error to River as a warning, because it goes on by itself, each
// message at most once a minute, and nothing once the work ends.
type quiet struct {
	slog.Handler

	shared *quietState
}

type quietState struct {
	hushed atomic.Bool

	mu   sync.Mutex
	said map[string]time.Time
}

func newQuiet(to slog.Handler) *quiet {
	return &quiet{Handler: to, shared: &quietState{said: map[string]time.Time{}}}
}

// hush makes it say nothing any more.
func (h *quiet) hush() { h.shared.hushed.Store(true) }

// problem says what went wrong, as seldom as what River says.
func (h *quiet) problem(ctx context.Context, message string, err error) {
	slog.New(h).WarnContext(ctx, message, "error", err)
}

// Enabled implements slog.Handler.
func (h *quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && !h.shared.hushed.Load() && h.Handler.Enabled(ctx, slog.LevelWarn)
}

// Handle implements slog.Handler.
func (h *quiet) Handle(ctx context.Context, r slog.Record) error {
	h.shared.mu.Lock()
	last, again := h.shared.said[r.Message]
	due := !again || r.Time.Sub(last) >= sayEvery
	if due {
		h.shared.said[r.Message] = r.Time
	}
	h.shared.mu.Unlock()
	if !due {
		return nil
	}
	r.Level = slog.LevelWarn
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quiet{Handler: h.Handler.WithAttrs(attrs), shared: h.shared}
}

// WithGroup implements slog.Handler.
func (h *quiet) WithGroup(name string) slog.Handler {
	return &quiet{Handler: h.Handler.WithGroup(name), shared: h.shared}
}
