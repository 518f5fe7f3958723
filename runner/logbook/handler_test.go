package logbook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner/logbook"
)

func newLog(levels *logbook.Levels, keys logbook.Keys) (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	return slog.New(logbook.NewHandler(levels, nil, logbook.NewJSON(&out, keys))), &out
}

// object reads one line, whose keys must all differ.
func object(t *testing.T, line string) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(line))
	if _, err := decoder.Token(); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	seen := map[string]bool{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		word, ok := key.(string)
		if !ok || seen[word] {
			t.Fatalf("key %v is there twice: %s", key, line)
		}
		seen[word] = true
		var value any
		if err := decoder.Decode(&value); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(line), &out); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return out
}

// The keys of each set, on a record with everything.
func TestJSON_Keys(t *testing.T) {
	t.Parallel()
	for keys, want := range map[logbook.Keys]map[string]any{
		logbook.KeysSeed: {
			"level": "ERROR", "severity_number": 17.0, "logger": "alert.slack", "message": "it failed", "module": "runner/logbook_test", "function": "TestJSON_Keys.func1",
			"request_id": "r-1", "user_id": "ana", "run_id": "0191", "error": "no route", "exception": "goroutine 1", "took": 1.5, "model_name": "fraud", "_level": "high",
		},
		logbook.KeysOTel: {
			"SeverityText": "ERROR", "SeverityNumber": 17.0, "Body": "it failed", "InstrumentationScope": map[string]any{"Name": "alert.slack"},
			"Resource": map[string]any{"service.name": "upkeep"},
			"Attributes": map[string]any{
				"code.function.name": "runner/logbook_test.TestJSON_Keys.func1", "code.file.path": "handler_test.go", "request.id": "r-1", "user.id": "ana", "run.id": "0191",
				"exception.message": "no route", "exception.stacktrace": "goroutine 1", "took": 1.5, "model": "fraud", "level": "high",
			},
		},
		logbook.KeysECS: {
			"log.level": "error", "log.logger": "alert.slack", "message": "it failed", "ecs.version": "8.11.0", "service.name": "upkeep", "log.origin.file.name": "handler_test.go",
			"log.origin.function": "runner/logbook_test.TestJSON_Keys.func1", "http.request.id": "r-1", "user.id": "ana", "error.message": "no route", "error.stack_trace": "goroutine 1",
			"upkeep.run": "0191", "upkeep.took": 1.5, "upkeep.model": "fraud", "upkeep.level": "high",
		},
	} {
		t.Run(string(keys), func(t *testing.T) {
			t.Parallel()
			log, out := newLog(logbook.NewLevels(slog.LevelInfo, nil), keys)
			ctx := logbook.With(t.Context(), slog.String("request_id", "r-1"), slog.String("by", "ana"))
			log.With(logbook.Logger("alert")).With(logbook.Logger("alert.slack"), slog.String("run", "0191")).ErrorContext(ctx, "it failed",
				"error", errors.New("no route"), "stack", "goroutine 1", "took", 1500*time.Millisecond, "model", "fraud", "level", "high")
			got := object(t, out.String())
			at, line := "timestamp", "line"
			attributes := got
			switch keys {
			case logbook.KeysOTel:
				at, line = "Timestamp", "code.line.number"
				attributes, _ = got["Attributes"].(map[string]any)
			case logbook.KeysECS:
				at, line = "@timestamp", "log.origin.file.line"
			default:
			}
			text, _ := got[at].(string)
			if _, err := time.Parse(time.RFC3339Nano, text); err != nil || !strings.HasSuffix(text, "Z") || len(text) != len("2026-11-23T02:30:00.000000000Z") {
				t.Errorf("%s: %v", text, err)
			}
			if n, ok := attributes[line].(float64); !ok || n < 1 {
				t.Errorf("line %v", attributes[line])
			}
			delete(got, at)
			delete(attributes, line)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Where a record was made stands in it from warnings on.
func TestJSON_Place(t *testing.T) {
	t.Parallel()
	log, out := newLog(logbook.NewLevels(slog.LevelDebug, nil), logbook.KeysSeed)
	log.Info("quiet")
	if got := object(t, out.String()); got["module"] != nil || got["line"] != nil || got["logger"] != "upkeep" {
		t.Errorf("%v", got)
	}
}

// Values keep what they are, whatever they hold; a line is one line.
func TestJSON_Values(t *testing.T) {
	t.Parallel()
	log, out := newLog(logbook.NewLevels(slog.LevelInfo, nil), logbook.KeysSeed)
	long := strings.Repeat("ü", 2000)
	log.WithGroup("g").Info("line\nfeed \"quoted\" <b> \x01 \xff", "n", -3, "u", uint64(math.MaxUint64), "b", true, "f", 0.1, "inf", math.Inf(1), "nan", math.NaN(),
		"list", []string{"a"}, "nothing", nil, "at", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "long", long,
		slog.Group("in", "x", 1), "twice", 1, "twice", 2, "function", func() {})
	if strings.Count(out.String(), "\n") != 1 || strings.Contains(out.String(), `\u003c`) {
		t.Errorf("%q", out.String())
	}
	got := object(t, out.String())
	for key, want := range map[string]any{
		"message": "line\nfeed \"quoted\" <b> \x01 \uFFFD", "g.n": -3.0, "g.u": float64(math.MaxUint64), "g.b": true, "g.f": 0.1, "g.inf": "+Inf", "g.nan": "NaN",
		"g.list": []any{"a"}, "g.nothing": nil, "g.at": "2026-01-02T03:04:05.000000000Z", "g.long": long, "g.in.x": 1.0, "g.twice": 2.0,
	} {
		if diff := cmp.Diff(want, got[key]); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
	if _, ok := got["g.function"].(string); !ok {
		t.Errorf("%v", got["g.function"])
	}
}

// Each logger has its threshold; what passes is counted; all sinks get it.
func TestHandler(t *testing.T) {
	t.Parallel()
	var a, b bytes.Buffer
	counted := map[slog.Level]int{}
	levels := logbook.NewLevels(slog.LevelInfo, map[string]slog.Level{"http.access": slog.LevelWarn})
	log := slog.New(logbook.NewHandler(levels, func(l slog.Level) { counted[l]++ }, logbook.NewJSON(&a, logbook.KeysSeed), slog.NewTextHandler(&b, nil)))
	access := log.With(logbook.Logger("http.access"))
	access.Info("dropped")
	log.Debug("dropped")
	access.Warn("kept", "n", 1)
	log.Info("kept")
	levels.Set("http.access", slog.LevelDebug, 0)
	access.Debug("kept")
	if !maps.Equal(counted, map[slog.Level]int{slog.LevelWarn: 1, slog.LevelInfo: 1, slog.LevelDebug: 1}) {
		t.Errorf("%v", counted)
	}
	for _, text := range []string{a.String(), b.String()} {
		if strings.Contains(text, "dropped") || strings.Count(text, "kept") != 3 {
			t.Error(text)
		}
	}
	if !strings.Contains(b.String(), "msg=kept n=1 logger=http.access\n") {
		t.Errorf("the logger is not the last attribute of text: %s", b.String())
	}
}

// What a record says itself wins over what its context knows.
func TestHandler_Context(t *testing.T) {
	t.Parallel()
	log, out := newLog(logbook.NewLevels(slog.LevelInfo, nil), logbook.KeysSeed)
	ctx := logbook.With(logbook.With(t.Context(), slog.String("request_id", "outer")), slog.String("by", "ana"))
	log.InfoContext(ctx, "one", "request_id", "inner")
	got := object(t, out.String())
	if got["request_id"] != "inner" || got["user_id"] != "ana" {
		t.Errorf("%v", slices.Sorted(maps.Keys(got)))
	}
}
