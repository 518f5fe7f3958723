package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner/logbook"
	"github.com/ghosteam/upkeep/runner/metrics"
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
		switch at.Key {
		case "logger": // which part says it is nothing to a person who waits
		case "error":
			failure = ": " + text
		default:
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

// openLogbook makes the log of a process that nobody sits in front of: lines on
// standard error, and in a file when the configuration names one.
func (a *app) openLogbook(cfg configs.Log, form logFormat, debug bool, set *metrics.Set) (*slog.Logger, *service.Logbook, error) {
	book := service.NewLogbook(cfg, debug)
	sinks := []slog.Handler{formed(a.std.Err, form, cfg.Keys)}
	if cfg.File != "" {
		var err error
		book.File, err = logbook.OpenFile(logbook.FileOptions{
			Path: cfg.File, Rotation: cfg.Rotation, Complaints: a.std.Err, Lost: set.LogLost, Patient: true,
		})
		if err != nil {
			return nil, nil, err
		}
		inFile := logJSON
		if cfg.Format == configs.LogText {
			inFile = logText
		}
		sinks = append(sinks, formed(book.File, inFile, cfg.Keys))
	}
	return slog.New(logbook.NewHandler(book.Levels, set.Logged, sinks...)), book, nil
}

// formed writes every record that it gets, in one of the forms.
func formed(w io.Writer, form logFormat, keys logbook.Keys) slog.Handler {
	const everything = slog.Level(math.MinInt)
	switch form {
	case logJSON:
		return logbook.NewJSON(w, keys)
	case logJournal:
		return newJournalHandler(w, everything)
	default:
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: everything})
	}
}
