package logbook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Keys is a set of keys for records as JSON.
type Keys string

// The sets of keys.
const (
	// KeysSeed are timestamp, level, logger, message, module, function, line,
	// request_id, user_id and so on, all at the top.
	KeysSeed Keys = "seed"
	// KeysOTel are those of the OpenTelemetry log data model, with its attributes
	// in an object of their own.
	KeysOTel Keys = "otel"
	// KeysECS are those of the Elastic Common Schema, version 8.
	KeysECS Keys = "ecs"
)

// JSON writes records as one JSON object a line. Its methods may be called from
// several goroutines; each line is one Write.
type JSON struct {
	out  *output
	keys Keys
	// attrs are those of WithAttrs, in groups already.
	attrs  []slog.Attr
	groups []string
}

// output is where lines go.
type output struct {
	mu   sync.Mutex
	w    io.Writer
	line []byte
}

// NewJSON makes a handler that writes to w. It passes every level on.
func NewJSON(w io.Writer, keys Keys) *JSON { return &JSON{out: &output{w: w}, keys: keys} }

// Enabled lets everything through.
func (j *JSON) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs adds what every record tells.
func (j *JSON) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *j
	next.attrs = append(slices.Clip(j.attrs), grouped(j.groups, attrs)...)
	return &next
}

// WithGroup puts what follows into a group.
func (j *JSON) WithGroup(name string) slog.Handler {
	next := *j
	next.groups = append(slices.Clip(j.groups), name)
	return &next
}

// grouped puts attributes into groups, as prefixes of their keys.
func grouped(groups []string, attrs []slog.Attr) []slog.Attr {
	if len(groups) == 0 {
		return attrs
	}
	prefix := strings.Join(groups, ".") + "."
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = slog.Attr{Key: prefix + a.Key, Value: a.Value}
	}
	return out
}

// fact is one key of a line.
type fact struct {
	key   string
	value slog.Value
}

// Handle writes one line.
func (j *JSON) Handle(_ context.Context, r slog.Record) error {
	facts := flatten(nil, "", j.attrs)
	r.Attrs(func(a slog.Attr) bool {
		// The logger is named by the handler, whatever the group.
		if a.Key == loggerKey {
			facts = flatten(facts, "", []slog.Attr{a})
		} else {
			facts = flatten(facts, "", grouped(j.groups, []slog.Attr{a}))
		}
		return true
	})
	j.out.mu.Lock()
	defer j.out.mu.Unlock()
	j.out.line = append(layoutOf(j.keys)(j.out.line[:0], r, facts), '\n')
	_, err := j.out.w.Write(j.out.line)
	return err
}

// flatten writes groups as prefixes of keys. Of facts with the same key the last
// one stays, since an object has a key once.
func flatten(facts []fact, prefix string, attrs []slog.Attr) []fact {
	for _, a := range attrs {
		v := a.Value.Resolve()
		if v.Kind() == slog.KindGroup {
			inner := prefix
			if a.Key != "" {
				inner += a.Key + "."
			}
			facts = flatten(facts, inner, v.Group())
			continue
		}
		if a.Key == "" && v.Kind() == slog.KindAny && v.Any() == nil {
			continue
		}
		key := prefix + a.Key
		facts = append(slices.DeleteFunc(facts, func(f fact) bool { return f.key == key }), fact{key: key, value: v})
	}
	return facts
}

// take removes a fact and returns its value.
func take(facts []fact, key string) (rest []fact, value slog.Value, ok bool) {
	i := slices.IndexFunc(facts, func(f fact) bool { return f.key == key })
	if i < 0 {
		return facts, slog.Value{}, false
	}
	value = facts[i].value
	return slices.Delete(facts, i, i+1), value, true
}

// place is where a record was made.
type place struct {
	module, function, file string
	line                   int
}

// placeOf returns where a record was made. Below warnings nobody asks, and it
// has its price.
func placeOf(r slog.Record) (p place, ok bool) {
	if r.Level < slog.LevelWarn || r.PC == 0 {
		return place{}, false
	}
	frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
	folder, name := path.Split(frame.Function) // …/cmd/upkeep/service.(*Daemon).run
	module, function, _ := strings.Cut(name, ".")
	const origin = "github.com/ghosteam/upkeep/"
	return place{
		module: strings.TrimPrefix(folder+module, origin), function: function, file: path.Base(frame.File), line: frame.Line,
	}, true
}

// instant is RFC 3339 with nanoseconds, UTC.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

// object writes the keys of one object.
type object struct {
	text  []byte
	begun bool
}

func begin(text []byte) *object { return &object{text: append(text, '{')} }

func (o *object) key(key string) {
	if o.begun {
		o.text = append(o.text, ',')
	}
	o.begun = true
	o.text = appendString(o.text, key)
	o.text = append(o.text, ':')
}

func (o *object) string(key, text string) {
	o.key(key)
	o.text = appendString(o.text, text)
}

func (o *object) int(key string, n int) {
	o.key(key)
	o.text = strconv.AppendInt(o.text, int64(n), 10)
}

func (o *object) value(key string, v slog.Value) {
	o.key(key)
	o.text = appendValue(o.text, v)
}

func (o *object) end() []byte { return append(o.text, '}') }

// appendString writes a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(text []byte, s string) []byte {
	plain := func(c byte) bool { return c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf }
	if i := 0; len(s) < longString {
		for i < len(s) && plain(s[i]) {
			i++
		}
		if i == len(s) {
			return append(append(append(text, '"'), s...), '"')
		}
	}
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil { // a string always has a JSON form
		return append(text, `""`...)
	}
	return append(text, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
}

// longString is from which length on nobody looks whether a string needs no
// escapes.
const longString = 1 << 10

// appendValue writes a value: numbers and booleans as such, durations in
// seconds, errors and what names itself as strings, and what has no JSON form
// as Go writes it.
func appendValue(text []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindBool:
		return strconv.AppendBool(text, v.Bool())
	case slog.KindInt64:
		return strconv.AppendInt(text, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(text, v.Uint64(), 10)
	case slog.KindDuration:
		return strconv.AppendFloat(text, v.Duration().Seconds(), 'f', -1, 64)
	case slog.KindTime:
		return appendString(text, instant(v.Time()))
	case slog.KindString:
		return appendString(text, v.String())
	case slog.KindAny:
		switch a := v.Any().(type) {
		case error:
			return appendString(text, a.Error())
		case fmt.Stringer:
			return appendString(text, a.String())
		}
	default:
	}
	encoded, err := json.Marshal(v.Any())
	if err != nil { // infinite numbers, functions and the like
		return appendString(text, v.String())
	}
	return append(text, encoded...)
}
