package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner/logbook"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// Logbook is the log of a service: what is behind Options.Log.
type Logbook struct {
	// Levels are the thresholds of its loggers.
	Levels *logbook.Levels
	// File gets the log as well as standard error; nil for none.
	File *logbook.File
	// Debug makes everything below the root be logged, whatever the
	// configuration says.
	Debug bool
}

// NewLogbook makes the thresholds that a configuration wants.
func NewLogbook(cfg configs.Log, debug bool) *Logbook {
	b := &Logbook{Levels: logbook.NewLevels(cfg.Level, cfg.Levels), Debug: debug}
	b.configure(cfg)
	return b
}

// configure takes over what a running service can take over.
func (b *Logbook) configure(cfg configs.Log) {
	if b.Debug {
		b.Levels.Configure(slog.LevelDebug, nil)
	} else {
		b.Levels.Configure(cfg.Level, cfg.Levels)
	}
	if b.File != nil {
		b.File.SetRotation(cfg.Rotation)
	}
}

// named is the log of one part.
func named(log *slog.Logger, part string) *slog.Logger { return log.With(logbook.Logger(part)) }

// reopenLog opens the file of the log anew, as after somebody moved it away.
func (d *Daemon) reopenLog(ctx context.Context) {
	if d.o.Logbook == nil || d.o.Logbook.File == nil {
		return
	}
	if err := d.o.Logbook.File.Reopen(); err != nil {
		d.o.Log.ErrorContext(ctx, "open the file of the log anew", "error", err)
	}
}

// logs are the thresholds of a service as the API shows them.
type logs struct{ d *Daemon }

var _ web.Logs = logs{}

// logs returns them; nil for a process that is no service.
func (d *Daemon) logs() web.Logs {
	if d == nil || d.o.Logbook == nil {
		return nil
	}
	return logs{d}
}

// Levels implements web.Logs.
func (l logs) Levels() []api.LogLevel {
	var list []api.LogLevel
	for _, t := range l.d.o.Logbook.Levels.List() {
		v := api.LogLevel{Logger: t.Logger, Level: logbook.Word(t.Level), Changed: t.Exception, Until: api.Instant(t.Until)}
		if t.Configured != nil {
			v.Configured = logbook.Word(*t.Configured)
		}
		list = append(list, v)
	}
	return list
}

// SetLevel implements web.Logs.
func (l logs) SetLevel(ctx context.Context, by, logger, level string, lasts time.Duration) error {
	parsed, err := logbook.ParseLevel(level)
	if err != nil {
		return api.NewProblem(api.CodeInvalid, "", err.Error())
	}
	until := l.d.o.Logbook.Levels.Set(logger, parsed, lasts)
	facts := []any{"of", loggerWord(logger), "to", level, "by", by}
	if !until.IsZero() {
		facts = append(facts, "until", until.UTC())
	}
	l.d.o.Log.WarnContext(ctx, "the level of the log was changed", facts...)
	return nil
}

// ResetLevel implements web.Logs.
func (l logs) ResetLevel(ctx context.Context, by, logger string) bool {
	was := l.d.o.Logbook.Levels.Reset(logger)
	if was {
		l.d.o.Log.WarnContext(ctx, "the level of the log is the configured one again", "of", loggerWord(logger), "by", by)
	}
	return was
}

// loggerWord names a logger for people.
func loggerWord(logger string) string {
	if logger == logbook.Root {
		return "all"
	}
	return logger
}
