package configs

import (
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner/logbook"
)

const (
	defaultLogSize  = 50 << 20
	defaultLogAge   = 7 * 24 * time.Hour
	defaultLogKeep  = 5
	smallestLogSize = 4 << 10
	shortestLogAge  = time.Minute
)

// accessLogger is the logger of requests, which nobody wants to read one by one
// unless they say so.
const accessLogger = "http.access"

// The forms of the log.
const (
	LogJSON = "json"
	LogText = "text"
)

// Log says what the service logs, how and where.
type Log struct {
	// Level is the threshold; Levels those of loggers that differ.
	Level  slog.Level
	Levels map[string]slog.Level
	// Format is LogJSON or LogText; empty means text on standard error, JSON in
	// the file.
	Format string
	// Keys are those of JSON.
	Keys logbook.Keys
	// File is the absolute path of a file that gets the log as well as standard
	// error; empty for none. Rotation says when it makes way for a new one.
	File     string
	Rotation logbook.Rotation
}

type logFile struct {
	Level  logLevel            `yaml:"level" doc:"What is logged: debug, info (the default), warn or error, and all that is graver. upkeep log level changes it while the service runs."`
	Levels map[string]logLevel `yaml:"levels" doc:"The same for single parts, by the name of their logger, and for all below it: http means http.access too. Requests to the API are logged from http.access at info, which is warn by default." example:"{http.access: info}"`
	Format string              `yaml:"format" enum:"json,text" doc:"How records are written: json or text. By default text on standard error and json in the file."`
	Keys   string              `yaml:"keys" enum:"seed,otel,ecs" doc:"The keys of json: seed (the default; timestamp, level, logger, message, request_id and so on), otel (the log data model of OpenTelemetry) or ecs (Elastic Common Schema)."`
	File   unit.Path           `yaml:"file" doc:"A file that gets the log as well as standard error." example:"logs/upkeep.log"`
	Rotate rotateFile          `yaml:"rotate" doc:"When that file makes way for a new one, and what becomes of the old ones."`
}

type rotateFile struct {
	Size     unit.Size     `yaml:"size" doc:"How large a file gets, from 4KiB." example:"50MiB"`
	Age      unit.Duration `yaml:"age" doc:"How long it is written to, from 1m." example:"7d"`
	Keep     int           `yaml:"keep" range:"1,10000" doc:"How many old files stay."`
	Compress bool          `yaml:"compress" doc:"Whether old files are compressed (gzip)."`
}

func defaultLog() logFile {
	return logFile{Keys: string(logbook.KeysSeed), Rotate: rotateFile{Size: defaultLogSize, Age: unit.Duration(defaultLogAge), Keep: defaultLogKeep, Compress: true}}
}

// logLevel is a level as people write it.
type logLevel slog.Level

// UnmarshalText reads one of the four words.
func (l *logLevel) UnmarshalText(text []byte) error {
	level, err := logbook.ParseLevel(string(text))
	if err != nil {
		return err
	}
	*l = logLevel(level)
	return nil
}

// MarshalText writes the word.
func (l logLevel) MarshalText() ([]byte, error) { return []byte(logbook.Word(slog.Level(l))), nil }

// Schema describes the words.
func (*logLevel) Schema(func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"enum": []any{"debug", "info", "warn", "error"}}
}

// loggerName matches the names of loggers: words with dots between them.
var loggerName = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*$`)

// log takes what is said about the log.
func (l *loader) log() {
	f := l.file.Log
	out := Log{
		Level: slog.Level(f.Level), Levels: map[string]slog.Level{}, Format: f.Format, Keys: logbook.Keys(f.Keys), File: l.absolute(f.File),
		Rotation: logbook.Rotation{Size: f.Rotate.Size.Bytes(), Age: f.Rotate.Age.Std(), Keep: f.Rotate.Keep, Compress: f.Rotate.Compress},
	}
	report := func(key, message, hint string) {
		l.d.Report(at(l.node, "log."+key, l.node.Pos), "bad-value", "log."+key, message, hint)
	}
	if _, said := f.Levels[accessLogger]; !said && out.Level > slog.LevelDebug {
		out.Levels[accessLogger] = max(out.Level, slog.LevelWarn)
	}
	for name, level := range f.Levels {
		out.Levels[name] = slog.Level(level)
		if !loggerName.MatchString(name) {
			report("levels."+name, fmt.Sprintf("%q is no name of a logger", name), "use words with dots between them, such as http.access")
		}
	}
	if sound(l.d, "log.rotate.size") && f.Rotate.Size < smallestLogSize {
		report("rotate.size", "size must be at least 4KiB", "")
	}
	if sound(l.d, "log.rotate.age") && f.Rotate.Age.Std() < shortestLogAge {
		report("rotate.age", "age must be at least 1m", "")
	}
	l.config.Log = out
}
