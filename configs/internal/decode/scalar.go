package decode

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/expand"
	"github.com/ghosteam/upkeep/configs/internal/source"
)

// resolved is the text of a scalar after its references were resolved.
type resolved struct {
	text      string
	reference bool   // at least one reference stood in it
	hidden    bool   // at least one of them may stand for a secret
	empty     string // a reference that stands for nothing
}

// resolve returns the text of a scalar. ok is false when there is none, which
// has been reported, or when it is deferred.
func (d *Decoder) resolve(n *source.Node, f field) (out resolved, ok bool) {
	switch n.Kind {
	case source.Null:
		d.noValue(f)
		return out, false
	case source.List, source.Map:
		d.Report(n.Pos, "wrong-type", f.path, f.name()+" must be a single value", "")
		return out, false
	case source.Scalar:
	}
	parts, err := expand.Parse(n.Text)
	if err != nil {
		d.fault(n, err, f)
		return out, false
	}
	if found := expand.Suspect(n.Text); found != nil {
		d.Warn(n.Pos.Seek(found.At), found.Rule, f.path, found.Why, found.Hint)
	}
	var text strings.Builder
	ok, deferred := true, false
	for _, part := range parts {
		if part.Ref == nil {
			text.WriteString(part.Text)
			continue
		}
		value, err := d.Resolver.Resolve(*part.Ref)
		if f.known.Fixed {
			err = &expand.Fault{Rule: "reference-place", At: part.Ref.Text, Why: fmt.Sprintf("%s cannot stand here: %s must be written out", part.Ref.Text, f.name())}
		}
		if err != nil {
			d.fault(n, err, f)
			ok = false
			continue
		}
		out.reference = true
		deferred = deferred || value.Deferred
		out.hidden = out.hidden || !value.Public
		if value.Text != "" && (value.Secret || f.secret && !value.Public) {
			d.Secrets = append(d.Secrets, value.Text)
		}
		if value.Text == "" {
			out.empty = part.Ref.Text
		}
		text.WriteString(value.Text)
	}
	d.Deferred = d.Deferred || deferred
	out.text = text.String()
	return out, ok && !deferred
}

func (d *Decoder) fault(n *source.Node, err error, f field) {
	var found *expand.Fault
	if !errors.As(err, &found) {
		d.Report(n.Pos, "reference", f.path, err.Error(), "")
		return
	}
	d.Report(n.Pos.Seek(firstLine(found.At)), found.Rule, f.path, found.Why, found.Hint)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	anyNumber   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

// scalar decodes a single value of one of Go's own types.
func (d *Decoder) scalar(n *source.Node, v reflect.Value, f field) {
	got, ok := d.resolve(n, f)
	if !ok || !d.allowed(got.text, n, f) {
		return
	}
	if v.Kind() == reflect.String {
		if !got.reference && expand.HasPassword(got.text) {
			d.Secrets = append(d.Secrets, got.text)
			d.Literals = append(d.Literals, Literal{At: n.Pos, Path: f.path, Text: got.text})
		}
		v.SetString(got.text)
		return
	}
	wrong := func(want, hint string) {
		shown := strconv.Quote(got.text)
		if got.reference {
			shown = "the value of " + n.Text
		}
		d.Report(n.Pos, "wrong-type", f.path, fmt.Sprintf("%s must be %s, not %s", f.name(), want, shown), hint)
	}
	typed := n.Plain || got.reference // quotes make a literal a text
	switch v.Kind() {
	case reflect.Bool:
		if !typed || got.text != "true" && got.text != "false" {
			wrong("true or false", boolHint(got.text))
			return
		}
		v.SetBool(got.text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		number, err := strconv.ParseInt(got.text, 10, v.Type().Bits())
		if err != nil || !typed || !wholeNumber.MatchString(got.text) {
			wrong("a whole number", numberHint(got.text, err))
			return
		}
		if f.known.Bounded && (number < f.known.Least || number > f.known.Most) {
			d.Report(n.Pos, "bad-value", f.path, fmt.Sprintf("%s must lie between %d and %d", f.name(), f.known.Least, f.known.Most), "")
			return
		}
		v.SetInt(number)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		number, err := strconv.ParseUint(got.text, 10, v.Type().Bits())
		if err != nil || !typed || !wholeNumber.MatchString(got.text) {
			wrong("a whole number of at least 0", numberHint(got.text, err))
			return
		}
		v.SetUint(number)
	case reflect.Float32, reflect.Float64:
		number, err := strconv.ParseFloat(got.text, v.Type().Bits())
		if err != nil || !typed || !anyNumber.MatchString(got.text) || math.IsInf(number, 0) {
			wrong("a number", numberHint(got.text, err))
			return
		}
		v.SetFloat(number)
	default:
		panic(fmt.Sprintf("decode: options of type %s at %s are not supported", v.Type(), f.path))
	}
}

func boolHint(text string) string {
	switch strings.ToLower(text) {
	case "yes", "on", "y", "1":
		return "write true"
	case "no", "off", "n", "0":
		return "write false"
	case "true", "false":
		return "write it in lower case and without quotes"
	}
	return ""
}

func numberHint(text string, err error) string {
	switch {
	case errors.Is(err, strconv.ErrRange):
		return "the number is too large"
	case anyNumber.MatchString(text):
		return "write it without quotes"
	case strings.HasPrefix(strings.TrimLeft(text, "-"), "0"):
		return "write it without leading zeros"
	}
	return ""
}
