// Package answer is what the kinds that run programs of the user's share: what
// such a program is given, the result file in which it says what it measured,
// and its last words when it broke. It refuses to guess: a result file that is
// not whole is an error.
package answer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/jobs"
)

// The bounds of a result file.
const (
	MostBytes   = 1 << 20
	MostEntries = 1000

	mostOutputBytes = 4096
	mostTextBytes   = 4096
	deepest         = 16
)

// File is the JSON form that programs write. Pointers tell null, which is
// no measurement, from zero.
type File struct {
	Schema    int                 `json:"schema"`
	Summary   string              `json:"summary"`
	Values    map[string]*float64 `json:"values"`
	Outputs   map[string]*string  `json:"outputs"`
	Findings  []jobs.Finding      `json:"findings"`
	Artifacts []Artifact          `json:"artifacts"`
	Events    []jobs.Event        `json:"events"`
}

// Decode reads what a program measured. It is strict: whatever is wrong
// is an error, because a program that measured nothing has not succeeded.
func Decode(text []byte) (*File, error) {
	// RFC 8259, section 8.1, lets a reader ignore the mark; some editors and
	// libraries write it.
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	if err := checkKeys(text); err != nil {
		return nil, err
	}
	var file File
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, explainJSON(text, err)
	}
	if err := file.check(); err != nil {
		return nil, err
	}
	return &file, nil
}

// checkKeys refuses an object that has a key twice, of which the decoder would
// take one without a word, deep nesting, and anything behind the first value.
// Keys that differ in case only are the same to the decoder.
func checkKeys(text []byte) error {
	type level struct {
		keys  map[string]bool // nil in a list
		isKey bool            // the next token is a key
	}
	var stack []level
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			return explainJSON(text, err)
		}
		top := len(stack) - 1
		delim, isDelim := token.(json.Delim)
		switch {
		case top >= 0 && stack[top].isKey && !isDelim:
			key := strings.ToLower(fmt.Sprint(token))
			if stack[top].keys[key] {
				return fmt.Errorf("line %d: key %q stands twice in one object", lineAt(text, decoder.InputOffset()), token)
			}
			stack[top].keys[key], stack[top].isKey = true, false
			continue
		case isDelim && (delim == '}' || delim == ']'):
			stack = stack[:top]
		case isDelim && len(stack) == deepest:
			return fmt.Errorf("line %d: it is nested deeper than %d levels", lineAt(text, decoder.InputOffset()), deepest)
		case delim == '{':
			stack = append(stack, level{keys: map[string]bool{}, isKey: true})
			continue
		case delim == '[':
			stack = append(stack, level{})
			continue
		}
		// A value has ended.
		if len(stack) == 0 {
			if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
				return errors.New("more follows after the JSON object")
			}
			return nil
		}
		stack[len(stack)-1].isKey = stack[len(stack)-1].keys != nil
	}
}

// explainJSON says where a text is wrong.
func explainJSON(text []byte, err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("line %d: %w", lineAt(text, syntax.Offset), err)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("line %d: %s: %s does not fit", lineAt(text, wrong.Offset), wrong.Field, wrong.Value)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is cut off: the JSON does not end")
	}
	return err
}

func lineAt(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(max(offset, 0), int64(len(text)))], []byte("\n"))
}

func (f *File) check() error {
	if f.Schema != jobs.ResultSchema {
		return fmt.Errorf("its schema is %d, not %d", f.Schema, jobs.ResultSchema)
	}
	if n := max(len(f.Values), len(f.Outputs), len(f.Findings), len(f.Artifacts), len(f.Events)); n > MostEntries {
		return fmt.Errorf("it has %d entries of one sort, more than %d", n, MostEntries)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Values)) {
		switch {
		case !jobs.ValidName(name):
			return fmt.Errorf("value name %q: use a-z, 0-9, _, . and -", name)
		case f.Values[name] == nil:
			return fmt.Errorf("value %s is null: leave out what was not measured", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Outputs)) {
		switch text := f.Outputs[name]; {
		case !jobs.ValidName(name):
			return fmt.Errorf("output name %q: use a-z, 0-9, _, . and -", name)
		case text == nil:
			return fmt.Errorf("output %s is null: leave it out", name)
		case len(*text) > mostOutputBytes:
			return fmt.Errorf("output %s is longer than %d bytes", name, mostOutputBytes)
		}
	}
	for i, finding := range f.Findings {
		switch {
		case !jobs.ValidFindingID(finding.ID):
			return fmt.Errorf("finding %d: its id is %q: use a-z, 0-9, _, ., :, / and -", i+1, finding.ID)
		case finding.Severity.Rank() < 0:
			// One that is absent decodes to nothing and would be lost.
			return fmt.Errorf("finding %q: it has no severity", finding.ID)
		case strings.TrimSpace(finding.Text) == "" || len(finding.Text) > mostTextBytes:
			return fmt.Errorf("finding %q: it has no text, or one longer than %d bytes", finding.ID, mostTextBytes)
		}
	}
	for i, event := range f.Events {
		if !jobs.ValidName(event.Kind) || strings.TrimSpace(event.Subject) == "" || len(event.Text) > mostTextBytes {
			return fmt.Errorf("event %d: it needs a kind (one word), a subject, and at most %d bytes of text", i+1, mostTextBytes)
		}
	}
	return nil
}

// Result is the file, without its artifacts, as a result, its texts fit to show.
func (f *File) Result(env *jobs.Env) jobs.Result {
	r := jobs.Result{
		Summary: env.OneLine(f.Summary), Values: map[string]float64{}, Outputs: map[string]string{}, Findings: f.Findings,
		Events: f.Events,
	}
	for name, value := range f.Values {
		r.Values[name] = *value
	}
	for name, text := range f.Outputs {
		r.Outputs[name] = *text
	}
	for i := range r.Findings {
		r.Findings[i].Text = env.OneLine(r.Findings[i].Text)
	}
	for i := range r.Events {
		r.Events[i].Subject, r.Events[i].Text = env.OneLine(r.Events[i].Subject), env.OneLine(r.Events[i].Text)
	}
	if r.Summary == "" {
		r.Summary = fmt.Sprintf("%d values, %d findings", len(r.Values), len(r.Findings))
	}
	return r
}

// Artifact is a file that a program says it made.
type Artifact struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}
