package logbook

import (
	"log/slog"
	"slices"
	"strings"
)

// layout writes one record as one JSON object. facts are the attributes by flat
// keys.
type layout func(text []byte, r slog.Record, facts []fact) []byte

func layoutOf(keys Keys) layout {
	switch keys {
	case KeysOTel:
		return otel
	case KeysECS:
		return ecs
	default:
		return seed
	}
}

// The keys that parts use for what the sets of keys have names of their own for.
const (
	keyRequest = "request_id"
	keyUser    = "by"
	keyError   = "error"
	keyStack   = "stack"
)

// severityNumber is that of the OpenTelemetry log data model, whose levels are
// four apart as well.
func severityNumber(level slog.Level) int { return min(24, max(1, int(level)+9)) }

// renamed returns the facts with other keys; those without one stay, and so does
// what would be there twice.
func renamed(facts []fact, names map[string]string) []fact {
	for i, f := range facts {
		if name, ok := names[f.key]; ok && !slices.ContainsFunc(facts, func(other fact) bool { return other.key == name }) {
			facts[i].key = name
		}
	}
	return facts
}

// apart returns facts that do not take a key that a line has anyway: theirs gets
// an underscore in front.
func apart(facts []fact, taken ...string) []fact {
	for i, f := range facts {
		if slices.Contains(taken, f.key) {
			facts[i].key = "_" + f.key
		}
	}
	return facts
}

// seed are the keys of the common JSON formatters of Python.
func seed(text []byte, r slog.Record, facts []fact) []byte {
	facts, logger, named := take(facts, loggerKey)
	o := begin(text)
	o.string("timestamp", instant(r.Time))
	o.string("level", strings.ToUpper(Word(r.Level)))
	o.int("severity_number", severityNumber(r.Level))
	if named {
		o.string("logger", logger.String())
	} else {
		o.string("logger", "upkeep")
	}
	o.string("message", r.Message)
	if p, ok := placeOf(r); ok {
		o.string("module", p.module)
		o.string("function", p.function)
		o.int("line", p.line)
	}
	facts = apart(facts, "timestamp", "level", "severity_number", "logger", "message", "module", "function", "line")
	for _, f := range renamed(facts, map[string]string{keyUser: "user_id", keyStack: "exception", "run": "run_id", "incident": "incident_id", "model": "model_name"}) {
		o.value(f.key, f.value)
	}
	return o.end()
}

// otel is the log data model of OpenTelemetry (version 1.x, "Log and Event
// Record Definition").
func otel(text []byte, r slog.Record, facts []fact) []byte {
	facts, logger, named := take(facts, loggerKey)
	name := "upkeep"
	if named {
		name = logger.String()
	}
	o := begin(text)
	o.string("Timestamp", instant(r.Time))
	o.string("SeverityText", strings.ToUpper(Word(r.Level)))
	o.int("SeverityNumber", severityNumber(r.Level))
	o.string("Body", r.Message)
	o.key("InstrumentationScope")
	scope := begin(o.text)
	scope.string("Name", name)
	o.text = scope.end()
	o.key("Resource")
	resource := begin(o.text)
	resource.string("service.name", "upkeep")
	o.text = resource.end()
	o.key("Attributes")
	attributes := begin(o.text)
	if p, ok := placeOf(r); ok {
		attributes.string("code.function.name", p.module+"."+p.function)
		attributes.string("code.file.path", p.file)
		attributes.int("code.line.number", p.line)
	}
	names := map[string]string{
		keyUser: "user.id", keyError: "exception.message", keyStack: "exception.stacktrace", "run": "run.id", "incident": "incident.id", keyRequest: "request.id",
	}
	for _, f := range renamed(apart(facts, "code.function.name", "code.file.path", "code.line.number"), names) {
		attributes.value(f.key, f.value)
	}
	o.text = attributes.end()
	return o.end()
}

// ecs are the keys of the Elastic Common Schema, with dots in the keys, as its
// loggers write them.
func ecs(text []byte, r slog.Record, facts []fact) []byte {
	facts, logger, named := take(facts, loggerKey)
	o := begin(text)
	o.string("@timestamp", instant(r.Time))
	o.string("log.level", Word(r.Level))
	o.string("message", r.Message)
	o.string("ecs.version", "8.11.0")
	o.string("service.name", "upkeep")
	if named {
		o.string("log.logger", logger.String())
	} else {
		o.string("log.logger", "upkeep")
	}
	if p, ok := placeOf(r); ok {
		o.string("log.origin.file.name", p.file)
		o.int("log.origin.file.line", p.line)
		o.string("log.origin.function", p.module+"."+p.function)
	}
	// What ECS has no field for stands below upkeep, so that no later version of
	// it can clash.
	names := map[string]string{keyUser: "user.id", keyError: "error.message", keyStack: "error.stack_trace", keyRequest: "http.request.id"}
	for _, f := range facts {
		key, ok := names[f.key]
		if !ok {
			key = "upkeep." + f.key
		}
		o.value(key, f.value)
	}
	return o.end()
}
