package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/ghosteam/upkeep/jobs"
)

// Expect says what a good answer is.
type Expect struct {
	Status   []string          `yaml:"status" doc:"The good statuses: a number, a range, or a class." example:"[200, 301-303, 4xx]"`
	Headers  map[string]string `yaml:"headers" doc:"Headers that the answer must have, each with a regular expression that one of its values must match." example:"{Content-Type: '^application/json'}"`
	Contains []string          `yaml:"contains" doc:"Texts that the body must contain." example:"['\"status\":\"ok\"']"`
	Absent   []string          `yaml:"absent" doc:"Texts that the body must not contain." example:"[Traceback]"`
	Matches  []string          `yaml:"matches" doc:"Regular expressions that the body must match." example:"['version: \\d+']"`
	JSON     []JSON            `yaml:"json" doc:"Values that the body, which must be JSON, must hold."`
	Assert   []string          `yaml:"assert" doc:"Expressions that must be true, over status, header (by names in lower case), json and seconds." example:"['len(json.predictions) == 2']"`
}

// JSON is a value that an answer must hold.
type JSON struct {
	At     string   `yaml:"at" required:"true" doc:"Where the value stands, as a JSON pointer (RFC 6901)." example:"/predictions/0/score"`
	Equals *string  `yaml:"equals" doc:"What the value must be: a text, a number, true, false or null." example:"ok"`
	Min    *float64 `yaml:"min" doc:"The least that the number may be." example:"0.2"`
	Max    *float64 `yaml:"max" doc:"The most that the number may be." example:"0.3"`
	Value  string   `yaml:"value" doc:"Keep the number as a value of this name." example:"score"`
}

// mostNodes bounds how much one expression may consist of.
const mostNodes = 500

// shownScalar bounds what is shown of a value, in characters.
const shownScalar = 80

// expectation is an Expect that was understood.
type expectation struct {
	ranges   [][2]int
	headers  map[string]*regexp.Regexp
	options  Expect
	matches  []*regexp.Regexp
	pointers []pointer
	programs []*vm.Program
}

// world is what expressions look at.
type world struct {
	Status  int               `expr:"status"`
	Header  map[string]string `expr:"header"`
	JSON    any               `expr:"json"`
	Seconds float64           `expr:"seconds"`
}

func (e Expect) compile() (*expectation, error) {
	x := &expectation{options: e, headers: map[string]*regexp.Regexp{}, ranges: [][2]int{{200, 299}}}
	var errs []error
	if len(e.Status) > 0 {
		x.ranges = nil
	}
	for i, text := range e.Status {
		r, ok := parseStatus(text)
		if !ok {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("expect.status[%d]", i), "%q is no status: write 200, 200-299 or 2xx", text))
		}
		x.ranges = append(x.ranges, r)
	}
	for name, text := range e.Headers {
		r, err := regexp.Compile(text)
		if err != nil || !isToken(name) {
			errs = append(errs, jobs.Fieldf("expect.headers", "%s: %q is not the name of a header with a regular expression", name, text))
		}
		x.headers[name] = r
	}
	for i, text := range e.Matches {
		r, err := regexp.Compile(text)
		if err != nil {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("expect.matches[%d]", i), "%s", err))
		}
		x.matches = append(x.matches, r)
	}
	names := map[string]bool{}
	for i, one := range e.JSON {
		p, err := one.compile(fmt.Sprintf("expect.json[%d]", i), names)
		errs = append(errs, err)
		x.pointers = append(x.pointers, p)
	}
	for i, text := range e.Assert {
		p, err := expr.Compile(text, expr.Env(world{}), expr.AsBool(), expr.MaxNodes(mostNodes))
		if err != nil {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("expect.assert[%d]", i), "%s", jobs.OneLine(err.Error())))
		}
		x.programs = append(x.programs, p)
	}
	return x, errors.Join(errs...)
}

func (j JSON) compile(at string, names map[string]bool) (pointer, error) {
	p, err := parsePointer(j.At)
	switch {
	case err != nil:
		return nil, jobs.Fieldf(at+".at", "%s", err)
	case j.Equals != nil && (j.Min != nil || j.Max != nil):
		return nil, jobs.Fieldf(at+".equals", "a value that must equal one thing has no range")
	case j.Min != nil && j.Max != nil && *j.Min > *j.Max:
		return nil, jobs.Fieldf(at+".min", "%g is above max, %g", *j.Min, *j.Max)
	case j.Value != "" && (!jobs.ValidName(j.Value) || names[j.Value] || slices.Contains(ownValues(), j.Value)):
		return nil, jobs.Fieldf(at+".value", "%q cannot be the name of a value here, or stands twice", j.Value)
	}
	names[j.Value] = true
	return p, nil
}

