package executor

import (
	"context"
	"log/slog"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// scrub takes the secrets that an attempt was given out of its record. Whether
// texts are valid and bounded is the ledger's business.
func scrub(a *runner.Attempt, r *secret.Redactor) {
	a.Error, a.Hint = r.Scrub(a.Error), r.Scrub(a.Hint)
	// The job may still hold the lists and maps, so they are not changed.
	in := a.Result
	out := jobs.Result{Summary: r.Scrub(in.Summary), Artifacts: in.Artifacts}
	if in.Values != nil {
		out.Values = make(map[string]float64, len(in.Values))
	}
	for name, value := range in.Values {
		out.Values[r.Scrub(name)] = value
	}
	if in.Outputs != nil {
		out.Outputs = make(map[string]string, len(in.Outputs))
	}
	for name, text := range in.Outputs {
		out.Outputs[r.Scrub(name)] = r.Scrub(text)
	}
	for _, f := range in.Findings {
		f.ID, f.Text = r.Scrub(f.ID), r.Scrub(f.Text)
		out.Findings = append(out.Findings, f)
	}
	for _, e := range in.Events {
		e.Kind, e.Subject, e.Text = r.Scrub(e.Kind), r.Scrub(e.Subject), r.Scrub(e.Text)
		out.Events = append(out.Events, e)
	}
	for i, artifact := range in.Artifacts {
		if key := r.Scrub(artifact.Key); key != artifact.Key {
			out.Artifacts = append(out.Artifacts[:i:i], in.Artifacts[i:]...)
			out.Artifacts[i].Key = key
		}
	}
	a.Result = out
}

// scrubbedLog is a slog.Handler that scrubs secrets from messages and
// attributes before another handler sees them.
type scrubbedLog struct {
	slog.Handler

	redactor *secret.Redactor
}

// Handle passes on a scrubbed record.
func (h scrubbedLog) Handle(ctx context.Context, record slog.Record) error {
	clean := slog.NewRecord(record.Time, record.Level, h.redactor.Scrub(record.Message), record.PC)
	record.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.attr(a))
		return true
	})
	return h.Handler.Handle(ctx, clean) //nolint:wrapcheck // a handler passes on what the next one says
}

// WithAttrs returns a handler with scrubbed attributes.
func (h scrubbedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.attr(a)
	}
	return scrubbedLog{Handler: h.Handler.WithAttrs(clean), redactor: h.redactor}
}

// WithGroup returns a handler for a group.
func (h scrubbedLog) WithGroup(name string) slog.Handler {
	return scrubbedLog{Handler: h.Handler.WithGroup(name), redactor: h.redactor}
}

func (h scrubbedLog) attr(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindGroup:
		group := value.Group()
		clean := make([]slog.Attr, len(group))
		for i, inner := range group {
			clean[i] = h.attr(inner)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(clean...)}
	case slog.KindString, slog.KindAny:
		return slog.String(a.Key, h.redactor.Scrub(value.String()))
	default:
		return a
	}
}
