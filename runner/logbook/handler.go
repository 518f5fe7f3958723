package logbook

import (
	"context"
	"errors"
	"log/slog"
	"slices"
)

// loggerKey is the key of the attribute that names a logger.
const loggerKey = "logger"

// Logger names a logger: the part of the program that writes, with dots between
// it and what is below it, as in http.access.
func Logger(name string) slog.Attr { return slog.String(loggerKey, name) }

type contextKey struct{}

// With adds to a context what every record that is logged with it tells.
func With(ctx context.Context, attrs ...slog.Attr) context.Context {
	before, _ := ctx.Value(contextKey{}).([]slog.Attr)
	return context.WithValue(ctx, contextKey{}, append(slices.Clip(before), attrs...))
}

// Handler passes records on whose level their logger lets through.
type Handler struct {
	levels *Levels
	// counted is told of every record that is passed on; nil for nobody.
	counted func(slog.Level)
	name    string
	nested  bool
	sinks   []slog.Handler
}

// NewHandler makes a handler that passes records on to sinks: those that the
// levels let through, with what the context knows. The name of the logger is
// the last attribute of each record. counted is told of every record that is
// passed on; nil for nobody.
func NewHandler(levels *Levels, counted func(slog.Level), sinks ...slog.Handler) *Handler {
	return &Handler{levels: levels, counted: counted, sinks: sinks}
}

// Enabled tells whether the logger lets the level through.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.levels.Of(h.name)
}

// Handle passes a record on to all sinks, also when one of them fails.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if h.counted != nil {
		h.counted(r.Level)
	}
	known, _ := ctx.Value(contextKey{}).([]slog.Attr)
	if h.name != "" && !h.nested || len(known) > 0 {
		r = r.Clone()
		r.AddAttrs(missing(r, known)...)
		if h.name != "" && !h.nested {
			r.AddAttrs(Logger(h.name))
		}
	}
	var errs []error
	for _, sink := range h.sinks {
		errs = append(errs, sink.Handle(ctx, r))
	}
	return errors.Join(errs...)
}

// missing are those attributes whose keys a record does not have.
func missing(r slog.Record, known []slog.Attr) []slog.Attr {
	var out []slog.Attr
	for _, a := range known {
		has := false
		r.Attrs(func(own slog.Attr) bool {
			has = own.Key == a.Key
			return !has
		})
		if !has {
			out = append(out, a)
		}
	}
	return out
}

// WithAttrs adds what every record tells. The attribute that Logger makes names
// the logger instead.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	own := slices.Clone(attrs)
	if !h.nested {
		own = slices.DeleteFunc(own, func(a slog.Attr) bool {
			named := a.Key == loggerKey && a.Value.Kind() == slog.KindString
			if named {
				next.name = a.Value.String()
			}
			return named
		})
	}
	next.sinks = make([]slog.Handler, len(h.sinks))
	for i, sink := range h.sinks {
		next.sinks[i] = sink
		if len(own) > 0 {
			next.sinks[i] = sink.WithAttrs(own)
		}
	}
	return &next
}

// WithGroup puts what follows into a group.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.nested = true
	next.sinks = make([]slog.Handler, len(h.sinks))
	for i, sink := range h.sinks {
		next.sinks[i] = sink.WithGroup(name)
	}
	return &next
}