// parseStatus reads "200", "200-299" or "2xx".
func parseStatus(text string) (r [2]int, ok bool) {
	if len(text) == 3 && strings.EqualFold(text[1:], "xx") && text[0] >= '1' && text[0] <= '5' {
		class := int(text[0]-'0') * 100
		return [2]int{class, class + 99}, true
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	for i, part := range []string{from, to} {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 100 || n > 599 {
			return r, false
		}
		r[i] = n
	}
	return r, r[0] <= r[1]
}

// looksAtBody tells whether the body matters.
func (x *expectation) looksAtBody() bool {
	o := x.options
	return len(o.Contains)+len(o.Absent)+len(o.Matches)+len(o.JSON) > 0 || x.looksAtJSON()
}

func (x *expectation) looksAtJSON() bool {
	return len(x.options.JSON) > 0 || slices.ContainsFunc(x.options.Assert, func(text string) bool { return strings.Contains(text, "json") })
}

// judge compares an answer with the expectations and returns the first that is
// not met, nil when all are.
func (x *expectation) judge(a *answer, show func(string) string) *fault {
	if !slices.ContainsFunc(x.ranges, func(r [2]int) bool { return a.status >= r[0] && a.status <= r[1] }) {
		return &fault{kindStatus, fmt.Sprintf("the status is %d %s, not %s", a.status, http.StatusText(a.status), x.statuses())}
	}
	for name, r := range x.headers {
		if !slices.ContainsFunc(a.header.Values(name), r.MatchString) {
			return &fault{kindHeader, fmt.Sprintf("the header %s is not as expected (%s)", name, r)}
		}
	}
	if x.looksAtBody() && a.cut {
		return &fault{kindBody, fmt.Sprintf("the body is longer than max_body, %d bytes, and was not looked at", len(a.body))}
	}
	if f := x.judgeText(a.body); f != nil {
		return f
	}
	return x.judgeJSON(a, show)
}

func (x *expectation) statuses() string {
	if len(x.options.Status) == 0 {
		return "200 to 299"
	}
	return strings.Join(x.options.Status, ", ")
}

func (x *expectation) judgeText(body []byte) *fault {
	for i, text := range x.options.Contains {
		if !bytes.Contains(body, []byte(text)) {
			return &fault{kindBody, fmt.Sprintf("the body does not contain expect.contains[%d]", i)}
		}
	}
	for i, text := range x.options.Absent {
		if bytes.Contains(body, []byte(text)) {
			return &fault{kindBody, fmt.Sprintf("the body contains expect.absent[%d]", i)}
		}
	}
	for i, r := range x.matches {
		if !r.Match(body) {
			return &fault{kindBody, fmt.Sprintf("the body does not match expect.matches[%d]", i)}
		}
	}
	return nil
}

func (x *expectation) judgeJSON(a *answer, show func(string) string) *fault {
	var decoded any
	if x.looksAtJSON() {
		d := json.NewDecoder(bytes.NewReader(a.body))
		d.UseNumber()
		err := d.Decode(&decoded)
		if err == nil {
			if _, more := d.Token(); !errors.Is(more, io.EOF) {
				err = errors.New("something follows it")
			}
		}
		if err != nil {
			return &fault{kindBody, "the body is not JSON"}
		}
	}
	for i, one := range x.options.JSON {
		if f := one.judge(x.pointers[i], decoded, a, show); f != nil {
			return f
		}
	}
	if len(x.programs) == 0 {
		return nil
	}
	w := world{Status: a.status, Header: map[string]string{}, JSON: plainNumbers(decoded), Seconds: a.times.total.Seconds()}
	for name := range a.header {
		w.Header[strings.ToLower(name)] = a.header.Get(name)
	}
	for i, p := range x.programs {
		ok, err := expr.Run(p, w)
		if err != nil {
			return &fault{kindBody, fmt.Sprintf("expect.assert[%d] could not be evaluated on this answer: %s", i, x.options.Assert[i])}
		}
		if ok != true {
			return &fault{kindBody, fmt.Sprintf("expect.assert[%d] is false: %s", i, x.options.Assert[i])}
		}
	}
	return nil
}

func (j JSON) judge(p pointer, decoded any, a *answer, show func(string) string) *fault {
	v, ok := p.find(decoded)
	if !ok {
		return &fault{kindBody, fmt.Sprintf("there is nothing at %s in the body", j.At)}
	}
	text := show(scalar(v))
	if runes := []rune(text); len(runes) > shownScalar {
		text = string(runes[:shownScalar-1]) + "…"
	}
	if j.Equals != nil && !equal(v, *j.Equals) {
		return &fault{kindBody, fmt.Sprintf("%s is %s, not %s", j.At, text, *j.Equals)}
	}
	if j.Min == nil && j.Max == nil && j.Value == "" {
		return nil
	}
	n, isNumber := v.(json.Number)
	var f float64
	var err error
	if isNumber {
		f, err = n.Float64()
	}
	switch {
	case !isNumber || err != nil || math.IsInf(f, 0):
		return &fault{kindBody, fmt.Sprintf("%s is %s, which is not a number", j.At, text)}
	case j.Min != nil && f < *j.Min:
		return &fault{kindBody, fmt.Sprintf("%s is %s, below %g", j.At, text, *j.Min)}
	case j.Max != nil && f > *j.Max:
		return &fault{kindBody, fmt.Sprintf("%s is %s, above %g", j.At, text, *j.Max)}
	}
	if j.Value != "" {
		a.values[j.Value] = f
	}
	return nil
}

// plainNumbers makes numbers what expressions calculate with.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, _ := v.Float64() // beyond the range it is infinite
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plainNumbers(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = plainNumbers(v[name])
		}
		return out
	}
	return v
}
