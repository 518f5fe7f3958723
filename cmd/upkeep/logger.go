package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// noteHandler writes what the parts of the program log as notes for the person
// who waits for the command: warnings and errors, in the words of other
// messages, without times.
type noteHandler struct {
	w     io.Writer
	attrs []slog.Attr
}

// Enabled takes warnings and errors.
func (h *noteHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

// Handle writes one line: the severity, the message, the error, and in
// parentheses what else is known.
func (h *noteHandler) Handle(_ context.Context, r slog.Record) error {
	var facts []string
	failure := ""
	add := func(at slog.Attr) bool {
		text := oneLine(at.Value.Resolve().String(), 0)
		if at.Key == "error" {
			failure = ": " + text
		} else {
			facts = append(facts, at.Key+" "+text)
		}
		return true
	}
	for _, at := range h.attrs {
		add(at)
	}
	r.Attrs(add)
	about := ""
	if len(facts) > 0 {
		about = " (" + strings.Join(facts, ", ") + ")"
	}
	severity := "warning"
	if r.Level >= slog.LevelError {
		severity = "error"
	}
	_, err := fmt.Fprintf(h.w, "%s: %s%s%s\n", severity, r.Message, failure, about)
	return err
}

// WithAttrs adds what every line tells.
func (h *noteHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &noteHandler{w: h.w, attrs: append(slices.Clip(h.attrs), attrs...)}
}

// WithGroup changes nothing: the notes are for people, who need no prefixes.
func (h *noteHandler) WithGroup(string) slog.Handler { return h }
