package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// journalHandler writes lines as the journal of systemd likes them on a
// standard error: the level as a prefix (sd-daemon(3)), no time, which the
// journal knows better, and the rest as slog's text handler does.
type journalHandler struct {
	text   slog.Handler
	shared *journalLine
}

// journalLine is the line under construction.
type journalLine struct {
	mu   sync.Mutex
	w    io.Writer
	line bytes.Buffer
}

func newJournalHandler(w io.Writer, level slog.Level) *journalHandler {
	shared := &journalLine{w: w}
	return &journalHandler{shared: shared, text: slog.NewTextHandler(&shared.line, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, at slog.Attr) slog.Attr {
			if len(groups) == 0 && slices.Contains([]string{slog.TimeKey, slog.LevelKey}, at.Key) {
				return slog.Attr{}
			}
			return at
		},
	})}
}

// Enabled is that of the text handler.
func (h *journalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.text.Enabled(ctx, level)
}

// Handle writes one line.
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	h.shared.line.Reset()
	h.shared.line.WriteString(syslogPrefix(r.Level))
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.shared.w.Write(h.shared.line.Bytes())
	return err
}

// syslogPrefix is the level of syslog(3) in the form of sd-daemon(3).
func syslogPrefix(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "<3>"
	case level >= slog.LevelWarn:
		return "<4>"
	case level >= slog.LevelInfo:
		return "<6>"
	default:
		return "<7>"
	}
}

// WithAttrs adds what every line tells.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journalHandler{text: h.text.WithAttrs(attrs), shared: h.shared}
}

// WithGroup prefixes what every line tells.
func (h *journalHandler) WithGroup(name string) slog.Handler {
	return &journalHandler{text: h.text.WithGroup(name), shared: h.shared}
}
